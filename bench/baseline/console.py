"""A check for people and for CI services: Markdown, JUnit XML, JSON, a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as tree

from rich import box
from rich.table import Table
from rich.text import Text

from .verdicts import BAD, INCOMPLETE

if TYPE_CHECKING:
    from bench.baseline.gate import Check

    from .verdicts import Finding

_WORDS = {
    0: "passed: nothing is worse than in the baseline",
    1: "failed: results are worse than in the baseline",
    3: "incomplete: something could not be compared",
    130: "interrupted",
}
_HEAD = ("verdict", "method", "dataset", "metric", "before", "now", "limit", "reason")


def summary(check: Check) -> str:
    """Return the outcome in one line."""
    counts = Counter(one.verdict for one in check.findings)
    listed = ", ".join(f"{number} {verdict}" for verdict, number in counts.most_common())
    tiers = Counter(one.tier for one in check.findings if one.tier)
    how = ", ".join(f"{number} by {_tier(tier)}" for tier, number in tiers.most_common())
    return f"check {_WORDS[check.exit_code]} ({listed}{'; ' + how if how else ''})"


def place(check: Check) -> str:
    """Return in one line where the check ran, and what that means for its limits."""
    made = check.environment
    here = f"{made['processor']}, {made['threads']} thread(s), {made['device']}"
    if not check.elsewhere:
        return f"Run in the baseline's environment ({here}): equal code gives equal numbers."
    return (
        f"Run in another environment than the baseline ({check.elsewhere}): limits come from the "
        "spread over seeds."
    )


def as_json(check: Check) -> dict[str, Any]:
    """Return everything as plain values."""
    return {
        "exit_code": check.exit_code,
        "summary": summary(check),
        "environment": check.environment,
        "elsewhere": check.elsewhere,
        "findings": [asdict(one) for one in check.findings],
        "costs": check.costs,
    }


def table(check: Check, *, everything: bool = False) -> Table:
    """Return the findings that are not a plain pass as a rich table."""
    styles = {"regression": "red", "failed": "red", "missing": "yellow", "improved": "green"}
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in _HEAD:
        shown.add_column(name, overflow="fold")
    for one in check.findings:
        if everything or one.verdict != "pass":
            cells = _cells(one)
            verdict = Text(cells[0], style=styles.get(cells[0], ""))
            shown.add_row(verdict, *(Text(cell) for cell in cells[1:]))
    return shown


def markdown(check: Check) -> str:
    """Return the check as Markdown, what did not pass first."""
    bad = [one for one in check.findings if one.verdict != "pass"]
    lines = [f"## {summary(check)}", "", place(check), ""]
    if bad:
        lines += [*_markdown_table(_HEAD, [_cells(one) for one in bad]), ""]
    every = _markdown_table(_HEAD, [_cells(one) for one in check.findings])
    lines += _folded("All comparisons", every)
    if check.costs:
        columns = tuple(check.costs[0])
        rows = [[_plain(row[name]) for name in columns] for row in check.costs]
        lines += _folded("Time and memory (shown, never compared)", _markdown_table(columns, rows))
    return "\n".join(lines)


def junit(check: Check) -> str:
    """Return the check as JUnit XML: a regression is a failure, what is incomplete an error."""
    suite = tree.Element(
        "testsuite",
        name="bench check",
        tests=str(len(check.findings)),
        failures=str(sum(one.verdict in BAD for one in check.findings)),
        errors=str(sum(one.verdict in INCOMPLETE for one in check.findings)),
    )
    for one in check.findings:
        place = f"{one.dataset}.{one.method}"
        case = tree.SubElement(suite, "testcase", classname=place, name=one.metric)
        text = ", ".join(f"{n} {c}" for n, c in zip(_HEAD, _cells(one), strict=True) if c)
        # XML 1.0 has no control characters, and messages of libraries may colour their text.
        text = "".join(char for char in text if char.isprintable())
        if one.verdict in BAD:
            tree.SubElement(case, "failure", message=text)
        elif one.verdict in INCOMPLETE:
            tree.SubElement(case, "error", message=text)
        else:
            tree.SubElement(case, "system-out").text = text
    tree.indent(suite)
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return head + tree.tostring(suite, encoding="unicode") + "\n"


def _tier(tier: str) -> str:
    return "equal numbers" if tier == "same environment" else "the spread over seeds"


def _cells(one: Finding) -> list[str]:
    numbers = (one.before, one.now, one.limit)
    return [
        one.verdict, one.method, one.dataset, one.metric, *(_plain(n) for n in numbers),
        one.reason,
    ]  # fmt: skip


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _markdown_table(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in r) + " |" for r in rows]


def _folded(title: str, lines: list[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]
