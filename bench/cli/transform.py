"""The verb ``bench transform``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import (
    AsJson,
    BatchKey,
    Cache,
    Config,
    Experiment,
    LabelKey,
    LabelsFile,
    ModalityName,
    Part,
    PeaksFile,
    Plugins,
    Threads,
    Transposed,
    Uri,
    flags,
    make_console,
    plain,
    print_json,
    reading,
    said_scores,
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
    labels: LabelsFile = None,
    label_key: LabelKey = None,
    batch_key: BatchKey = None,
    transpose: Transposed = None,
    modality: ModalityName = None,
    part: Part = None,
    atac: PeaksFile = None,
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
    from bench.apply.transform_file import transform_file
    from bench.settings import load_settings
    from bench.store.saved_model import open_model

    console = make_console(stderr=as_json)
    say = plain(console)
    settings = load_settings(
        flags(threads=threads, plugins=plugins, cache_dir=cache_dir, tracking_uri=tracking_uri,
              experiment=experiment),
        config,
    )  # fmt: skip
    how = reading(
        labels=labels, label_key=label_key, batch_key=batch_key, transpose=transpose,
        modality=modality, part=part, atac=atac,
    )  # fmt: skip
    model = open_model(
        run, settings, methods=methods, datasets=datasets, seed=seed, needs="transform", lacking="embeds no new cells; fit them together with the others")  # fmt: skip
    done = transform_file(
        model, file, params=how, settings=settings, out=out, fill_missing=fill_missing
    )
    if as_json:
        print_json({"run": model.name, "folder": done.folder, "scores": done.scores.values,
                    "files": done.files})  # fmt: skip
        return
    say(f"{model.name}, on {file.name}: {done.seconds:.1f} s")
    for line in said_scores(done.scores.values):
        say(line)
    for name, what in done.files.items():
        say(f"  {done.folder / name}  {what}")
