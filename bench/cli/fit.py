"""``bench fit``: one method on one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import (
    Assign,
    BatchKey,
    Device,
    LabelKey,
    LabelsFile,
    MarkersFile,
    ModalityName,
    Part,
    PeaksFile,
    Plugins,
    ProfileName,
    Threads,
    Transposed,
    flags,
    make_console,
    plain,
    reading,
    said_scores,
)


def fit_command(
    method: Annotated[str, typer.Argument(help="such as vae or 'vae\\[n_latent=16]'")],
    file: Annotated[Path, typer.Argument(help="counts: .h5ad, .csv, .txt, .mtx, 10x, ...")],
    out: Annotated[Path | None, typer.Option(help="folder to write [<file>_<method>]")] = None,
    labels: LabelsFile = None,
    label_key: LabelKey = None,
    batch_key: BatchKey = None,
    markers: MarkersFile = None,
    transpose: Transposed = None,
    modality: ModalityName = None,
    part: Part = None,
    atac: PeaksFile = None,
    assign: Assign = None,
    seed: Annotated[int, typer.Option(min=0, help="everything random follows from it")] = 0,
    n_clusters: Annotated[
        int | None, typer.Option(min=1, help="clusters of k-means \\[number of types]")
    ] = None,
    impute: Annotated[bool, typer.Option(help="write the imputed matrix")] = True,
    umap: Annotated[bool, typer.Option(help="draw the UMAP picture")] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with the interrupted fit of this --out")
    ] = False,
    profile: ProfileName = None,
    threads: Threads = None,
    device: Device = None,
    plugins: Plugins = None,
    config: Annotated[
        Path | None,
        typer.Option(help="settings \\[bench.toml], or the method's own .json or .yaml"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what --config would train; write nothing")
    ] = False,
) -> None:
    """Fit one method on a file: latent features, imputed matrix, clusters, UMAP picture."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from bench.apply.fit_file import fit_file
    from bench.settings import load_settings

    console = make_console()
    own = config is not None and config.suffix in (".json", ".yaml", ".yml")
    setup = config if own else None
    settings = load_settings(
        flags(seeds=f"{seed},", profile=profile, threads=threads, device=device, plugins=plugins),
        None if setup else config,
    )
    how = reading(
        labels=labels, label_key=label_key, batch_key=batch_key, transpose=transpose,
        modality=modality, part=part, atac=atac,
    )  # fmt: skip
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(method, total=None)

        def listener(step: int, total: int | None, values: dict[str, float]) -> None:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            progress.update(task, completed=step, total=total, description=f"{method}  {shown}")

        fitted = fit_file(
            method, file, params=how, assign=assign or (), settings=settings, out=out,
            n_clusters=n_clusters, impute=impute, umap=umap, markers=markers,
            setup=setup, dry_run=dry_run, resume=resume, listener=listener)  # fmt: skip
    if fitted is None:
        return
    say = plain(console)
    say(f"{method} on {file.name}: {fitted.seconds:.1f} s")
    for line in said_scores(fitted.scores.values):
        say(line)
    for name, what in fitted.files.items():
        say(f"  {fitted.folder / name}  {what}")
