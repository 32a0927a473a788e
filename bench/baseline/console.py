"""A check as a table, Markdown, JUnit XML or JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as tree

from rich import box
from rich.table import Table
from rich.text import Text

from .verdicts import INCOMPLETE, REGRESSIONS

if TYPE_CHECKING:
    from bench.baseline.gate import GateCheck

    from .verdicts import GateFinding

_WORDS = {
    0: "passed: nothing is worse than in the baseline",
    1: "failed: results are worse than in the baseline",
    3: "incomplete: something could not be compared",
    130: "interrupted",
}
_TIERS = {"same environment": "equal numbers", "seeds": "the spread over seeds"}
_HEAD = ("verdict", "method", "dataset", "metric", "before", "now", "limit", "reason")


def summary(check: GateCheck) -> str:
    """Return the outcome in one line."""
    verdicts = Counter(finding.verdict for finding in check.findings)
    counts = [f"{number} {verdict}" for verdict, number in verdicts.most_common()]
    tiers = Counter(_TIERS[finding.tier] for finding in check.findings if finding.tier)
    methods = [f"{number} by {tier}" for tier, number in tiers.most_common()]
    details = "; ".join(", ".join(parts) for parts in (counts, methods) if parts)
    return f"check {_WORDS[check.exit_code]} ({details})"


def environment_line(check: GateCheck) -> str:
    """Return one line with the environment of the check and the kind of its limits."""
    facts = check.environment
    here = f"{facts['processor']}, {facts['threads']} thread(s), {facts['device']}"
    if not check.elsewhere:
        return f"Run in the baseline's environment ({here}): equal code gives equal numbers."
    return (
        f"Run in another environment than the baseline ({check.elsewhere}): limits come from the "
        "spread over seeds."
    )


def as_json(check: GateCheck) -> dict[str, Any]:
    """Return the check as plain JSON types."""
    return {
        "exit_code": check.exit_code,
        "summary": summary(check),
        "environment": check.environment,
        "elsewhere": check.elsewhere,
        "findings": [asdict(finding) for finding in check.findings],
        "costs": check.costs,
    }


def table(check: GateCheck, *, everything: bool = False) -> Table:
    """Return the findings that did not simply pass, or all, as a rich table."""
    styles = {"regression": "red", "failed": "red", "missing": "yellow", "improved": "green"}
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in _HEAD:
        rows.add_column(name, overflow="fold")
    for finding in check.findings:
        if everything or finding.verdict != "pass":
            verdict, *cells = _cells(finding)
            style = styles.get(verdict, "")
            rows.add_row(Text(verdict, style=style), *(Text(cell) for cell in cells))
    return rows


def markdown(check: GateCheck) -> str:
    """Return the check as Markdown, findings that did not pass first."""
    rows = [_cells(finding) for finding in check.findings]
    not_passed = [row for row in rows if row[0] != "pass"]
    lines = [f"## {summary(check)}", "", environment_line(check), ""]
    if not_passed:
        lines += [*_markdown_table(_HEAD, not_passed), ""]
    lines += _details("All comparisons", _markdown_table(_HEAD, rows))
    if check.costs:
        columns = tuple(check.costs[0])
        rows = [[_plain(row[name]) for name in columns] for row in check.costs]
        lines += _details(
            "Time and memory (shown, never compared)", _markdown_table(columns, rows)
        )
    return "\n".join(lines)


def junit(check: GateCheck) -> str:
    """Return the check as JUnit XML: regressions are failures, incomplete comparisons errors."""
    verdicts = [finding.verdict for finding in check.findings]
    suite = tree.Element(
        "testsuite",
        name="bench check",
        tests=str(len(verdicts)),
        failures=str(sum(verdict in REGRESSIONS for verdict in verdicts)),
        errors=str(sum(verdict in INCOMPLETE for verdict in verdicts)),
    )
    for finding in check.findings:
        class_name = f"{finding.dataset}.{finding.method}"
        case = tree.SubElement(suite, "testcase", classname=class_name, name=finding.metric)
        cells = zip(_HEAD, _cells(finding), strict=True)
        text = ", ".join(f"{name} {cell}" for name, cell in cells if cell)
        # XML 1.0 has no control characters, and messages of libraries may colour their text.
        text = "".join(char for char in text if char.isprintable())
        if finding.verdict in REGRESSIONS:
            tree.SubElement(case, "failure", message=text)
        elif finding.verdict in INCOMPLETE:
            tree.SubElement(case, "error", message=text)
        else:
            tree.SubElement(case, "system-out").text = text
    tree.indent(suite)
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return head + tree.tostring(suite, encoding="unicode") + "\n"


def _cells(finding: GateFinding) -> list[str]:
    return [_plain(getattr(finding, name)) for name in _HEAD]


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _markdown_table(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in r) + " |" for r in rows]


def _details(title: str, lines: list[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]
