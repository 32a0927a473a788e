"""The certificate of an audit, as JSON and as Markdown."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.data.cache.folder_state import write_text_atomically
from bench.provenance import command_line, cpu_kind, git_commit, package_versions
from bench.store.disk_errors import disk_errors

from .audit import NOT_CHECKED, REFITTED, RESCORED, AuditFinding, AuditOutcome
from .differences import DIFFERENT, EQUAL, WITHIN_SEEDS

_VERDICTS = (EQUAL, WITHIN_SEEDS, DIFFERENT, NOT_CHECKED)
_MEANING = {
    EQUAL: "to the last digit",
    WITHIN_SEEDS: "processor, versions or source differ, and the numbers by no more than seeds do",
    DIFFERENT: "more than processor, versions and seeds explain",
    NOT_CHECKED: "method, data or files are not here",
}


def write_certificate(outcome: AuditOutcome, folder: Path) -> tuple[Path, Path]:
    """Write ``certificate.json`` and ``certificate.md``; returns their paths."""
    facts = certificate_facts(outcome)
    paths = folder / "certificate.json", folder / "certificate.md"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(paths[0], json.dumps(facts, indent=1))
        write_text_atomically(paths[1], _markdown(outcome, facts))
    return paths


def certificate_facts(outcome: AuditOutcome) -> dict[str, Any]:
    """Return what a certificate says, as plain JSON types."""
    return {
        "verdict": outcome.verdict,
        "results": outcome.source,
        "results_digest": outcome.digest,
        "results_cpu": dict(outcome.cpus),
        "jobs": outcome.jobs,
        "share": outcome.share,
        "seed": outcome.seed,
        "fitted_again": outcome.drawn,
        "counts": {name: dict(outcome.counts(name)) for name in (RESCORED, REFITTED)},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "cpu": cpu_kind(),
        "versions": package_versions(),
        "git_commit": git_commit(),
        "findings": [asdict(one) for one in outcome.findings],
    }


def _markdown(outcome: AuditOutcome, facts: dict[str, Any]) -> str:
    """Return a certificate for a reader; equal results are counted, others listed."""
    versions = ", ".join(f"{name} {text}" for name, text in facts["versions"].items())
    lines = [
        "# Audit of results",
        "",
        f"**{outcome.verdict}**: {_MEANING[outcome.verdict]}.",
        "",
        f"* results: {outcome.source}, {outcome.jobs} jobs, digest `{outcome.digest}`",
        f"* all stored embeddings scored again; {outcome.drawn} jobs drawn to be fitted again "
        f"(share {outcome.share:g}, seed {outcome.seed})",
        f"* date: {facts['date']}",
        f"* processor: {facts['cpu']}; of the results: {', '.join(outcome.cpus)}",
        f"* versions: {versions}; commit {facts['git_commit'] or 'unknown'}",
        f"* command: `{facts['command']}`",
        "",
        "| computed again | " + " | ".join(_VERDICTS) + " |",
        "| --- |" + " ---: |" * len(_VERDICTS),
    ]
    for computed in (RESCORED, REFITTED):
        counts = outcome.counts(computed)
        lines.append(f"| {computed} | " + " | ".join(str(counts[v]) for v in _VERDICTS) + " |")
    if outcome.unequal:
        lines += ["", "| job | computed | verdict | score | stored | now | reason |"]
        lines += ["| --- | --- | --- | --- | ---: | ---: | --- |"]
        lines += map(_table_line, outcome.unequal)
    return "\n".join(lines) + "\n"


def _table_line(one: AuditFinding) -> str:
    cells = (
        one.job, one.computed, one.verdict, one.score, format_value(one.stored),
        format_value(one.now), one.reason,
    )  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def format_value(value: float | None) -> str:
    """Return a number with the digits that a reader compares."""
    return "" if value is None else f"{value:.10g}"
