"""All processes of one job, also those outside of its process group or without their parent.

The process of a job gets a mark that all its descendants inherit and cannot remove: the hard limit
of the number of file locks, which Linux stores for each process but has not applied since 2.4.25.
On other systems only the children of the process are found.
"""

from __future__ import annotations

import contextlib
import resource
import secrets
import time
from collections.abc import Iterator

import psutil

_FILE_LOCKS = 10
"""``RLIMIT_LOCKS`` of Linux, which the module ``resource`` does not name."""
_END_SECONDS = 10.0
_PAUSE_SECONDS = 0.01


def new_mark() -> int:
    """Return a random mark for the processes of one job."""
    try:
        hard = resource.prlimit(0, _FILE_LOCKS)[1]  # the call that finds the mark
    except (AttributeError, OSError, ValueError):
        return 0
    # A limit can only be lowered; the one of a process within a job is a mark already.
    return 1 + secrets.randbelow(2**62 if hard == resource.RLIM_INFINITY else max(1, hard - 1))


def mark_this_process(mark: int) -> None:
    """Mark this process, and all processes that it starts."""
    if mark:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(_FILE_LOCKS, (mark, mark))


class ProcessTree:
    """The processes of a job: those with its mark, else the first one and its children."""

    def __init__(self, pid: int, mark: int) -> None:
        self.mark = mark
        self._first: psutil.Process | None = None
        with contextlib.suppress(psutil.Error):
            self._first = psutil.Process(pid)  # knows a later process with this number

    def processes(self) -> list[psutil.Process]:
        """Return the processes that exist."""
        return list(self._marked()) or self._family()

    def kill(self) -> None:
        """Kill all processes; they are first stopped, so that they cannot start others."""
        stopped: set[int] = set()
        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline:
            running = [one for one in self.processes() if not _is_dead(one)]
            if not running:
                return
            new = [one for one in running if one.pid not in stopped]
            for process in new or running:
                with contextlib.suppress(psutil.Error):
                    process.suspend() if new else process.kill()
            stopped |= {one.pid for one in new}
            if not new:
                time.sleep(_PAUSE_SECONDS)

    def _marked(self) -> Iterator[psutil.Process]:
        if not self.mark:
            return
        for pid in psutil.pids():
            with contextlib.suppress(OSError, psutil.Error):
                if resource.prlimit(pid, _FILE_LOCKS)[1] == self.mark:
                    yield psutil.Process(pid)

    def _family(self) -> list[psutil.Process]:
        if self._first is None:
            return []
        try:
            return [self._first, *self._first.children(recursive=True)]
        except psutil.Error:
            return []


def _is_dead(process: psutil.Process) -> bool:
    """Return whether a process has ended, also if it is a zombie."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True
