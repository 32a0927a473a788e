"""The entry point of a limited process.

The process leads its own process group, prints into a log file, limits its threads, sends messages
through one pipe, and ends with its parent.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import importlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from multiprocessing import current_process, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path

import psutil

from bench.errors import BenchError, Diverged, Pruned
from bench.messages import printable_line

from .channel import DriverPipe, ReadingTask, Task
from .process_tree import mark_this_process
from .threads import keep_large_blocks, pin_threads

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)
_LEAST_BYTES = 2**16
"""A disk with less free space counts as full."""


def main(
    module: str, function: str, task: Task | ReadingTask, connection: Connection, mark: int
) -> None:
    """Run ``function(task, pipe)`` of a module; the last message is ``done`` or ``error``.

    ``mark`` identifies the processes of the job (see :mod:`bench.execute.process_tree`).
    """
    mark_this_process(mark)
    os.setsid()
    try:
        _redirect_output(task.log)
    except FileNotFoundError:  # the driver was killed and its folder removed: nobody listens
        sys.exit(1)
    _close_inherited_files(connection)
    pipe, at_work = DriverPipe(connection), False
    try:
        # Before any thread starts: the restriction holds for threads that start later.
        files = task.wall.raise_around_this_process() if task.wall is not None else ""
        _end_with_parent()
        keep_large_blocks()
        pin_threads(task.threads)
        start = _resident_bytes()
        pipe.send("started", start)
        at_work = True
        value = getattr(importlib.import_module(module), function)(task, pipe)
        value["peak_bytes"] = _peak_resident_bytes() - start
        value["files"] = files
        pipe.send("done", value)
    except BaseException as error:
        with contextlib.suppress(Exception):  # of an exception that cannot be shown
            traceback.print_exc()
        own = at_work and not _is_from_outside(error, task)
        status = _status(error) if own else "interrupted"
        pipe.send("error", {"status": status, "reason": _reason(error, task)})
    sys.stdout.flush()
    sys.stderr.flush()
    # The driver kills the group if a thread that a library left behind keeps the process.


def _status(error: BaseException) -> str:
    """Return the status of a job that ended with this exception."""
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, Pruned):
        return "pruned"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    return "failed"


def _is_from_outside(error: BaseException, task: Task | ReadingTask) -> bool:
    """Return whether an exception has an external cause: a signal or a full disk."""
    if isinstance(error, KeyboardInterrupt):
        return True
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return True
    # Libraries that write report a full disk in their own words.
    return isinstance(error, (OSError, RuntimeError)) and any(
        _is_full(folder) for folder in (task.artifacts, tempfile.gettempdir())
    )


def _is_full(folder: Path | str) -> bool:
    try:
        return shutil.disk_usage(folder).free < _LEAST_BYTES
    except OSError:  # a method may have removed it
        return False


def _reason(error: BaseException, task: Task | ReadingTask) -> str:
    """Return an exception as one line, with a hint if the wall refused a file."""
    try:
        text = printable_line(str(error))
    except Exception:
        text = "its text cannot be shown"
    if isinstance(error, (BenchError, Diverged, Pruned)):
        return text[:500]
    hint = ""
    if isinstance(error, PermissionError) and task.wall is not None and error.filename:
        hint = " (a fit reads only files of its method; name them in its class attribute files)"
    return f"{type(error).__name__}: {text}"[:400] + hint


def _end_with_parent() -> None:
    """Kill this process group as soon as the driver has ended."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def _close_inherited_files(connection: Connection) -> None:
    """Close all files of the process server except the pipe to the driver and its lifeline."""
    parent = parent_process()
    lifeline = parent.sentinel if parent is not None else -1
    keep = {0, 1, 2, connection.fileno(), lifeline}
    for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd").is_dir() else []:
        if int(name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(name))
    # Libraries that start processes find that tracker and folder of the driver are not theirs.
    current_process()._config.pop("tempdir", None)  # type: ignore[attr-defined]
    resource_tracker._resource_tracker._fd = None  # type: ignore[attr-defined]


def _redirect_output(log: Path | None) -> None:
    """Redirect all output, also of C code, to the log file."""
    target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    sys.stdout, sys.stderr = (
        os.fdopen(
            number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        for number in (1, 2)
    )
    faulthandler.enable(sys.stderr)


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _peak_resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
