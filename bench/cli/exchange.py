"""The verbs that move and check results: ``bench merge``, ``pull``, ``push`` and ``audit``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bench.messages import quote_names
from bench.settings import Settings

from .options import AsJson, argument, option, verb
from .output import make_console, print_json, progress_console
from .tables import show

if TYPE_CHECKING:
    from bench.exchange.audit import AuditOutcome
    from bench.exchange.transfer import TransferSummary

_PLACE = "results folder, address of an MLflow server, or of files (s3://, sftp://, file://, …)"
_MOST_LINES = 20


@verb("cache_dir", "experiment")
def merge_command(
    sources: Annotated[list[str], argument("A B …", _PLACE)],
    into: Annotated[
        Path | None, option("FOLDER", "results folder to write", show_default="only compare")
    ] = None,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """Unite the results of several stores, and list where they disagree.

    Equal results count once, and the sources are not written. Exit code 1: a job has other numbers
    than processor, versions and seeds explain.
    """
    from bench.exchange.commands import merge_places

    _finish(merge_places(sources, into, settings, progress_console()), as_json=as_json)


@verb("results", "cache_dir", "tracking_uri", "experiment")
def pull_command(
    place: Annotated[str, argument("PLACE", _PLACE)],
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """Add the results of another place to the store; only what is missing travels."""
    from bench.exchange.commands import pull_place

    _finish(pull_place(place, settings, progress_console()), as_json=as_json)


@verb("results", "cache_dir", "tracking_uri", "experiment")
def push_command(
    place: Annotated[str, argument("PLACE", _PLACE)],
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """Add the results of the store to another place; only what is missing travels."""
    from bench.exchange.commands import push_place

    _finish(push_place(place, settings, progress_console()), as_json=as_json)


@verb("cache_dir", "jobs", "timeout", "memory", "plugins", "offline", "experiment")
def audit_command(
    place: Annotated[str, argument("RESULTS", _PLACE)],
    share: Annotated[
        float, option("SHARE", "part of the jobs to fit again, from 0 to 1", min=0, max=1)
    ] = 0.05,
    seed: Annotated[
        int | None, option("N", "seed of the draw", min=0, show_default="drawn")
    ] = None,
    out: Annotated[Path, option("FOLDER", "folder of the certificate")] = Path("audit"),
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """Check somebody's results by computing them again.

    All embeddings are scored again, and a random part of the jobs is fitted again. Only methods of
    this installation and of --plugin run. Exit code 1: a result differs by more than processor,
    versions and seeds explain.
    """
    from bench.exchange import certificate, commands

    outcome = commands.audit_place(place, settings, progress_console(), share=share, seed=seed)
    paths = certificate.write_certificate(outcome, out)
    if as_json:
        print_json(certificate.certificate_facts(outcome))
    else:
        _print_audit(outcome)
        typer.echo(f"certificate: {paths[1]}, {paths[0].name}")
    raise typer.Exit(outcome.exit_code)


def _finish(summary: TransferSummary, *, as_json: bool) -> NoReturn:
    """Print what a merge, pull or push gave, and end with its exit code."""
    if as_json:
        print_json(_as_json(summary))
    else:
        _print_summary(summary)
    raise typer.Exit(summary.exit_code)


def _as_json(summary: TransferSummary) -> dict[str, Any]:
    union = summary.union
    return {
        "found": dict(union.found),
        "target": summary.target,
        "missing": len(union.copies),
        "copied": summary.copied,
        "doubled": union.doubled,
        "bytes_sent": summary.bytes_sent,
        "disagreements": [one.as_dict() for one in union.disagreements],
        "not_taken": union.problems + summary.problems,
        "left_behind": sorted(summary.left_behind),
        "exit_code": summary.exit_code,
    }


def _print_summary(summary: TransferSummary) -> None:
    union = summary.union
    for place, number in union.found.items():
        typer.echo(f"{place}: {_jobs(number)}")
    if union.disagreements:
        show(
            [_rounded(one.as_dict()) for one in union.disagreements[:_MOST_LINES]], make_console()
        )
        _print_more(len(union.disagreements))
        typer.echo(f"{_jobs(len(union.different))} with numbers that only a fault explains")
    problems = union.problems + summary.problems
    for text in problems[:_MOST_LINES]:
        typer.echo(f"not taken: {text}")
    _print_more(len(problems))
    if summary.left_behind:
        names = quote_names(sorted(summary.left_behind))
        typer.echo(f"no data of a kind that travels, left where they are: {names}")
    if summary.target:
        typer.echo(
            f"{summary.target}: {_jobs(summary.copied)} added, {union.doubled} were there already"
        )
    else:
        typer.echo(
            f"union: {_jobs(len(union.copies))}, {union.doubled} equal ones counted once; nothing "
            "was written (--into FOLDER does)"
        )


def _print_audit(outcome: AuditOutcome) -> None:
    rows = [asdict(one) for one in outcome.unequal]
    for row in rows:
        del row["score_key"]
    if rows:
        show([_rounded(row) for row in rows[:_MOST_LINES]], make_console())
        _print_more(len(rows))
    for line in outcome.count_lines():
        typer.echo(line)
    typer.echo(f"{outcome.source}: {outcome.verdict}")


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a table with its numbers as text."""
    texts = {k: f"{v:.10g}" for k, v in row.items() if isinstance(v, float)}
    return row | texts | {k: "" for k, v in row.items() if v is None}


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def _print_more(number: int) -> None:
    if number > _MOST_LINES:
        typer.echo(f"… and {number - _MOST_LINES} more (--json shows all)")
