"""The verb ``bench search``."""

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
    Experiment,
    Jobs,
    LabelKey,
    Memory,
    Methods,
    ParamsFiles,
    Plugins,
    ProfileName,
    Protocol,
    Results,
    Retry,
    Seeds,
    Threads,
    Uri,
    flags,
    make_console,
    print_json,
)

if TYPE_CHECKING:
    from rich.console import Console

    from bench.tuning.search import SearchOutcome

Objective = Annotated[
    str,
    typer.Option(
        help="ari, nmi, silhouette, loss, seconds, memory, or a key such as leiden/ari; several "
        "with commas \\[ari; unsupervised: silhouette]"
    ),
]


def search_command(
    methods: Methods,
    datasets: Datasets,
    trials: Annotated[
        int | None, typer.Option(help="configurations of each study, in all; the default is one")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="seconds after which a study begins no further trial")
    ] = None,
    protocol: Protocol = "holdout",
    objective: Objective = "",
    sampler: Annotated[str, typer.Option(help="tpe, random, cmaes, gp or grid")] = "tpe",
    pruner: Annotated[str, typer.Option(help="none, median or hyperband, by the loss")] = "none",
    space: Annotated[
        Path | None, typer.Option(help="YAML file that narrows, extends or fixes parameters")
    ] = None,
    storage: Annotated[
        str, typer.Option(help="database of the studies \\[a journal in results/studies]")
    ] = "",
    search_seed: Annotated[int, typer.Option(help="seed of sampler and trials")] = 1000,
    fit_timeout: Annotated[float | None, typer.Option(help="seconds one fit may take")] = None,
    assign: Assign = None,
    params: ParamsFiles = None,
    seeds: Seeds = None,
    profile: ProfileName = None,
    results: Results = None,
    cache_dir: Cache = None,
    jobs: Jobs = None,
    threads: Threads = None,
    device: Device = None,
    memory: Memory = None,
    retry: Retry = None,
    plugins: Plugins = None,
    label_key: LabelKey = None,
    batch_key: BatchKey = None,
    tracking_uri: Uri = None,
    experiment: Experiment = None,
    config: Config = None,
    report: Annotated[bool, typer.Option(help="write the HTML report at the end")] = True,
    umap: Annotated[bool, typer.Option(help="draw UMAPs in the report")] = True,
    as_json: AsJson = False,
) -> None:
    """Search hyperparameters; winners and defaults are then scored on --seeds."""
    from bench.tuning.search import search

    console = make_console(stderr=as_json)
    outcome = search(
        methods, datasets, trials=trials, timeout=timeout, protocol=protocol, objective=objective,
        sampler=sampler, pruner=pruner, space=space, storage=storage, search_seed=search_seed,
        fit_timeout=fit_timeout, assign=assign or (), params=params or (), config=config,
        report=report, umap=umap, console=console,
        **flags(
            seeds=seeds, profile=profile, results=results, cache_dir=cache_dir, jobs=jobs,
            threads=threads, device=device, memory=memory, retry=retry, plugins=plugins,
            label_key=label_key, batch_key=batch_key, tracking_uri=tracking_uri,
            experiment=experiment,
        ),
    )  # fmt: skip
    finish(outcome, console, as_json=as_json)


def finish(outcome: SearchOutcome, console: Console, *, as_json: bool) -> None:
    """Show what a search came to, and exit."""
    if as_json:
        print_json(_as_json(outcome))
    elif not outcome.run.interrupted:
        show(outcome, console)
    raise typer.Exit(outcome.exit_code)


def show(outcome: SearchOutcome, console: Console) -> None:
    """Print one block a study, and where the files are."""
    for one in outcome.studies:
        lines = [f"{one['method']} · {one['dataset']}: {one['statement']}"]
        if one["watermark"]:
            lines.append(f"  {one['watermark']}")
        lines += [f"  {name}: {old} → {new}" for name, (old, new) in one["changed"].items()]
        for line in lines:
            console.print(line, markup=False, highlight=False)
    for path in outcome.best:
        console.print(f"best parameters: bench run --params {path}", markup=False, highlight=False)
    if outcome.run.report is not None:
        console.print(f"report: {outcome.run.report}", markup=False, highlight=False)


def _as_json(outcome: SearchOutcome) -> dict[str, Any]:
    studies = [{k: v for k, v in one.items() if k != "figures"} for one in outcome.studies]
    return {
        "studies": studies,
        "best": [str(path) for path in outcome.best],
        "counts": dict(outcome.run.counts),
        "exit_code": outcome.exit_code,
        "report": str(outcome.run.report) if outcome.run.report else None,
    }
