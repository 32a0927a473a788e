"""The verb ``bench transform``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.options import (
    AsJson,
    BatchKey,
    Cache,
    Config,
    Experiment,
    LabelKey,
    Plugins,
    Threads,
    Uri,
    flags,
    make_console,
    plain,
    print_json,
)


def transform_command(
    run: Annotated[
        Path,
        typer.Argument(help="what bench fit wrote, a job's artifacts, or a results folder"),
    ],
    file: Annotated[Path, typer.Argument(help="counts of new cells: .h5ad, .csv, .mtx, 10x, ...")],
    out: Annotated[Path | None, typer.Option(help="folder to write [<file>_in_<method>]")] = None,
    methods: Annotated[
        str | None, typer.Option("--methods", "-m", help="of a results folder: name, or glob")
    ] = None,
    datasets: Annotated[
        str | None, typer.Option("--datasets", "-d", help="of a results folder: name, or glob")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of a results folder: seed")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="second file with types, joined by barcode")
    ] = None,
    label_key: LabelKey = None,
    batch_key: BatchKey = None,
    transpose: Annotated[
        bool | None,
        typer.Option("--transpose/--no-transpose", help="features are in rows / cells are"),
    ] = None,
    modality: Annotated[str | None, typer.Option(help="rna or atac [by the features]")] = None,
    part: Annotated[
        str | None, typer.Option(help="part of an .h5mu or 10x file, or both [rna with atac]")
    ] = None,
    atac: Annotated[
        Path | None, typer.Option(help="second file: peaks of the same cells, for paired methods")
    ] = None,
    fill_missing: Annotated[
        bool, typer.Option("--fill-missing", help="take features that the file lacks as zero")
    ] = False,
    threads: Threads = None,
    plugins: Plugins = None,
    cache_dir: Cache = None,
    tracking_uri: Uri = None,
    experiment: Experiment = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Embed new cells by the model of a finished fit, prepared as its cells were."""
    from bench.config import load_settings
    from bench.model import open_model
    from bench.transform import transform_file

    console = make_console(stderr=as_json)
    say = plain(console)
    settings = load_settings(
        flags(threads=threads, plugins=plugins, cache_dir=cache_dir, tracking_uri=tracking_uri,
              experiment=experiment),
        config,
    )  # fmt: skip
    reading = flags(
        labels=str(labels) if labels else None, label_key=label_key, batch_key=batch_key,
        transpose=transpose, modality=modality, part=part, atac=str(atac) if atac else None,
    )  # fmt: skip
    model = open_model(
        run, settings, methods=methods, datasets=datasets, seed=seed, say=say,
        needs="transform", lacking="embeds no new cells; fit them together with the others",
    )  # fmt: skip
    done = transform_file(
        model, file, params=reading, settings=settings, out=out, fill_missing=fill_missing, say=say
    )
    if as_json:
        print_json({"run": model.name, "folder": done.folder, "scores": done.scores.values,
                    "files": done.files})  # fmt: skip
        return
    say(f"{model.name}, on {file.name}: {done.seconds:.1f} s")
    for name in ("kmeans", "leiden"):
        ari, nmi = (done.scores.values.get(f"{name}/{metric}") for metric in ("ari", "nmi"))
        if ari is not None and nmi is not None:
            say(f"  {name}: ARI {ari:.3f}, NMI {nmi:.3f}")
    for name, what in done.files.items():
        say(f"  {done.folder / name}  {what}")
