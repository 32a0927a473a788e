"""How a limited process behaves: the entry point that runs one function of the child.

It leads its own process group, writes what it prints to a log file, pins its threads, sends news
through one pipe, and ends with its parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from bench.errors import BenchError, Diverged, Pruned

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


class Line:
    """The child's end of the pipe to its driver."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def send(self, kind: str, value: Any) -> None:
        """Tell the driver something; methods may report from several threads."""
        with self._lock:
            self._connection.send((kind, value))

    def stop(self) -> str:
        """Return why the driver wants this fit to stop; empty if it does not."""
        with self._lock:
            return str(self._connection.recv()) if self._connection.poll() else ""


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
        from bench.execute.child import FUNCTIONS

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
    import faulthandler

    target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    sys.stdout = open(1, "w", buffering=1, closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False)
    faulthandler.enable(sys.stderr)


def pin_threads(threads: int) -> None:
    """Limit the libraries that the server has loaded already."""
    with contextlib.suppress(ImportError):
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def keep_large_blocks() -> None:
    """Let the allocator keep freed blocks of up to half a GiB for the next request.

    glibc gives every block above 32 MiB back at once and asks the system for new pages the next
    time: an update of a wide network spends a third of its time on that. At most two GiB stay.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**29)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _peak_resident() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
