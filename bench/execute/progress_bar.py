"""What a run shows while it works: a bar with an estimate, or a line a job if not a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.messages import format_duration
from bench.plan.job import Job
from bench.store.result import Result

STYLES = {"done": "green", "pruned": "dim", "skipped": "dim", "unavailable": "dim"}


class Display:
    """Progress of one run; use as a context manager.

    ``done`` of ``total`` jobs (0: nobody knows how many) are done before; ``score`` says what a
    job reached, after its time.
    """

    def __init__(
        self,
        console: Console,
        total: int,
        workers: int,
        expected: float | None,
        *,
        done: int = 0,
        score: Callable[[Result], str] | None = None,
    ) -> None:
        self._console, self._total, self._workers = console, total, workers
        self._before, self._score = done, score or _ari
        self._expected = expected
        self._started = time.monotonic()
        self._count = done
        self._lock = threading.Lock()
        self._running: dict[str, Any] = {}
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("{task.fields[note]}"),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._all = self._progress.add_task("jobs", total=total or None, note=self._left())

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def news(self, job: Job, news: dict[str, Any]) -> None:
        """Show the step of a running job."""
        with self._lock:
            if job.score_key not in self._running:
                self._running[job.score_key] = self._progress.add_task(
                    escape(f"  {job.name}"), total=news["total"], note=""
                )
            note = ", ".join(f"{name} {value:.4g}" for name, value in news["values"].items())
            self._progress.update(
                self._running[job.score_key], completed=news["step"], total=news["total"],
                note=note,
            )  # fmt: skip

    def ended(self, job: Job, result: Result | None) -> None:
        """Show how a job ended; ``None``: another process has done it."""
        with self._lock:
            task = self._running.pop(job.score_key, None)
            if task is not None:
                self._progress.remove_task(task)
            self._count += 1
            self._progress.update(self._all, completed=self._count, note=self._left())
        width = len(str(self._total))
        known = f"{self._count:>{width}}/{self._total}" if self._total else f"{self._count}"
        head = f"[{known}] {job.name}"
        if result is None:
            self._console.print(f"{head}  done by another process", highlight=False, markup=False)
            return
        if result.status == "done":
            text = f"  {result.measures['seconds']:.1f} s{self._score(result)}"
        else:
            text = f"  {result.reason}"
        self._console.print(
            escape(head) + "  ", f"[{STYLES.get(result.status, 'red')}]{result.status}[/]", end="",
            sep="", highlight=False,
        )  # fmt: skip
        self._console.print(text, markup=False, highlight=False)

    def _left(self) -> str:
        """Return an estimate of the time left, from the pace so far or from earlier runs."""
        if not self._total:
            return ""
        spent = time.monotonic() - self._started
        if self._count > self._before:
            left = spent / (self._count - self._before) * (self._total - self._count)
        elif self._expected is not None:
            left = self._expected
        else:
            return ""
        return f"about {format_duration(left)} left"


def _ari(result: Result) -> str:
    ari = result.metrics.get("kmeans/ari")
    protocol = "" if result.job.protocol == "default" else f", {result.job.protocol}"
    return "" if ari is None else f", ARI {ari:z.3f} (k-means, k from truth{protocol})"
