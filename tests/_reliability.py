"""The parts of docs/reliability.md, which ``make faults`` writes."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock


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
