"""What the tests of faults share, and the parts of docs/reliability.md, which they write."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient


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
    """Write a table under a heading in place of the one before.

    The file is named by ``BENCH_FAULTS_REPORT``; without it nothing is written.
    """
    name = os.environ.get("BENCH_FAULTS_REPORT")
    if not name:
        return
    lines = [
        f"## {title}", "",
        f"{len(rows)} faults, {sum(row.tries for row in rows)} tries: "
        f"{sum(row.lost for row in rows)} lost, {sum(row.doubled for row in rows)} doubled, "
        f"{max((row.orphans for row in rows), default=0)} orphans.", "",
        "| fault | outcome | tries | lost | doubled |", "| --- | --- | --: | --: | --: |",
        *(
            f"| {row.fault} | {row.outcome}{'' if row.expected else ' (unexpected)'} | "
            f"{row.tries} | {row.lost} | {row.doubled} |"
            for row in rows
        ), "",
    ]  # fmt: skip
    part, path = "\n".join(lines) + "\n", Path(name)
    with FileLock(Path(tempfile.gettempdir()) / "bench-reliability.lock"):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        old = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", text, re.M | re.S)
        if old:
            text = text[: old.start()] + part + text[old.end() :]
        else:
            text = f"{text.rstrip()}\n\n{part}"
        path.write_text(text.rstrip() + "\n", encoding="utf-8")


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
