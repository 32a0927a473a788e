"""The report's tables as Markdown, for a README or an issue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..tables.labels import FIRST, MAIN, label, with_interval
from ..tables.leaderboard import as_text, leaderboard, summary, tidy, with_brackets
from ..tables.verdict import counts, verdict, warnings
from . import tuning_section as tuning
from .published_section import Section, section
from .score_grid import by_job

_SHOWN = (
    MAIN, "kmeans/nmi", "leiden/ari", *(key for key in FIRST if key.startswith("paired/")),
    "seconds", "peak_memory_mb",
)  # fmt: skip


def as_markdown(
    results: pd.DataFrame,
    *,
    title: str,
    command: str,
    studies: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return verdict, searches, leaderboard and scores as Markdown."""
    table = tidy(results)
    lines = [f"# {escape_markdown(title)}", "", f"{counts(table)}", ""]
    lines += [f"- **Note:** {escape_markdown(text)}" for text in warnings(results)]
    for sentence in verdict(table):
        about = f"**{escape_markdown(sentence.about)}**: " if sentence.about else ""
        lines.append(f"- {about}{escape_markdown(sentence.text)}")
    if studies:
        lines += ["", "## Searches", "", to_markdown(tuning.table(studies)), ""]
        lines += [f"- {escape_markdown(text)}" for text in tuning.sentences(studies)]
        optimism = tuning.optimism(studies)
        if len(optimism):
            lines += ["", "### Optimism of oracle", "", tuning.optimism_text(optimism), ""]
            lines += [to_markdown(optimism)]
    lines += [
        "",
        f"## Methods by {label(MAIN)}",
        "",
        to_markdown(with_brackets(leaderboard(table))),
    ]
    lines += ["", "## Scores", "", "Mean ± 95 % t-interval over seeds.", ""]
    lines += [
        to_markdown(_wide(table)),
        "",
        *published_lines(section(table)),
        "Made by:",
        "",
        *(f"    {line}" for line in command.splitlines()),
    ]
    return "\n".join(lines) + "\n"


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    """Return methods × datasets as rows, the main metrics as columns of text."""
    rows = []
    for (method, dataset), values in sorted(
        by_job(summary(table)).items(), key=lambda item: list(table["dataset"]).index(item[0][1])
    ):
        row = {"dataset": dataset, "method": method}
        for key in _SHOWN:
            if key in values:
                found, digits = values[key], 3 if "/" in key else 1
                row[label(key)] = with_interval(found["mean"], found["half_width"], digits)
        rows.append(row)
    return pd.DataFrame(rows)


def published_lines(found: Section) -> list[str]:
    """Return the published figures beside ours; nothing without any."""
    if not found.blocks:
        return []
    lines = ["## Published figures beside ours", ""]
    lines += [
        "± is the standard deviation over runs for published figures, the 95 % t-interval over"
    ]
    lines += ["seeds for ours; the difference is ours minus published.", ""]
    lines += [f"- {escape_markdown(text)}" for text in found.notes]
    for block in found.blocks:
        note = f" Note: {escape_markdown(block.note)}." if block.note else ""
        lines += [
            "",
            f"### {escape_markdown(block.dataset)}",
            "",
            f"In papers: {block.paper}.{note}",
            "",
        ]
        cells = [*block.grid.rows, *block.grid.controls]
        rows = [[cell.text for cell in row] for row in cells]
        heads = [column.text for column in block.grid.columns]
        lines += [to_markdown(pd.DataFrame(rows, columns=heads)), ""]
        lines += [f"{n}. {escape_markdown(text)}" for n, text in enumerate(block.remarks, 1)]
    lines += [
        "",
        *(f"- {word}: {escape_markdown(meaning)}" for word, meaning in found.flags.items()),
    ]
    lines += [
        f"- [{n}] {escape_markdown(one.citation)}: {escape_markdown(one.where)}"
        for n, one in found.sources
    ]
    return [*lines, ""]


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown; pipes and line ends in texts cannot break it."""
    text = as_text(table)
    lines = [
        "| " + " | ".join(escape_markdown(str(c)) for c in text.columns) + " |",
        "|" + " --- |" * len(text.columns),
    ]
    lines += ["| " + " | ".join(escape_markdown(v) for v in row) + " |" for row in text.to_numpy()]
    return "\n".join(lines)


def escape_markdown(text: str) -> str:
    """Return a text that Markdown shows as it is, in one line."""
    escaped = " ".join(str(text).split()).replace("\\", "\\\\").replace("|", "\\|")
    return escaped.replace("<", "&lt;").replace(">", "&gt;")
