"""The report's tables as Markdown, for a README or an issue."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..tables.knowledge import uses_text
from ..tables.label_free import label_free_table, meanings, without_labels
from ..tables.labels import DEFAULT_COLUMNS, MAIN_METRIC, interval_text, label
from ..tables.leaderboard import as_text, leaderboard, summary, tidy, with_brackets
from ..tables.verdict import counts, verdict, warnings
from .published_section import PublishedSection, published_section
from .score_tables import summaries_by_job
from .tuning_section import Study, gain_table, optimism_sentence, oracle_optimism, study_sentences

_COLUMNS = (
    MAIN_METRIC, "kmeans/nmi", "leiden/ari",
    *(key for key in DEFAULT_COLUMNS if key.startswith("paired/")), "seconds", "peak_memory_mb",
)  # fmt: skip


def report_markdown(
    results: pd.DataFrame, *, title: str, command: str, studies: Sequence[Study] = ()
) -> str:
    """Return verdict, searches, leaderboard and scores as Markdown."""
    table = tidy(results)
    lines = [f"# {escape_markdown(title)}", "", counts(table), ""]
    lines += [f"- **Note:** {escape_markdown(text)}" for text in warnings(results)]
    for sentence in verdict(table):
        about = f"**{escape_markdown(sentence.about)}**: " if sentence.about else ""
        lines.append(f"- {about}{escape_markdown(sentence.text)}")
    if studies:
        lines += _study_lines(studies)
    unlabelled = without_labels(table)
    lines += _label_free_lines(table) if unlabelled.any() else []
    table = table[~unlabelled]
    if len(table):
        board = markdown_table(with_brackets(leaderboard(table)))
        lines += ["", f"## Methods by {label(MAIN_METRIC)}", "", board]
        lines += ["", "## Scores", "", "Mean ± 95 % t-interval over seeds.", ""]
        lines += [markdown_table(_score_table(table)), ""]
        lines += _published_lines(published_section(table))
    return "\n".join([*lines, *command_block(command)]) + "\n"


def _label_free_lines(table: pd.DataFrame) -> list[str]:
    """Return the scores of data without labels, and what each can tell."""
    found = label_free_table(table)
    lines = ["", "## Scores without labels", "", markdown_table(found), ""]
    lines += [f"- **{name}**: {escape_markdown(text)}" for name, text in meanings(found)]
    return [*lines, ""]


def command_block(command: str) -> list[str]:
    """Return the commands of a report as a code block."""
    return ["Made by:", "", *(f"    {line}" for line in command.splitlines())]


def _study_lines(studies: Sequence[Study]) -> list[str]:
    lines = ["", "## Searches", "", markdown_table(gain_table(studies)), ""]
    lines += [f"- {escape_markdown(text)}" for text in study_sentences(studies)]
    optimism = oracle_optimism(studies)
    if len(optimism):
        lines += ["", "### Optimism of oracle", "", optimism_sentence(optimism), ""]
        lines.append(markdown_table(optimism))
    return lines


def _score_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per dataset and method, with the main metrics as text."""
    datasets = list(table["dataset"])
    shown = [name for name in table if "/" not in str(name) or name in _COLUMNS]
    summaries = summaries_by_job(summary(table[shown]))
    groups = table.groupby(["method", "dataset"])
    rows = []
    for method, dataset in sorted(summaries, key=lambda job: datasets.index(job[1])):
        uses = uses_text(groups.get_group((method, dataset)))
        row = {"dataset": dataset, "method": method, "uses": uses}
        for key in _COLUMNS:
            if key in summaries[method, dataset]:
                values = summaries[method, dataset][key]
                digits = 3 if "/" in key else 1
                row[label(key)] = interval_text(values["mean"], values["half_width"], digits)
        rows.append(row)
    return pd.DataFrame(rows)


def _published_lines(section: PublishedSection) -> list[str]:
    """Return the published scores beside ours; empty without any."""
    if not section.datasets:
        return []
    lines = ["## Published figures beside ours", ""]
    lines += ["± is the standard deviation over runs for published figures, and the 95 %"]
    lines += ["t-interval over seeds for ours. The difference is ours minus published.", ""]
    lines += [f"- {escape_markdown(text)}" for text in section.notes]
    for block in section.datasets:
        note = f" Note: {escape_markdown(block.note)}." if block.note else ""
        lines += ["", f"### {escape_markdown(block.dataset)}", ""]
        lines += [f"In papers: {block.paper}.{note}", ""]
        rows = [[cell.text for cell in row] for row in block.table.all_rows]
        heads = [column.text for column in block.table.columns]
        lines += [markdown_table(pd.DataFrame(rows, columns=heads)), ""]
        lines += [f"{n}. {escape_markdown(text)}" for n, text in enumerate(block.remarks, 1)]
    flags = section.flags.items()
    lines += ["", *(f"- {word}: {escape_markdown(meaning)}" for word, meaning in flags)]
    lines += [
        f"- [{n}] {escape_markdown(source.citation)}: {escape_markdown(source.where)}"
        for n, source in section.sources
    ]
    return [*lines, ""]


def markdown_table(table: pd.DataFrame) -> str:
    """Return a table in Markdown, with the pipes and line ends of its texts escaped."""
    text = as_text(table)
    lines = [
        "| " + " | ".join(escape_markdown(str(c)) for c in text.columns) + " |",
        "|" + " --- |" * len(text.columns),
    ]
    lines += ["| " + " | ".join(escape_markdown(v) for v in row) + " |" for row in text.to_numpy()]
    return "\n".join(lines)


def escape_markdown(text: str) -> str:
    """Return a text in one line without Markdown or HTML markup."""
    escaped = " ".join(str(text).split()).replace("\\", "\\\\").replace("|", "\\|")
    return escaped.replace("<", "&lt;").replace(">", "&gt;")
