"""The verb ``bench transform``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.settings import Settings

from .options import (
    AsJson,
    StoredDatasets,
    StoredMethods,
    StoredSeed,
    argument,
    flag,
    option,
    verb,
)
from .output import print_files, print_json

_FIT = argument(
    "FIT", "folder of bench fit or kept state in it, a job's artifacts or results folder"
)


@verb("threads", "plugins", "cache_dir", "tracking_uri", "experiment", file=True)
def transform_command(
    run: Annotated[Path, _FIT],
    data: Annotated[Path, argument("FILE", "counts of new cells: .h5ad, .csv, .mtx, 10x, …")],
    out: Annotated[
        Path | None, option("FOLDER", "folder to write", show_default="FILE_in_METHOD")
    ] = None,
    methods: StoredMethods = None,
    datasets: StoredDatasets = None,
    seed: StoredSeed = None,
    fill_missing: Annotated[
        bool, flag("take features that the file lacks as zero", "--fill-missing")
    ] = False,
    key_added: Annotated[
        str | None,
        option("KEY", "key of obsm in result.h5ad", show_default="X_METHOD, or the next free one"),
    ] = None,
    heads: Annotated[
        bool, flag("write all latent spaces, predictions and the reconstruction", "--heads")
    ] = False,
    split: Annotated[
        str | None, option("NAME", "cells of --heads: a split of the fit", show_default="all")
    ] = None,
    story: Annotated[
        Path | None, option("FILE", "tables that tests in the method's own format ask for")
    ] = None,
    as_json: AsJson = False,
    *,
    settings: Settings,
    reading: dict[str, Any],
) -> None:
    """Embed new cells with a finished fit, and give them its clusters and types."""
    from bench.apply.heads import HeadOptions
    from bench.apply.transform_file import transform_file
    from bench.store.saved_model import open_model

    model = open_model(
        run, settings, methods=methods, datasets=datasets, seed=seed, needs="transform",
        lacking="embeds no new cells; fit them together with the others",
    )  # fmt: skip
    done = transform_file(
        model, data, params=reading, settings=settings, out=out, fill_missing=fill_missing,
        key_added=key_added, heads=HeadOptions(heads, split, story),
    )  # fmt: skip
    if as_json:
        print_json({"run": model.name, "folder": done.folder, "scores": done.scores.values,
                    "files": done.files})  # fmt: skip
        return
    typer.echo(f"{model.name}, on {data.name}: {done.seconds:.1f} s")
    print_files(done.folder, done.scores.values, done.files)
