"""One limited process: forked from a preloaded server, watched, measured, always ended.

The server is :mod:`multiprocessing.forkserver`; its preload only imports. What runs in a child is
a function of :mod:`bench.execute.tasks`, named by a string.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil

from .child_process import main
from .threads import THREAD_VARIABLES

PRELOAD = (
    "bench.execute.own_process_group", "numpy", "scipy.sparse", "pandas", "anndata", "pyarrow.parquet",
    "torch", "sklearn.cluster", "sklearn.decomposition", "sklearn.metrics", "sklearn.neighbors",
    "igraph", "scanpy", "umap", "bench.execute.tasks", "bench.score", "bench.prepare",
    "bench.data.cache.data_cache",
)  # fmt: skip
_POLL_SECONDS = 0.1
_CHILDREN_SECONDS = 1.0
"""How often a fit's own children are looked for: that reads every process of the machine."""
_starting = threading.Lock()

Message = Callable[[str, Any], str | None]
"""``on_message(kind, value)``; a text it returns asks the child to stop, with this reason."""


@dataclass(frozen=True)
class Limits:
    """What one process may use."""

    seconds: float
    memory_gib: float
    """Resident memory of its process tree beyond what it had at its start."""


@dataclass
class Outcome:
    """How a process ended."""

    status: str
    """``done``, ``failed``, ``timeout``, ``oom``, ``diverged``, ``pruned`` or ``cancelled``."""
    reason: str = ""
    value: dict[str, Any] = field(default_factory=dict)
    """What the function returned, if done."""
    seconds: float = 0.0
    """Wall time from start to end of the process."""
    peak_memory_mb: float = 0.0
    """Highest resident memory of the process tree above its start, in MiB."""


def warm_up(threads: int) -> None:
    """Start the server (returns at once); libraries in it see ``threads`` threads."""
    kept = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        multiprocessing.set_forkserver_preload(list(PRELOAD))
        multiprocessing.forkserver.ensure_running()
    finally:
        # The caller's own libraries must not be told otherwise than when they were imported.
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep a child from importing the caller's script, which may lack a ``__main__`` guard."""
    module = sys.modules["__main__"]
    kept = {name: getattr(module, name, None) for name in ("__file__", "__spec__")}
    try:
        for name in kept:
            setattr(module, name, None)
        yield
    finally:
        for name, value in kept.items():
            setattr(module, name, value)


def run_limited(
    function: str,
    payload: dict[str, Any],
    limits: Limits,
    *,
    on_message: Message = lambda kind, value: None,
    cancelled: threading.Event | None = None,
) -> Outcome:
    """Run ``child.FUNCTIONS[function](payload)`` in a process of its own and wait for its end.

    ``on_message(kind, value)`` hears of progress and may ask the child to stop at its next report.
    Never raises for what the child does.
    """
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    started = time.monotonic()
    with _starting, _hidden_main():
        process = context.Process(target=main, args=(function, payload, theirs))
        process.start()
    theirs.close()
    watch = _Watch(process.pid or 0, limits, started)
    final: tuple[str, Any] | None = None
    outcome: Outcome | None = None
    try:
        while outcome is None:
            ready = wait([ours, process.sentinel], timeout=_POLL_SECONDS)
            for kind, value in _drain(ours):
                if kind == "started":
                    watch.baseline = value["rss"]
                elif kind in ("done", "error"):
                    final = (kind, value)
                elif reason := on_message(kind, value):
                    _ask_to_stop(ours, reason)
            if final is not None or process.sentinel in ready:
                break
            outcome = watch.check(cancelled)
        # A child that has answered gets a moment to leave by itself.
        process.join(5 if outcome is None else 0)
    finally:
        watch.kill()
        process.join(10)
        exitcode = process.exitcode
        with contextlib.suppress(ValueError):
            process.close()
        final = final or next((m for m in _drain(ours) if m[0] in ("done", "error")), None)
        ours.close()
    outcome = outcome or _ended(final, exitcode)
    outcome.seconds = time.monotonic() - started
    peak = max(watch.peak - watch.baseline, outcome.value.pop("peak_bytes", 0), 0)
    outcome.peak_memory_mb = peak / 2**20
    return outcome


def _ask_to_stop(connection: Connection, reason: str) -> None:
    with contextlib.suppress(OSError):  # it has just ended by itself
        connection.send(reason)


def _drain(connection: Connection) -> Iterator[tuple[str, Any]]:
    try:
        while connection.poll():
            yield connection.recv()
    except (EOFError, OSError):
        return


def _ended(final: tuple[str, Any] | None, exitcode: int | None) -> Outcome:
    """Translate the last message, or the exit code if there was none."""
    if final is not None and final[0] == "done":
        return Outcome("done", value=final[1])
    if final is not None:
        return Outcome(final[1]["status"], final[1]["reason"])
    if exitcode == -signal.SIGKILL:
        reason = "killed by the system (SIGKILL), most likely for want of memory"
        return Outcome("oom", reason)
    if exitcode is not None and exitcode < 0:
        return Outcome("failed", f"crashed with {signal.Signals(-exitcode).name}")
    return Outcome("failed", f"ended with exit code {exitcode} and without a result")


class _Watch:
    """Check one process tree against its limits."""

    def __init__(self, pid: int, limits: Limits, started: float) -> None:
        self.pid, self.limits, self.started = pid, limits, started
        self.baseline = 0
        self.peak = 0
        self._known: list[Any] = []
        self._looked = -_CHILDREN_SECONDS

    def check(self, cancelled: threading.Event | None) -> Outcome | None:
        if cancelled is not None and cancelled.is_set():
            return Outcome("cancelled", "interrupted")
        now = time.monotonic()
        if now - self.started > self.limits.seconds:
            return Outcome("timeout", f"longer than the limit of {self.limits.seconds:g} s")
        if now - self._looked >= _CHILDREN_SECONDS:
            self._known, self._looked = self._tree(), now
        resident = sum(self._resident())
        self.peak = max(self.peak, resident)
        if self.baseline and resident - self.baseline > self.limits.memory_gib * 2**30:
            return Outcome("oom", f"more than the limit of {self.limits.memory_gib:g} GiB")
        return None

    def _tree(self) -> list[Any]:
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _resident(self) -> Iterator[int]:
        for process in self._known:
            with contextlib.suppress(psutil.Error):
                yield process.memory_info().rss

    def kill(self) -> None:
        """End the process, its group and whatever it has started."""
        tree = self._tree()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for process in tree:
            with contextlib.suppress(psutil.Error):
                process.kill()
