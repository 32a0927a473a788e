"""Verbs of the regression gate: ``bench baseline write``, ``bench baseline update``, ``check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import (
    AsJson,
    Assign,
    BatchKey,
    Cache,
    Config,
    Datasets,
    Device,
    Jobs,
    LabelKey,
    Memory,
    Methods,
    Plugins,
    ProfileName,
    Results,
    Retry,
    Seeds,
    Threads,
    Timeout,
    flags,
    make_console,
    plain,
    print_json,
)
from bench.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.baseline.gate import Written

baseline_app = typer.Typer(
    help="Write results down for 'bench check', or replace some with a reason.",
    no_args_is_help=True,
)
File = Annotated[Path, typer.Argument(help="a file of 'bench baseline write'", metavar="FILE")]


@baseline_app.command("write")
def write_command(
    methods: Methods,
    datasets: Datasets,
    out: Annotated[Path, typer.Option(help="file to write; it must not exist")],
    metrics: Annotated[
        str, typer.Option(help="to guard: 'ari' (k-means), 'leiden/ari', …")
    ] = "ari,nmi",
    assign: Assign = None,
    seeds: Seeds = None,
    profile: ProfileName = None,
    results: Results = None,
    cache_dir: Cache = None,
    jobs: Jobs = None,
    threads: Threads = None,
    device: Device = None,
    timeout: Timeout = None,
    memory: Memory = None,
    retry: Retry = None,
    plugins: Plugins = None,
    label_key: LabelKey = None,
    batch_key: BatchKey = None,
    config: Config = None,
) -> None:
    """Run what is missing and write the results as a baseline; both controls are added."""
    from bench.baseline.gate import write_baseline

    console = make_console()
    written = write_baseline(
        methods, datasets, out, chosen=metrics, assign=assign or (), config=config,
        console=console,
        **flags(
            seeds=seeds, profile=profile, results=results, cache_dir=cache_dir, jobs=jobs,
            threads=threads, device=device, timeout=timeout, memory=memory, retry=retry,
            plugins=plugins, label_key=label_key, batch_key=batch_key,
        ),
    )  # fmt: skip
    _show_written(written, out, console)


@baseline_app.command("update")
def update_command(
    file: File,
    only: Annotated[str, typer.Option(help="methods to replace or add: names, globs, all")],
    reason: Annotated[str, typer.Option(help="why results may change; kept in the file")],
    results: Results = None,
    cache_dir: Cache = None,
    jobs: Jobs = None,
    timeout: Timeout = None,
    memory: Memory = None,
    retry: Retry = None,
    plugins: Plugins = None,
    config: Config = None,
) -> None:
    """Run some methods again and replace their results; the reason stays in the file."""
    from bench.baseline.gate import update_baseline

    console = make_console()
    written = update_baseline(
        file, only, reason, config=config, console=console,
        **flags(
            results=results, cache_dir=cache_dir, jobs=jobs, timeout=timeout, memory=memory,
            retry=retry, plugins=plugins,
        ),
    )  # fmt: skip
    _show_written(written, file, console)


def check_command(
    file: File,
    seeds: Annotated[str | None, typer.Option(help="only these of the baseline's seeds")] = None,
    results: Results = None,
    cache_dir: Cache = None,
    jobs: Jobs = None,
    threads: Threads = None,
    device: Device = None,
    timeout: Timeout = None,
    memory: Memory = None,
    retry: Retry = None,
    plugins: Plugins = None,
    config: Config = None,
    markdown: Annotated[Path | None, typer.Option(help="write the check as Markdown")] = None,
    junit: Annotated[Path | None, typer.Option(help="write the check as JUnit XML")] = None,
    everything: Annotated[bool, typer.Option("--all", help="show what passed, too")] = False,
    as_json: AsJson = False,
) -> None:
    """Run what is missing and compare with a baseline: exit 1 regression, 3 incomplete."""
    from bench.baseline import console as output
    from bench.baseline.gate import check_baseline

    console = make_console(stderr=as_json)
    check = check_baseline(
        file, config=config, console=console,
        **flags(
            seeds=seeds, results=results, cache_dir=cache_dir, jobs=jobs, threads=threads,
            device=device, timeout=timeout, memory=memory, retry=retry, plugins=plugins,
        ),
    )  # fmt: skip
    for path, text in ((markdown, output.markdown), (junit, output.junit)):
        if path is not None:
            _write_text(path, text(check))
    if as_json:
        print_json(output.as_json(check))
    elif everything or any(one.verdict != "pass" for one in check.findings):
        console.print(output.table(check, everything=everything))
    if not as_json:
        if check.elsewhere:
            plain(console)(output.place(check))
        plain(console)(output.summary(check))
    raise typer.Exit(check.exit_code)


def _show_written(written: Written, path: Path, console: Console) -> None:
    say: Any = plain(console)
    for line in written.left_out:
        say(f"left out: {line}")
    for line in written.changes:
        say(line)
    if written.baseline is None:
        say(f"interrupted: {path} is as it was")
    else:
        few = sorted({e.method for e in written.baseline.entries if len(e.seeds) < 3})
        if few:
            say(
                f"fewer than 3 seeds for {', '.join(few)}: in another environment there is "
                "little or nothing to judge them by"
            )
        say(f"{path}: {len(written.baseline.entries)} entries of methods × datasets")
    raise typer.Exit(written.exit_code)


def _write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}.") from None
