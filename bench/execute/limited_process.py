"""Start one limited process, measure it, and end it with all its children.

A child runs a function of :mod:`bench.execute.tasks`, given by name, so that the driver does not
import the libraries of a fit.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import TYPE_CHECKING, Any

import psutil

from .channel import read_messages
from .child_process import main
from .container_requests import REQUEST, ContainerHost
from .log_file import BYTES_WHILE_WRITTEN, shorten_log
from .memory_events import count_oom_kills
from .process_tree import ProcessTree, new_mark
from .server_start import server_is_running, start_process

if TYPE_CHECKING:
    from .channel import ReadingTask, Task

TASKS = "bench.execute.tasks"
_POLL_SECONDS = 0.1
_START_SECONDS = 300.0
"""Time that a process may take to start, in addition to its limit."""
_SETUP_SECONDS = 60.0
"""Least time for a fit to import its method and open its data, also with a shorter limit."""
_CHILDREN_SECONDS = 1.0
"""Interval at which the processes of a job are listed, which inspects every process."""
_ANSWERS = ("done", "error")
_FIT_MARKS = ("fit begins", "fit ended")
"""Messages that the parent times by its own clock, which a method cannot change."""
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_UNKNOWN_END = 255
"""Exit code of a process whose server has ended."""

ProgressHandler = Callable[[dict[str, Any]], str | None]
"""Gets ``step``, ``total`` and ``values`` of a report; returns a reason to stop, if any."""


@dataclass(frozen=True)
class Limits:
    """Limits of one process."""

    seconds: float
    """Wall time of a fit, or of another process from its start."""
    memory_gib: float
    """Resident memory of its process tree, in addition to that at its start."""


@dataclass
class ProcessOutcome:
    """How a process ended."""

    status: str
    """``done``, ``failed``, ``timeout``, ``oom``, ``diverged``, ``pruned``,
    ``interrupted`` (by an external cause) or ``cancelled`` (by the driver)."""
    reason: str = ""
    value: dict[str, Any] = field(default_factory=dict)
    """Return value of the function, if done."""
    seconds: float = 0.0
    """Wall time from start to end of the process."""
    peak_memory_mb: float | None = 0.0
    """Highest resident memory of the process tree above its start, in MiB; of a container its
    own, ``None`` if unknown."""


def run_limited(
    function: str,
    task: Task | ReadingTask,
    limits: Limits,
    *,
    on_progress: ProgressHandler = lambda report: None,
    cancelled: threading.Event | None = None,
) -> ProcessOutcome:
    """Run a function of ``bench.execute.tasks`` in a new process and wait for its end.

    Errors in the child, or of starting it, are returned as an outcome, not raised.
    """
    started, mark, oom_kills = time.monotonic(), new_mark(), count_oom_kills()
    try:
        process, ours, server = _start(function, task, mark)
    except (OSError, EOFError) as error:
        reason = f"its process could not be started: {type(error).__name__}: {error}"
        return ProcessOutcome("interrupted", reason, seconds=time.monotonic() - started)
    monitor = _ProcessMonitor(ProcessTree(process.pid or 0, mark), limits, started)
    containers = _container_host(task, limits)
    answer, outcome = None, None
    try:
        while outcome is None:
            ready = wait([ours, process.sentinel], timeout=_POLL_SECONDS)
            answer = _handle_messages(ours, monitor, containers, on_progress)
            if answer is not None or process.sentinel in ready:
                break
            outcome = monitor.check(cancelled)
            if outcome is None and (failure := containers.check()):
                outcome = ProcessOutcome(*failure)
            shorten_log(task.log, BYTES_WHILE_WRITTEN)
        # A child that has answered gets a moment to leave by itself.
        process.join(5 if outcome is None else 0)
    finally:
        monitor.tree.kill()
        containers.close()
        process.join(10)
        exitcode = process.exitcode
        with contextlib.suppress(ValueError):
            process.close()
        answer = answer or next((m for m in read_messages(ours) if m[0] in _ANSWERS), None)
        ours.close()
        shorten_log(task.log)
    if outcome is None:
        killed, lost = count_oom_kills() > oom_kills, not server_is_running(server)
        outcome = _outcome(answer, exitcode, out_of_memory=killed, lost=lost)
    monitor.add_costs(outcome)
    if containers.were_started:
        outcome.peak_memory_mb = containers.add_costs(outcome.value)
    return outcome


def _container_host(task: Task | ReadingTask, limits: Limits) -> ContainerHost:
    """Return what runs the containers of the process: only in folders that it may write."""
    folders = () if task.wall is None else task.wall.writable
    return ContainerHost(folders, task.threads, limits.memory_gib)


def _start(function: str, task: Task | ReadingTask, mark: int) -> tuple[Any, Connection, int]:
    """Start the process; returns it, the driver's end of its pipe, and the id of its server."""
    ours, theirs = Pipe()
    try:
        process, server = start_process(main, (TASKS, function, task, theirs, mark))
        return process, ours, server
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()


def _handle_messages(
    connection: Connection,
    monitor: _ProcessMonitor,
    containers: ContainerHost,
    on_progress: ProgressHandler,
) -> tuple[str, Any] | None:
    """Handle the messages of a process; returns its final message, if it has arrived."""
    answer = None
    for kind, value in read_messages(connection):
        if kind == "started":
            monitor.begin(value)
        elif kind in _FIT_MARKS:
            monitor.mark(kind)
        elif kind == REQUEST:
            containers.start(value)
        elif kind in _ANSWERS:
            answer = (kind, value)
        elif stop_reason := on_progress(value):
            _ask_to_stop(connection, stop_reason)
    return answer


def _ask_to_stop(connection: Connection, reason: str) -> None:
    with contextlib.suppress(OSError):  # it has just ended by itself
        connection.send_bytes(reason.encode())


def _outcome(
    answer: tuple[str, Any] | None, exitcode: int | None, *, out_of_memory: bool, lost: bool
) -> ProcessOutcome:
    """Return the outcome by the child's final message or, without one, by its exit code.

    ``lost``: the server of the process has ended, so the exit code is unknown.
    """
    if answer is not None and answer[0] == "done":
        return ProcessOutcome("done", value=answer[1])
    if answer is not None:
        return ProcessOutcome(answer[1]["status"], answer[1]["reason"])
    if exitcode is None or (exitcode == _UNKNOWN_END and lost):
        return ProcessOutcome("interrupted", "the server of its process ended")
    if exitcode >= 0:
        return ProcessOutcome("failed", f"ended with exit code {exitcode} and without a result")
    name = _signal_name(-exitcode)
    if exitcode == -signal.SIGKILL and out_of_memory:
        return ProcessOutcome("oom", "killed by the system, which was out of memory")
    if -exitcode in _FROM_OUTSIDE:
        return ProcessOutcome("interrupted", f"ended by {name} from another process")
    return ProcessOutcome("failed", f"crashed with {name}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


class _ProcessMonitor:
    """Check one process tree against its limits."""

    def __init__(self, tree: ProcessTree, limits: Limits, started: float) -> None:
        self.tree, self.limits, self.started = tree, limits, started
        self.baseline = 0
        self._begun: float | None = None
        self.peak = 0
        self._processes: list[psutil.Process] = []
        self._listed_at = -_CHILDREN_SECONDS
        self._marks: dict[str, tuple[float, float]] = {}

    def check(self, cancelled: threading.Event | None) -> ProcessOutcome | None:
        """Measure the tree; returns an outcome if the process is cancelled or over a limit."""
        if cancelled is not None and cancelled.is_set():
            return ProcessOutcome("cancelled", "interrupted")
        now = time.monotonic()
        if over := self._over_time(now):
            return over
        if now - self._listed_at >= _CHILDREN_SECONDS:
            self._processes, self._listed_at = self.tree.processes(), now
        resident = sum(self._resident())
        limit = self.baseline + self.limits.memory_gib * 2**30
        if resident > limit and len(self._processes) > 1:
            resident = sum(self._shares())
        self.peak = max(self.peak, resident)
        if self.baseline and resident > limit:
            return ProcessOutcome("oom", f"more than the limit of {self.limits.memory_gib:g} GiB")
        return None

    def _over_time(self, now: float) -> ProcessOutcome | None:
        """Return the outcome ``timeout`` if the process takes too long.

        The limit applies to the fit alone: a busy machine may take long to start the process and
        to import libraries.
        """
        if self._begun is None:
            if now - self.started <= _START_SECONDS:
                return None
            return ProcessOutcome(
                "interrupted", f"its process did not start within {_START_SECONDS:g} s"
            )
        seconds, begun = self.limits.seconds, self._begun
        if _FIT_MARKS[0] in self._marks:
            begun = self._marks[_FIT_MARKS[0]][0]
        else:
            seconds = max(seconds, _SETUP_SECONDS)
        if now - begun <= seconds:
            return None
        return ProcessOutcome("timeout", f"longer than the limit of {seconds:g} s")

    def begin(self, resident: int) -> None:
        """Record that the process runs, and its memory before the work."""
        self.baseline, self._begun = resident, time.monotonic()

    def mark(self, kind: str) -> None:
        """Record wall and CPU time of the tree at the begin or the end of a fit."""
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
        for process in self.tree.processes():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
                total += times.children_user + times.children_system
        return total

    def _resident(self) -> Iterator[int]:
        for process in self._processes:
            with contextlib.suppress(psutil.Error):
                yield process.memory_info().rss

    def _shares(self) -> Iterator[int]:
        """Yield the memory of each process, with shared pages divided among the processes."""
        for process in self._processes:
            with contextlib.suppress(psutil.Error):
                try:
                    yield process.memory_full_info().pss
                except (psutil.AccessDenied, AttributeError):
                    yield process.memory_info().rss
