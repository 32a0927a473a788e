"""Jobs that failed, and combinations that were not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .eligible import FAILED, NOT_RUN
from .leaderboard import tidy

if TYPE_CHECKING:
    import pandas as pd


def failures(results: pd.DataFrame) -> pd.DataFrame:
    """Return the jobs that ran and failed: method, dataset, seed, status, reason, log tail."""
    table = tidy(results)
    columns = ["method", "dataset", "seed", "status", "reason", "log_tail"]
    return table.loc[table["status"].isin(FAILED), columns].reset_index(drop=True)


def not_run(results: pd.DataFrame) -> pd.DataFrame:
    """Return the combinations that were left out or stopped early, with the reason."""
    table = tidy(results)
    columns = ["method", "dataset", "status", "reason"]
    rows = table.loc[table["status"].isin(NOT_RUN), columns]
    return rows.drop_duplicates().reset_index(drop=True)


def not_run_by_reason(results: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Return each reason with the combinations that were not run for it."""
    reasons: dict[str, list[str]] = {}
    for row in not_run(results).to_dict("records"):
        names = reasons.setdefault(f"{row['status']}: {row['reason']}".rstrip(": "), [])
        names.append(f"{row['method']} on {row['dataset']}" if row["dataset"] else row["method"])
    return list(reasons.items())
