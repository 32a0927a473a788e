"""The verb ``bench search``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bench.settings import SCHEDULERS

from .cluster import write_array_of
from .options import (
    ArrayFolder,
    AsJson,
    Assign,
    Datasets,
    Methods,
    ParamsFiles,
    Protocol,
    Report,
    Umap,
    option,
    verb,
)
from .output import print_json, progress_console

if TYPE_CHECKING:
    from bench.tuning.search import SearchOutcome

_OBJECTIVE = option(
    "NAMES",
    "ari, nmi, silhouette, loss, seconds, memory, or a key such as leiden/ari",
    show_default="ari; unsupervised: silhouette",
)
_SAMPLERS = ("tpe", "random", "cmaes", "gp", "grid")
_PRUNERS = ("none", "median", "hyperband")


@verb(
    "seeds", "profile", "results", "cache_dir", "jobs", "threads", "device", "memory", "retry",
    "plugins", "label_key", "batch_key", "labels", "layer", "tracking_uri", "experiment",
    "scheduler", "allow_other_versions",
)  # fmt: skip
def search_command(
    methods: Methods,
    datasets: Datasets,
    trials: Annotated[
        int | None, option("N", "configurations of each study; the default is one of them")
    ] = None,
    timeout: Annotated[
        float | None, option("SECONDS", "time after which a study begins no further trial")
    ] = None,
    protocol: Protocol = None,
    objective: Annotated[str, _OBJECTIVE] = "",
    sampler: Annotated[
        str, option("NAME", "way to choose configurations", choices=_SAMPLERS)
    ] = "tpe",
    pruner: Annotated[
        str, option("NAME", "way to stop trials with a high loss", choices=_PRUNERS)
    ] = "none",
    space: Annotated[
        Path | None, option("FILE", "YAML that narrows, extends or fixes parameters")
    ] = None,
    storage: Annotated[
        str,
        option("ADDRESS", "database of the studies", show_default="a journal in results/studies"),
    ] = "",
    search_seed: Annotated[int, option("N", "seed of the sampler and the trials")] = 1000,
    fit_timeout: Annotated[float | None, option("SECONDS", "time that one fit may take")] = None,
    assign: Assign = None,
    params: ParamsFiles = None,
    engine: Annotated[
        str | None,
        option(
            "NAME",
            "what runs the fits; of --array: its scheduler",
            "--engine",
            choices=("local", "dask", *SCHEDULERS),
            show_default="local; of --array: slurm",
        ),
    ] = None,
    array: ArrayFolder = None,
    batch: Annotated[int, option("N", "trials of each study in an array", min=1)] = 20,
    report: Report = True,
    umap: Umap = True,
    as_json: AsJson = False,
    *,
    flags: dict[str, Any],
) -> None:
    """Search hyperparameters, then score the best and the default on --seeds.

    With --array trials are written as a job array and not run. 'bench sync' stores their results,
    the same command then writes the next ones; docs/cluster.md.
    """
    from bench.tuning.search import ask_batch, search

    flags |= {
        "trials": trials, "timeout": timeout, "protocol": protocol or "holdout",
        "objective": objective, "sampler": sampler, "pruner": pruner, "space": space,
        "storage": storage, "search_seed": search_seed, "fit_timeout": fit_timeout,
        "assign": assign or (), "params": params or (), "console": progress_console(),
    }  # fmt: skip
    if array is not None:
        plan, settings = ask_batch(methods, datasets, batch, engine="slurm", **flags)
        write_array_of(plan, settings, array, engine or "slurm", as_json=as_json)
        return
    outcome = search(methods, datasets, report=report, umap=umap, engine=engine, **flags)
    finish_search(outcome, as_json=as_json)


def finish_search(outcome: SearchOutcome, *, as_json: bool) -> NoReturn:
    """Print the results of a search and exit."""
    if as_json:
        print_json(_as_json(outcome))
    elif not outcome.run.interrupted:
        _print_studies(outcome)
    raise typer.Exit(outcome.exit_code)


def _print_studies(outcome: SearchOutcome) -> None:
    """Print one block a study, and the paths of the files."""
    for study in outcome.studies:
        typer.echo(f"{study['method']} · {study['dataset']}: {study['statement']}")
        if study["watermark"]:
            typer.echo(f"  {study['watermark']}")
        for name, (old, new) in study["changed"].items():
            typer.echo(f"  {name}: {old} → {new}")
    for path in outcome.best:
        typer.echo(f"best parameters: {path}; used by 'bench run -m … -d … --params {path}'")
    if outcome.run.report is not None:
        typer.echo(f"report: {outcome.run.report}")


def _as_json(outcome: SearchOutcome) -> dict[str, Any]:
    studies = [{k: v for k, v in one.items() if k != "figures"} for one in outcome.studies]
    return {
        "studies": studies,
        "best": [str(path) for path in outcome.best],
        "counts": dict(outcome.run.counts),
        "exit_code": outcome.exit_code,
        "report": str(outcome.run.report) if outcome.run.report else None,
    }
