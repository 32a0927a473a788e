"""The outcome of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.plan.job import FAILURES, Plan

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


@dataclass
class RunOutcome:
    """The results of a run and how its jobs ended."""

    plan: Plan
    fitted: int = 0
    """Jobs that were run now."""
    reused: int = 0
    """Jobs that were in the store."""
    counts: Counter[str] = field(default_factory=Counter)
    """Jobs of the plan by status, stored ones included."""
    results: pd.DataFrame | None = None
    report: Path | None = None
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """130 interrupted, 3 if a job failed, else 0."""
        if self.interrupted:
            return 130
        return 3 if any(self.counts[status] for status in FAILURES) else 0
