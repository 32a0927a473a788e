"""Start one limited process, measure it, and end it with all its children.

It is forked from the server of :mod:`multiprocessing.forkserver`, whose preload only imports. A
child runs a function of :mod:`bench.execute.tasks`, given by name, so that the driver need not
import what a fit needs.
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
from typing import TYPE_CHECKING, Any

import psutil

from .child_process import main
from .threads import THREAD_VARIABLES
from .wall import numba_folder

if TYPE_CHECKING:
    from .channel import Task

TASKS = "bench.execute.tasks"
PRELOAD = (
    "bench.execute.process_server", "numpy", "scipy.sparse", "pandas", "anndata",
    "pyarrow.parquet", "torch", "sklearn.cluster", "sklearn.decomposition", "sklearn.metrics",
    "sklearn.neighbors", "igraph", "scanpy", "umap", TASKS, "bench.scoring.scorer",
    "bench.data.cache.data_cache", "bench.data.cache.prepared_files",
)  # fmt: skip
"""Modules that the server imports, its own process group first. One that is missing is skipped
without a word and then imported anew by every child."""
_POLL_SECONDS = 0.1
_START_SECONDS = 300.0
"""Time that a process may take to start, besides its limit."""
_CHILDREN_SECONDS = 1.0
"""Interval at which a fit's own children are listed, which reads every process of the machine."""
_starting = threading.Lock()
_Message = tuple[str, Any]
_ANSWERS = ("done", "error")
_FIT_MARKS = ("fit begins", "fit ended")
"""Messages at which the parent looks at its own clock: a method cannot change that one."""

ProgressHandler = Callable[[dict[str, Any]], str | None]
"""Gets ``step``, ``total`` and ``values`` of a report; returns why the child should stop."""


@dataclass(frozen=True)
class Limits:
    """What one process may use."""

    seconds: float
    memory_gib: float
    """Resident memory of its process tree beyond what it had at its start."""


@dataclass
class ProcessOutcome:
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
    variables = {name: str(threads) for name in THREAD_VARIABLES}
    # Fits read compiled functions here and cannot write: the drawing of UMAPs compiles them.
    variables["NUMBA_CACHE_DIR"] = os.environ.get("NUMBA_CACHE_DIR") or str(numba_folder())
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        multiprocessing.set_forkserver_preload(list(PRELOAD))
        multiprocessing.forkserver.ensure_running()
    finally:
        # The caller's own libraries may read these variables later.
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep a child from importing the caller's script, which may lack a ``__main__`` guard."""
    module = sys.modules["__main__"]
    before = {name: getattr(module, name, None) for name in ("__file__", "__spec__")}
    try:
        for name in before:
            setattr(module, name, None)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def run_limited(
    function: str,
    task: Task,
    limits: Limits,
    *,
    on_progress: ProgressHandler = lambda report: None,
    cancelled: threading.Event | None = None,
) -> ProcessOutcome:
    """Run a function of ``bench.execute.tasks`` in a process of its own and wait for its end.

    Never raises for what happens in the child.
    """
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    started = time.monotonic()
    with _starting, _hidden_main():
        process = context.Process(target=main, args=(TASKS, function, task, theirs))
        process.start()
    theirs.close()
    monitor = _ProcessMonitor(process.pid or 0, limits, started)
    answer: _Message | None = None
    outcome: ProcessOutcome | None = None
    try:
        while outcome is None:
            ready = wait([ours, process.sentinel], timeout=_POLL_SECONDS)
            for kind, value in _messages(ours):
                if kind == "started":
                    monitor.begin(value["rss"])
                elif kind in _FIT_MARKS:
                    monitor.mark(kind)
                elif kind in _ANSWERS:
                    answer = (kind, value)
                elif reason := on_progress(value):
                    _ask_to_stop(ours, reason)
            if answer is not None or process.sentinel in ready:
                break
            outcome = monitor.check(cancelled)
        # A child that has answered gets a moment to leave by itself.
        process.join(5 if outcome is None else 0)
    finally:
        monitor.kill()
        process.join(10)
        exitcode = process.exitcode
        with contextlib.suppress(ValueError):
            process.close()
        answer = answer or next((m for m in _messages(ours) if m[0] in _ANSWERS), None)
        ours.close()
    outcome = outcome or _outcome(answer, exitcode)
    monitor.add_costs(outcome)
    return outcome


def _ask_to_stop(connection: Connection, reason: str) -> None:
    with contextlib.suppress(OSError):  # it has just ended by itself
        connection.send(reason)


def _messages(connection: Connection) -> Iterator[_Message]:
    """Yield the messages that have arrived."""
    try:
        while connection.poll():
            yield connection.recv()
    except (EOFError, OSError):
        return


def _outcome(answer: _Message | None, exitcode: int | None) -> ProcessOutcome:
    """Return the outcome by the child's answer, or by its exit code if there was none."""
    if answer is not None and answer[0] == "done":
        return ProcessOutcome("done", value=answer[1])
    if answer is not None:
        return ProcessOutcome(answer[1]["status"], answer[1]["reason"])
    if exitcode == -signal.SIGKILL:
        reason = "killed by the system (SIGKILL), most likely for want of memory"
        return ProcessOutcome("oom", reason)
    if exitcode is not None and exitcode < 0:
        return ProcessOutcome("failed", f"crashed with {signal.Signals(-exitcode).name}")
    return ProcessOutcome("failed", f"ended with exit code {exitcode} and without a result")


class _ProcessMonitor:
    """Check one process tree against its limits."""

    def __init__(self, pid: int, limits: Limits, started: float) -> None:
        self.pid, self.limits, self.started = pid, limits, started
        self.baseline = 0
        self._begun: float | None = None
        self.peak = 0
        self._processes: list[psutil.Process] = []
        self._listed_at = -_CHILDREN_SECONDS
        self._marks: dict[str, tuple[float, float]] = {}

    def check(self, cancelled: threading.Event | None) -> ProcessOutcome | None:
        """Measure the tree; return the outcome if it is cancelled or over a limit."""
        if cancelled is not None and cancelled.is_set():
            return ProcessOutcome("cancelled", "interrupted")
        now = time.monotonic()
        # The limit is that of the work: a busy machine may take long to start the process.
        begun = self._begun if self._begun is not None else self.started + _START_SECONDS
        if now - begun > self.limits.seconds:
            return ProcessOutcome("timeout", f"longer than the limit of {self.limits.seconds:g} s")
        if now - self._listed_at >= _CHILDREN_SECONDS:
            self._processes, self._listed_at = self._tree(), now
        resident = sum(self._resident())
        self.peak = max(self.peak, resident)
        if self.baseline and resident - self.baseline > self.limits.memory_gib * 2**30:
            return ProcessOutcome("oom", f"more than the limit of {self.limits.memory_gib:g} GiB")
        return None

    def begin(self, resident: int) -> None:
        """Note that the process runs, and its memory before it does anything."""
        self.baseline, self._begun = resident, time.monotonic()

    def mark(self, kind: str) -> None:
        """Note wall and CPU time of the tree at the begin or the end of a fit."""
        self._marks.setdefault(kind, (time.monotonic(), self._cpu_seconds()))

    def add_costs(self, outcome: ProcessOutcome) -> None:
        """Add the time of the process, its peak memory, and the time between the marks."""
        outcome.seconds = time.monotonic() - self.started
        peak = max(self.peak - self.baseline, outcome.value.pop("peak_bytes", 0), 0)
        outcome.peak_memory_mb = peak / 2**20
        if all(kind in self._marks for kind in _FIT_MARKS):
            (wall, cpu), (wall_end, cpu_end) = (self._marks[kind] for kind in _FIT_MARKS)
            outcome.value["seconds"] = wall_end - wall
            outcome.value["cpu_seconds"] = max(0.0, cpu_end - cpu)

    def _cpu_seconds(self) -> float:
        total = 0.0
        for process in self._tree():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
                total += times.children_user + times.children_system
        return total

    def _tree(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _resident(self) -> Iterator[int]:
        for process in self._processes:
            with contextlib.suppress(psutil.Error):
                yield process.memory_info().rss

    def kill(self) -> None:
        """Kill the process, its group and all its children."""
        tree = self._tree()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for process in tree:
            with contextlib.suppress(psutil.Error):
                process.kill()
