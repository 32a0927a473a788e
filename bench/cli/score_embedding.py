"""The verb ``bench score-embedding``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.settings import Settings

from .options import AsJson, argument, option, verb
from .output import make_console, print_json
from .tables import Row, format_table

if TYPE_CHECKING:
    import pandas as pd

    from bench.apply.embedding_file import EmbeddingScores


@verb("plugins")
def score_embedding_command(
    data: Annotated[Path, argument("FILE", ".h5ad, or a text table of barcodes and dimensions")],
    obsm: Annotated[
        str | None, option("KEYS", "arrays of obsm, as X_scVI,X_uce", show_default="all of them")
    ] = None,
    labels: Annotated[Path | None, option("FILE", "text table of barcodes and true types")] = None,
    label_key: Annotated[
        str | None, option("COLUMN", "column of the true types", show_default="cell_type")
    ] = None,
    batch_key: Annotated[
        str | None, option("COLUMN", "column of the batches", show_default="batch")
    ] = None,
    metrics: Annotated[
        str | None, option("NAMES", "metrics, by name or glob", show_default="all")
    ] = None,
    trained_on: Annotated[
        str, option("NAME", "the data that the embedding was trained on, as 'census 2023-12'")
    ] = "",
    trained_cells: Annotated[
        Path | None, option("FILE", "barcodes of the cells that it was trained on, one a line")
    ] = None,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """Score embeddings that you have, as the fits of a run are scored.

    What such an embedding cost is not known, and it may have seen the cells before: scores are
    marked precomputed, and belong beside those of fits only with that mark.
    """
    from bench.apply.embedding_file import score_embeddings

    done = score_embeddings(
        data, [key.strip() for key in obsm.split(",")] if obsm else None, labels=labels,
        label_key=label_key, batch_key=batch_key, metrics=metrics, trained_on=trained_on,
        trained_cells=trained_cells,
    )  # fmt: skip
    if as_json:
        print_json({"file": data, "kind": "precomputed", **_as_json(done)})
    else:
        _print_table(done)


def _as_json(done: EmbeddingScores) -> dict[str, Any]:
    return {
        "cells": done.n_cells, "scored": done.n_scored,
        "trained_on": done.trained_on, "trained_cells": done.n_trained,
        "scores": {key: _finite(values) for key, values in done.scores.items()},
        "missing": {key: values.attrs["missing"] for key, values in done.scores.items()},
    }  # fmt: skip


def _print_table(done: EmbeddingScores) -> None:
    """Print the scores of each embedding, and what is known of its training."""
    import pandas as pd

    values = pd.DataFrame(done.scores).dropna(how="all")
    rows: list[Row] = [
        {"score": name} | {str(key): _text(value) for key, value in row.items()}
        for name, row in values.to_dict("index").items()
    ]
    make_console().print(format_table(rows))
    typer.echo(f"precomputed, {done.n_scored} of {done.n_cells} cells scored; {_training(done)}")


def _finite(values: pd.Series) -> dict[str, float | None]:
    return {str(name): None if math.isnan(v) else float(v) for name, v in values.items()}


def _text(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:z.3f}"


def _training(done: EmbeddingScores) -> str:
    """Return what is known of the cells that the embedding was trained on."""
    data = f"trained on {done.trained_on}" if done.trained_on else "training data not declared"
    if done.n_trained is None:
        return f"{data}; whether it has seen these cells is not known"
    share = done.n_trained / done.n_cells
    return f"{data}; it has seen {done.n_trained} of these cells ({share:.0%})"
