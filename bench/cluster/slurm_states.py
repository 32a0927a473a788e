"""The states of tasks in SLURM, also where it keeps no accounts; and their end."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence

ENDED_STATES = frozenset({
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY",
    "BOOT_FAIL", "DEADLINE", "UNKNOWN TO SLURM",
    "FINISHED", "INTERRUPTED",
})  # fmt: skip
"""States in which no worker runs or waits; the last two are of submitit's local processes."""
GONE = "UNKNOWN TO SLURM"
_SECONDS = 60.0


def query_states(tasks: Iterable[str]) -> dict[str, str]:
    """Return the states of tasks such as ``12_3``, by ``sacct``, else ``squeue`` and ``scontrol``.

    A task that none of them knows is ``UNKNOWN TO SLURM``: it ended some minutes ago. Nothing is
    returned for a task if SLURM does not answer.
    """
    wanted = set(tasks)
    arrays = _arrays(wanted)
    accounts = _run("sacct", "-X", "-n", "-P", "-o", "JobID,State", "-j", ",".join(arrays))
    states = _parse(accounts or "")
    missing = wanted - states.keys()
    if missing:
        queue = _run("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T")
        if queue is None:
            return {task: states[task] for task in wanted & states.keys()}
        states = _parse(queue) | states
        for array in _arrays(wanted - states.keys()):
            states |= _from_scontrol(_run("scontrol", "show", "-o", "job", array) or "")
    return {task: states.get(task, GONE) for task in wanted}


def cancel_arrays(tasks: Iterable[str]) -> None:
    """Cancel the whole arrays of tasks such as ``12_3``."""
    if arrays := _arrays(tasks):
        _run("scancel", *arrays)


def _arrays(tasks: Iterable[str]) -> list[str]:
    return sorted({task.partition("_")[0] for task in tasks})


def _run(*words: str) -> str | None:
    """Return what a command prints; ``None`` if it fails."""
    try:
        ran = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout if ran.returncode == 0 else None


def _parse(text: str) -> dict[str, str]:
    """Return states from lines like ``12_3|CANCELLED by 0``; ``12_[4-6]`` are three tasks."""
    states: dict[str, str] = {}
    for line in text.splitlines():
        name, bar, state = line.strip().partition("|")
        if bar and state:
            states |= dict.fromkeys(_tasks(name), state.split()[0].rstrip("+"))
    return states


def _tasks(name: str) -> Sequence[str]:
    array, bracket, rest = name.partition("_[")
    if not bracket:
        return [name]
    tasks = []
    for part in rest.rstrip("]").partition("%")[0].split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            tasks += [f"{array}_{number}" for number in range(int(first), int(last or first) + 1)]
    return tasks


def _from_scontrol(text: str) -> dict[str, str]:
    """Return states from ``scontrol show -o job``, one line a task."""
    states: dict[str, str] = {}
    for line in text.splitlines():
        fields = dict(re.findall(r"(\w+)=(\S+)", line))
        array, task = fields.get("ArrayJobId"), fields.get("ArrayTaskId")
        name = f"{array}_{task}" if array and task else fields.get("JobId", "")
        if name and "JobState" in fields:
            states[name] = fields["JobState"]
    return states
