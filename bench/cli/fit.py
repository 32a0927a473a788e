"""The verb ``bench fit``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bench.settings import load_settings

from .completion import complete_methods
from .options import Assign, argument, flag, option, verb
from .output import print_files, progress_console


@verb("profile", "threads", "device", "plugins", "markers", file=True)
def fit_command(
    method: Annotated[
        str,
        argument("METHOD", "such as vae or 'vae[n_latent=16]'", autocompletion=complete_methods),
    ],
    file: Annotated[Path, argument("FILE", "counts: .h5ad, .csv, .txt, .mtx, 10x, …")],
    out: Annotated[
        Path | None, option("FOLDER", "folder to write", show_default="FILE_METHOD")
    ] = None,
    assign: Assign = None,
    seed: Annotated[int, option("N", "seed of the fit", min=0)] = 0,
    n_clusters: Annotated[
        int | None, option("N", "clusters of k-means", min=1, show_default="number of types")
    ] = None,
    graph: Annotated[
        str | None,
        option("KEY|FILE", "graph of the cells: key of obsp, .npz, .mtx or a table of edges"),
    ] = None,
    impute: Annotated[bool, flag("write the imputed matrix")] = True,
    umap: Annotated[bool, flag("compute the UMAP")] = True,
    preset: Annotated[
        str | None, option("NAME", "settings of the method, as faithful for the published ones")
    ] = None,
    key_added: Annotated[
        str | None,
        option("KEY", "key of obsm in result.h5ad", show_default="X_METHOD, or the next free one"),
    ] = None,
    resume: Annotated[
        bool, flag("go on with the interrupted fit of this --out", "--resume")
    ] = False,
    config: Annotated[
        Path | None,
        option("FILE", "settings, or the method's own .json or .yaml", show_default="bench.toml"),
    ] = None,
    insert: Annotated[
        list[str] | None,
        option(
            "PART=FIT", "part of another fit to start with, as decoder=FIT[:frozen]; repeatable"
        ),
    ] = None,
    go_on: Annotated[
        Path | None, option("FIT", "finished fit or kept state to train on", "--continue")
    ] = None,
    keep_every: Annotated[
        int, option("N", "keep the model every N epochs; 0: never", "--keep-every", min=0)
    ] = 0,
    dry_run: Annotated[
        bool, flag("print what --config would train; write nothing", "--dry-run")
    ] = False,
    *,
    flags: dict[str, Any],
    reading: dict[str, Any],
) -> None:
    """Fit one method on one file: latent features, imputed matrix, clusters, markers, UMAP."""
    from bench.apply.fit_file import FitOptions, fit_file

    own = config is not None and config.suffix in (".json", ".yaml", ".yml")
    setup = config if own else None
    markers = flags.pop("markers", None)
    settings = load_settings(flags | {"seeds": f"{seed},"}, None if own else config)
    options = FitOptions(
        n_clusters=n_clusters, markers=markers, graph=graph, setup=setup, impute=impute, umap=umap,
        resume=resume, dry_run=dry_run, insert=tuple(insert or ()), go_on=go_on,
        keep_every=keep_every, preset=preset, key_added=key_added,
    )  # fmt: skip
    with _step_bar(method) as listener:
        fitted = fit_file(
            method, file, params=reading, assign=assign or (), settings=settings, out=out,
            options=options, listener=listener,
        )  # fmt: skip
    if fitted is not None:
        told = f", told {fitted.told}" * bool(fitted.told)
        typer.echo(f"{method} on {file.name}: {fitted.seconds:.1f} s{told}")
        print_files(fitted.folder, fitted.scores.values, fitted.files)


@contextmanager
def _step_bar(name: str) -> Iterator[Callable[[int, int | None, dict[str, float]], None]]:
    """Show a progress bar and yield its update: a function of step, number of steps and losses."""
    console = progress_console()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with progress:
        task = progress.add_task(name, total=None)

        def show_step(step: int, total: int | None, values: dict[str, float]) -> None:
            losses = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
            progress.update(task, completed=step, total=total, description=f"{name}  {losses}")

        yield show_step
