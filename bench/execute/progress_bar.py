"""The progress of a run: a bar with an estimate in a terminal, elsewhere lines.

A line a job, and one of a running fit where a minute passed without any.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from bench.messages import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from bench.plan.job import Job
    from bench.store.result import Result

_NAME, _BAR, _COUNT, _ELAPSED, _NOTE = 26, 10, 9, 7, 24
"""Widths of the columns in a terminal of 80; a wider one shows more of names, bars and notes."""
_SILENCE = 60.0
"""Seconds without a line after which a log hears of a running fit."""
STYLES = {"done": "green", "pruned": "dim", "skipped": "dim", "unavailable": "dim"}


def describe_fit(result: Result) -> str:
    """Return the time of a finished job and its ARI under k-means."""
    seconds = f"{result.measures['seconds']:.1f} s"
    ari = result.metrics.get("kmeans/ari")
    protocol = "" if result.job.protocol == "default" else f", {result.job.protocol}"
    if ari is None:
        return seconds
    return f"{seconds}, ARI {ari:z.3f} (k-means{protocol})"


def _shows_bars(console: Console) -> bool:
    """Return whether a console can change what it has shown; a notebook needs ipywidgets."""
    return console.is_terminal or (
        console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None
    )


class _NoteColumn(ProgressColumn):
    """What follows the time: the time left of the run, or the losses of a fit."""

    def __init__(self, width: int) -> None:
        super().__init__(Column(width=width, no_wrap=True, overflow="ellipsis"))
        self._width = width

    def render(self, task: Task) -> Text:
        """Return the time left, which counts down between two jobs, or the losses that fit in."""
        ends_at = task.fields.get("ends_at")
        if ends_at is None:
            return Text(_join_fitting(task.fields.get("notes", ()), self._width))
        left = ends_at - time.monotonic()
        return Text(f"about {format_duration(left)} left" if left > 1 else "later than expected")


def _spare(width: int) -> int:
    """Return what the columns leave of a terminal's width."""
    return max(0, width - _NAME - _BAR - _COUNT - _ELAPSED - _NOTE - 4)


def _name_width(width: int) -> int:
    return _NAME + _spare(width) // 4


def _shorten(name: str, width: int) -> str:
    """Return the name of a job without some of its middle; the seed stays."""
    if len(name) <= width:
        return name
    seed = name[name.rfind(" ·") :]
    return name[: max(0, width - len(seed) - 1)] + "…" + seed


def _columns(width: int) -> list[ProgressColumn]:
    """Return columns that fit into a line of the terminal, so that none is squeezed out."""
    bar = _BAR + min(30, _spare(width) // 4)
    note = _NOTE + _spare(width) - (_name_width(width) - _NAME) - (bar - _BAR)

    def column(size: int) -> Column:
        return Column(width=size, no_wrap=True, overflow="ellipsis")

    return [
        TextColumn("{task.description}", table_column=column(_name_width(width))),
        BarColumn(None, table_column=column(bar)),
        MofNCompleteColumn(table_column=column(_COUNT)),
        TimeElapsedColumn(table_column=column(_ELAPSED)),
        _NoteColumn(note),
    ]


def _join_fitting(texts: Sequence[str], width: int) -> str:
    """Return the first text, and those after it as long as they fit into a width."""
    line = "".join(texts[:1])
    for text in texts[1:]:
        if len(longer := f"{line}, {text}") > width:
            break
        line = longer
    return line


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
        self._last_line = self._started
        self._running: dict[str, Any] = {}
        self._progress = Progress(
            *_columns(console.width), console=console, transient=True,
            disable=not _shows_bars(console),
        )  # fmt: skip
        self._all = self._progress.add_task("jobs", total=total or None, ends_at=self._ends_at())

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
                    escape(f"  {_shorten(job.name, _name_width(self._console.width) - 2)}"),
                    total=report["total"],
                )
            notes = [f"{name} {value:.4g}" for name, value in report["values"].items()]
            self._progress.update(
                self._running[job.score_key], completed=report["step"], total=report["total"],
                notes=notes,
            )  # fmt: skip
            if self._progress.disable and time.monotonic() - self._last_line >= _SILENCE:
                self._last_line = time.monotonic()
                of = f" of {report['total']:,}" if report["total"] else ""
                text = ", ".join([f"step {report['step']:,}{of}", *notes])
                self._console.print(escape(f"{job.name}  {text}"), highlight=False)

    def show_end(self, job: Job, result: Result | None) -> None:
        """Show how a job ended; ``None``: another process has done it."""
        with self._lock:
            task = self._running.pop(job.score_key, None)
            if task is not None:
                self._progress.remove_task(task)
            self._count += 1
            self._last_line = time.monotonic()
            self._progress.update(self._all, completed=self._count, ends_at=self._ends_at())
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

    def _ends_at(self) -> float | None:
        """Return when the run may end, by the pace so far or by earlier runs, if it is known."""
        if not self._total:
            return None
        now = time.monotonic()
        if self._count > self._done_before:
            pace = (now - self._started) / (self._count - self._done_before)
            return now + pace * (self._total - self._count)
        return None if self._expected is None else now + self._expected
