"""How a limited process behaves: the entry point that runs one function of the child.

It leads its own process group, writes what it prints to a log file, pins its threads, sends news
through one pipe, and ends with its parent.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import threading
import traceback
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil

from bench.errors import BenchError, Diverged, Pruned

from .channel import Line
from .threads import keep_large_blocks, pin_threads


def main(function: str, payload: dict[str, Any], connection: Connection) -> None:
    """Entry point of the process."""
    os.setsid()
    _end_with_parent()
    _redirect(payload.get("log"))
    keep_large_blocks()
    pin_threads(int(payload["threads"]))
    line = Line(connection)
    start = _resident()
    line.send("started", {"rss": start})
    try:
        from .tasks import FUNCTIONS

        value = FUNCTIONS[function](payload, line)
        value["peak_bytes"] = _peak_resident() - start
        line.send("done", value)
    except BaseException as error:
        traceback.print_exc()
        line.send("error", {"status": _status(error), "reason": _reason(error)})
    sys.stdout.flush()
    sys.stderr.flush()
    # The driver kills the group if a thread that a library left behind keeps the process.


def _status(error: BaseException) -> str:
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, Pruned):
        return "pruned"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    return "failed"


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, (BenchError, Diverged, Pruned)):
        return text[:500]
    return f"{type(error).__name__}: {text}"[:500]


def _end_with_parent() -> None:
    """Kill this process group as soon as the driver is gone, however it went."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def _redirect(log: str | None) -> None:
    """Send everything printed, also by C code, to the log file."""
    target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    sys.stdout = open(1, "w", buffering=1, closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False)
    faulthandler.enable(sys.stderr)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _peak_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
