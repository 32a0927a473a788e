"""The entry point of a limited process.

It leads its own process group, prints into a log file, pins its threads, sends messages through
one pipe, and ends with its parent.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import resource
import signal
import sys
import threading
import traceback
from multiprocessing import parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path

import psutil

from bench.errors import BenchError, Diverged, Pruned

from .channel import DriverPipe, Task
from .threads import keep_large_blocks, pin_threads


def main(module: str, function: str, task: Task, connection: Connection) -> None:
    """Run ``function(task, pipe)`` of a module; the last message is ``done`` or ``error``."""
    os.setsid()
    _redirect_output(task.log)
    _close_inherited_files(connection)
    # Before any thread starts: the restriction holds for threads that start later.
    files = task.wall.raise_around_this_process() if task.wall is not None else ""
    _end_with_parent()
    keep_large_blocks()
    pin_threads(task.job.threads)
    pipe = DriverPipe(connection)
    start = _resident_bytes()
    pipe.send("started", {"rss": start})
    try:
        value = getattr(importlib.import_module(module), function)(task, pipe)
        value["peak_bytes"] = _peak_resident_bytes() - start
        value["files"] = files
        pipe.send("done", value)
    except BaseException as error:
        traceback.print_exc()
        pipe.send("error", {"status": _status(error), "reason": _reason(error)})
    sys.stdout.flush()
    sys.stderr.flush()
    # The driver kills the group if a thread that a library left behind keeps the process.


def _status(error: BaseException) -> str:
    """Return the status of a job that ended with an exception."""
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, Pruned):
        return "pruned"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    return "failed"


def _reason(error: BaseException) -> str:
    """Return an exception as one line."""
    text = " ".join(str(error).split())
    if isinstance(error, (BenchError, Diverged, Pruned)):
        return text[:500]
    return f"{type(error).__name__}: {text}"[:500]


def _end_with_parent() -> None:
    """Kill this process group as soon as the driver has ended, for whatever reason."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def _close_inherited_files(connection: Connection) -> None:
    """Close what the process server had open but the pipe to the driver and its lifeline."""
    parent = parent_process()
    lifeline = parent.sentinel if parent is not None else -1
    keep = {0, 1, 2, connection.fileno(), lifeline}
    for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd").is_dir() else []:
        if int(name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(name))
    # Libraries that start processes find that the tracker of the server is not theirs.
    resource_tracker._resource_tracker._fd = None  # type: ignore[attr-defined]


def _redirect_output(log: Path | None) -> None:
    """Send everything printed, also by C code, to the log file."""
    target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    faulthandler.enable(sys.stderr)


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _peak_resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
