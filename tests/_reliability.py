"""What the tests of faults share, and the parts of docs/reliability.md, which they write."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient

_HEADER = """# Reliability

`make faults` tries what can go wrong and writes the tables below. *Lost* are jobs without a
result, *doubled* those with two, *orphans* processes that are left at the end. An outcome is a
status of the job: `interrupted` is not the method's doing and runs again at the next start.
What does not end so is marked as unexpected. Each row is from the last time that its fault was
tried. Downloads that break off or are damaged are tried in `tests/data/remote`.
The long arrays run with `BENCH_ARRAY_JOBS=1000 BENCH_ARRAY_STUBS=10000 make faults`.
"""


@dataclass
class Row:
    """One fault and what came of it."""

    fault: str
    outcome: str
    tries: int
    lost: int = 0
    """Jobs without a result."""
    doubled: int = 0
    """Jobs with two results."""
    orphans: int = 0
    """Processes that were left."""
    expected: bool = True
    """Whether the outcome is one that the fault should have."""


def write_part(title: str, rows: list[Row]) -> None:
    """Add rows to the table under a heading, in place of those of the same faults.

    The file is named by ``BENCH_FAULTS_REPORT``; without it nothing is written.
    """
    name = os.environ.get("BENCH_FAULTS_REPORT")
    if not name:
        return
    path = Path(name)
    with FileLock(Path(tempfile.gettempdir()) / "bench-reliability.lock"):
        parts = _read_parts(path.read_text(encoding="utf-8")) if path.is_file() else {}
        parts.setdefault(title, {}).update({row.fault: row for row in rows})
        text = _HEADER + "".join(_part(one, [*parts[one].values()]) for one in sorted(parts))
        path.write_text(text, encoding="utf-8")


def _read_parts(text: str) -> dict[str, dict[str, Row]]:
    parts: dict[str, dict[str, Row]] = {}
    for line in text.splitlines():
        if line.startswith("## "):
            rows = parts.setdefault(line.removeprefix("## "), {})
        cells = [cell.strip() for cell in line.strip("|").split(" |")]
        if len(cells) == 6 and cells[2].isdigit():
            rows[cells[0]] = Row(cells[0], cells[1], *map(int, cells[2:]))
    return parts


def _part(title: str, rows: list[Row]) -> str:
    lines = [
        "", f"## {title}", "",
        f"Attempts: {sum(row.tries for row in rows)}. "
        f"{sum(row.lost for row in rows)} lost, {sum(row.doubled for row in rows)} doubled, "
        f"{max(row.orphans for row in rows)} orphans.", "",
        "| fault | outcome | tries | lost | doubled | orphans |",
        "| --- | --- | --: | --: | --: | --: |",
        *(
            f"| {row.fault} | {row.outcome}{'' if row.expected else ' (unexpected)'} | "
            f"{row.tries} | {row.lost} | {row.doubled} | {row.orphans} |"
            for row in rows
        ),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def stored_runs(address: Path | str, kind: str = "job") -> list[Any]:
    """Return the runs of a kind in a results folder or on a server; no superseded ones."""
    uri = f"sqlite:///{address / 'mlflow.db'}" if isinstance(address, Path) else address
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("bench")
    if experiment is None:
        return []
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment.experiment_id], f"tags.kind = '{kind}'", max_results=1000, page_token=token
        )
        runs += [run for run in page if "superseded_by" not in run.data.tags]
        token = page.token
        if not token:
            return runs


def count_keys(runs: list[Any]) -> Counter[str]:
    """Return how often each job stands among runs."""
    return Counter(run.data.tags["score_key"] for run in runs)
