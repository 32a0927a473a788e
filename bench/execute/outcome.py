"""The outcome of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from bench.plan.job import FAILURES, Plan
from bench.reports.tables.label_free import label_free_table, sentence, without_labels
from bench.reports.tables.leaderboard import tidy
from bench.reports.tables.short_leaderboard import short_leaderboard
from bench.store.results_table import choose_columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.settings import Settings

    from .outcome_plots import OutcomePlots


@dataclass(repr=False)
class RunOutcome:
    """The results of a run and how its jobs ended; a notebook shows the leaderboard."""

    plan: Plan
    settings: Settings
    fitted: int = 0
    """Jobs that were run now."""
    reused: int = 0
    """Jobs that were in the store."""
    counts: Counter[str] = field(default_factory=Counter)
    """Jobs of the plan by status, stored ones included."""
    table: pd.DataFrame | None = None
    """One row a job with all columns, excluded combinations among them."""
    report: Path | None = None
    """The page of the report."""
    interrupted: bool = False
    session: str = ""
    """Id of the run of MLflow above the jobs that were run now; empty if there were none."""

    @property
    def results(self) -> pd.DataFrame:
        """The usual scores, time and memory, one row a job."""
        return self.load_results()

    def load_results(
        self, *, long: bool = False, columns: str | Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return the results of this run; ``long`` and ``columns`` as `bench.load_results`."""
        table = pd.DataFrame() if self.table is None else self.table
        return choose_columns(table, long=long, columns=columns)

    @property
    def plot(self) -> OutcomePlots:
        """Figures of the results."""
        from .outcome_plots import OutcomePlots  # loads libraries of figures

        table = pd.DataFrame() if self.table is None else self.table
        return OutcomePlots(table, self.settings.results)

    @property
    def exit_code(self) -> int:
        """130 interrupted, 3 if a job failed, else 0."""
        if self.interrupted:
            return 130
        return 3 if any(self.counts[status] for status in FAILURES) else 0

    @property
    def summary(self) -> str:
        """How many jobs ended how, in one line."""
        counts = ", ".join(f"{number} {status}" for status, number in sorted(self.counts.items()))
        return f"{self.fitted} fitted now, {self.reused} from the store: {counts}"

    def _tables(self) -> list[tuple[pd.DataFrame, list[str]]]:
        """Return the leaderboard and the scores of data without labels, each with its notes."""
        if self.table is None or not (self.table["status"] == "done").any():
            return []
        table, tables = tidy(self.table), []
        labelled = table[~without_labels(table)]
        if (labelled["status"] == "done").any():
            rows, notes = short_leaderboard(labelled)
            board = pd.DataFrame(rows)
            tables.append((board.loc[:, (board != "").any()], notes))
        if text := sentence(table):
            scores = label_free_table(table).drop(columns="note")
            tables.append((scores.round(3).fillna("–"), [text]))
        return tables

    def _last_lines(self) -> list[str]:
        """Return the reasons of failed jobs, the counts and the place of the report."""
        lines = []
        if self.table is not None and "reason" in self.table:
            failed = self.table[self.table["status"].isin([*FAILURES, "skipped", "unavailable"])]
            columns = failed[["method", "dataset", "status", "reason"]].drop_duplicates()
            lines = [f"{m} on {d}: {s}: {why}" for m, d, s, why in columns.itertuples(index=False)]
        return [*lines, self.summary, *([f"report: {self.report}"] if self.report else [])]

    def __repr__(self) -> str:
        parts = [
            text
            for board, notes in self._tables()
            for text in (board.to_string(index=False), *notes)
        ]
        return "\n".join([*parts, *self._last_lines()])

    def _repr_html_(self) -> str:
        parts = [
            board.to_html(index=False, border=0) + _paragraph(notes)
            for board, notes in self._tables()
        ]
        return "".join([*parts, _paragraph(self._last_lines())])


def _paragraph(lines: Sequence[str]) -> str:
    return f"<p>{'<br>'.join(map(escape, lines))}</p>" if lines else ""
