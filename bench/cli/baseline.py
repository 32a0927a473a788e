"""Verbs of the regression check: ``bench baseline`` and ``bench check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bench.errors import DataError

from .options import AsJson, Assign, Datasets, Methods, argument, flag, option, verb
from .output import make_console, print_json, progress_console

if TYPE_CHECKING:
    from bench.baseline.gate import BaselineUpdate

baseline_app = typer.Typer(help="Write or update a baseline of results.", no_args_is_help=True)
BaselineFile = Annotated[Path, argument("FILE", "a file of 'bench baseline write'")]


@baseline_app.command("write")
@verb(
    "seeds", "profile", "results", "cache_dir", "jobs", "threads", "device", "timeout", "memory",
    "retry", "plugins", "label_key", "batch_key",
)  # fmt: skip
def write_command(
    methods: Methods,
    datasets: Datasets,
    out: Annotated[Path, option("FILE", "file to write; it must not exist")],
    metrics: Annotated[
        str, option("NAMES", "to guard: 'ari' (k-means), 'leiden/ari', …")
    ] = "ari,nmi",
    assign: Assign = None,
    *,
    flags: dict[str, Any],
) -> None:
    """Run what is missing and write the results as a baseline; both controls are added."""
    from bench.baseline.gate import write_baseline

    written = write_baseline(
        methods, datasets, out, metric_names=metrics, assign=assign or (),
        console=progress_console(), **flags,
    )  # fmt: skip
    _print_written(written, out)


@baseline_app.command("update")
@verb("results", "cache_dir", "jobs", "timeout", "memory", "retry", "plugins")
def update_command(
    file: BaselineFile,
    only: Annotated[str, option("NAMES", "methods to replace or add: names, globs, all")],
    reason: Annotated[str, option("WORDS", "why results may change; kept in the file")],
    *,
    flags: dict[str, Any],
) -> None:
    """Run some methods again and replace their results; the reason stays in the file."""
    from bench.baseline.gate import update_baseline

    written = update_baseline(file, only, reason, console=progress_console(), **flags)
    _print_written(written, file)


@verb("results", "cache_dir", "jobs", "threads", "device", "timeout", "memory", "retry", "plugins")
def check_command(
    file: BaselineFile,
    seeds: Annotated[
        str | None,
        option("SEEDS", "run only these; others of the baseline are missing", show_default="all"),
    ] = None,
    markdown: Annotated[Path | None, option("FILE", "write the check as Markdown")] = None,
    junit: Annotated[Path | None, option("FILE", "write the check as JUnit XML")] = None,
    everything: Annotated[bool, flag("show what passed, too", "--all")] = False,
    as_json: AsJson = False,
    *,
    flags: dict[str, Any],
) -> None:
    """Compare results with a baseline; exit 1 for a regression, 3 if results are missing.

    What is missing is run first.
    """
    from bench.baseline import console as output
    from bench.baseline.gate import check_baseline

    if seeds is not None:
        flags["seeds"] = seeds
    check = check_baseline(file, console=progress_console(), **flags)
    for path, text in ((markdown, output.markdown), (junit, output.junit)):
        if path is not None:
            _write_text(path, text(check))
    if as_json:
        print_json(output.as_json(check))
        raise typer.Exit(check.exit_code)
    if everything or any(finding.verdict != "pass" for finding in check.findings):
        make_console().print(output.table(check, everything=everything))
    if check.elsewhere:
        typer.echo(output.environment_line(check))
    typer.echo(output.summary(check))
    raise typer.Exit(check.exit_code)


def _print_written(written: BaselineUpdate, path: Path) -> NoReturn:
    """Print what was written to a baseline, and exit."""
    for line in written.left_out:
        typer.echo(f"left out: {line}")
    for line in written.changes:
        typer.echo(line)
    if written.baseline is None:
        typer.echo(f"interrupted: {path} is as it was")
    else:
        few = sorted({e.method for e in written.baseline.entries if len(e.seeds) < 3})
        if few:
            typer.echo(
                f"fewer than 3 seeds for {', '.join(few)}: in another environment there is "
                "little or nothing to judge them by"
            )
        typer.echo(f"{path}: {len(written.baseline.entries)} entries of methods × datasets")
    raise typer.Exit(written.exit_code)


def _write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror}.", code="not_writable"
        ) from None
