"""Tables for a paper: leaderboard, summary and pairs in four formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..tables.label_free import label_free_table, without_labels
from ..tables.leaderboard import as_text, leaderboard, summary
from .markdown import markdown_table
from .pairwise_section import pairwise_differences

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "⚠": "!"} | {
    character: f"\\{character}" for character in "&%$#_{}"
}


def write_tables(results: pd.DataFrame, folder: Path) -> None:
    """Write each table as CSV, Parquet, Markdown and LaTeX."""
    folder.mkdir(parents=True, exist_ok=True)
    unlabelled = without_labels(results)
    tables = {"label_free": label_free_table(results)} if unlabelled.any() else {}
    results = results[~unlabelled]
    if len(results):
        tables |= {
            "leaderboard": leaderboard(results),
            "summary": summary(results),
            "pairs": pairwise_differences(results),
        }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
        table.to_parquet(folder / f"{name}.parquet", index=False)
        (folder / f"{name}.md").write_text(markdown_table(table) + "\n", encoding="utf-8")
        (folder / f"{name}.tex").write_text(_latex_table(as_text(table)), encoding="utf-8")


def _latex_table(text: pd.DataFrame) -> str:
    """Return a booktabs table with LaTeX's own characters escaped."""
    escaped = text.rename(columns=_escape_latex).map(_escape_latex)
    styled = escaped.style.hide(axis="index")
    return str(styled.to_latex(column_format="l" * text.shape[1], hrules=True))


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in str(text))
