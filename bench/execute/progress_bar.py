"""The progress of a run: a bar with an estimate in a terminal, elsewhere one line a job."""

from __future__ import annotations

import importlib.util
import threading
import time
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.messages import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from bench.plan.job import Job
    from bench.store.result import Result

STYLES = {"done": "green", "pruned": "dim", "skipped": "dim", "unavailable": "dim"}


def describe_fit(result: Result) -> str:
    """Return the time of a finished job and its ARI under k-means."""
    seconds = f"{result.measures['seconds']:.1f} s"
    ari = result.metrics.get("kmeans/ari")
    protocol = "" if result.job.protocol == "default" else f", {result.job.protocol}"
    if ari is None:
        return seconds
    return f"{seconds}, ARI {ari:z.3f} (k-means, k from truth{protocol})"


def _shows_bars(console: Console) -> bool:
    """Return whether a console can change what it has shown; a notebook needs ipywidgets."""
    return console.is_terminal or (
        console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None
    )


class ProgressDisplay:
    """Progress of one run; use as a context manager.

    ``done`` of ``total`` jobs (0: unknown) were done before; ``expected_seconds`` is shown until
    the pace is known; ``describe`` gives the text that follows a job that is done.
    """

    def __init__(
        self,
        console: Console,
        total: int,
        expected_seconds: float | None = None,
        *,
        done: int = 0,
        describe: Callable[[Result], str] = describe_fit,
    ) -> None:
        self._console, self._total, self._expected = console, total, expected_seconds
        self._done_before, self._describe = done, describe
        self._started = time.monotonic()
        self._count = done
        self._lock = threading.Lock()
        self._running: dict[str, Any] = {}
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("{task.fields[note]}"),
            console=console, transient=True, disable=not _shows_bars(console),
        )  # fmt: skip
        self._all = self._progress.add_task("jobs", total=total or None, note=self._remaining())

    def __enter__(self) -> ProgressDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show_step(self, job: Job, report: dict[str, Any]) -> None:
        """Show the step of a running job."""
        with self._lock:
            if job.score_key not in self._running:
                self._running[job.score_key] = self._progress.add_task(
                    escape(f"  {job.name}"), total=report["total"], note=""
                )
            note = ", ".join(f"{name} {value:.4g}" for name, value in report["values"].items())
            self._progress.update(
                self._running[job.score_key], completed=report["step"], total=report["total"],
                note=note,
            )  # fmt: skip

    def show_end(self, job: Job, result: Result | None) -> None:
        """Show how a job ended; ``None``: another process has done it."""
        with self._lock:
            task = self._running.pop(job.score_key, None)
            if task is not None:
                self._progress.remove_task(task)
            self._count += 1
            self._progress.update(self._all, completed=self._count, note=self._remaining())
        width = len(str(self._total))
        number = f"{self._count:>{width}}/{self._total}" if self._total else f"{self._count}"
        line = escape(f"[{number}] {job.name}  ")
        if result is None:
            line += "done by another process"
        else:
            text = self._describe(result) if result.status == "done" else result.reason
            style = STYLES.get(result.status, "red")
            line += f"[{style}]{result.status}[/]  {escape(text)}"
        self._console.print(line, highlight=False)

    def _remaining(self) -> str:
        """Return an estimate of the time left, from the pace so far or from earlier runs."""
        if not self._total:
            return ""
        spent = time.monotonic() - self._started
        if self._count > self._done_before:
            seconds = spent / (self._count - self._done_before) * (self._total - self._count)
        elif self._expected is not None:
            seconds = self._expected
        else:
            return ""
        return f"about {format_duration(seconds)} left"
