"""A worker that fits nothing: it leaves copies of one result for all jobs of an array."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.cluster.job_folder import JobFolder


def write_stubs(jobs: JobFolder, made: Path) -> None:
    """Leave copies of a result in the spool for the jobs that have none, as a worker does."""
    for number in jobs.task_numbers():
        for one in jobs.task(number):
            if jobs.has_ended(one.job):
                continue
            partial = jobs.spool / f".{one.job.score_key}.stub"
            shutil.copytree(made, partial)
            content = json.loads((partial / "result.json").read_text())
            content["job"] = one.job.as_dict()
            (partial / "result.json").write_text(json.dumps(content))
            partial.rename(jobs.spool / one.job.score_key)
            jobs.write_end(one.job, "done")
