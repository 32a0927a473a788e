"""The log of a job of a folder, while it is written."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.messages import quote_names

from .job_folder import RUNNING, JobFolder, JobState

if TYPE_CHECKING:
    from bench.plan.job import Job

_SECONDS = 1.0
_OVERLAP = 400


def find_job(folder: JobFolder, text: str) -> Job:
    """Return the job that a task number, or a part of a name, stands for.

    Of several, one that runs. Raises ``UsageError`` if no job matches, or several that run.
    """
    states = [
        state for state in folder.states() if text == str(state.task) or text in state.job.name
    ]
    running = [state for state in states if state.state == RUNNING]
    if not states:
        raise UsageError(
            f"--follow '{text}': no job of {folder.root}; give the number of a task or a part of "
            "a name, such as 'vae · pbmc68k · seed 0'.",
            code="unknown_name",
        )
    chosen: list[JobState] = running or states
    if len(chosen) > 1 and text != str(chosen[0].task):
        names = quote_names([state.job.name for state in chosen])
        raise UsageError(
            f"--follow '{text}': {len(chosen)} jobs match: {names}; give more of the name.",
            code="ambiguous_name",
        )
    return chosen[0].job


def follow_log(folder: JobFolder, job: Job, show: Callable[[str], None]) -> str:
    """Pass the log of a job to ``show`` as it grows, until the job ends; returns how it ended."""
    shown, log = "", folder.claim_file(job).with_suffix(".log")
    while True:
        ended, running = folder.has_ended(job), folder.read_claim(job) is not None
        if ended:
            log = folder.spool / job.score_key / "artifacts" / "log.txt"
        text = log.read_text(errors="replace") if log.is_file() else ""
        if text:
            show(new_text(shown, text))
            shown = text
        if ended or not running:
            end = folder.end(job) or {"status": "not running"}
            return ": ".join(filter(None, [end["status"], end.get("reason", "")]))
        time.sleep(_SECONDS)


def new_text(shown: str, text: str) -> str:
    """Return what is new in a text, of which an earlier state may have begun before it."""
    if text.startswith(shown):
        return text[len(shown) :]
    _, found, rest = text.rpartition(shown[-_OVERLAP:])
    return rest if found else text
