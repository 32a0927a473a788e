"""Embeddings that somebody else's program computed: read from a file, scored like fits."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from bench.data import formats
from bench.data.file_reader import LABEL_GUESSES
from bench.data.formats.elements import read_table
from bench.data.formats.guards import open_hdf5, read_errors
from bench.data.name_patterns import DEFAULT_LABEL_KEY
from bench.data.values import text_column
from bench.errors import DataError, UsageError
from bench.execute.array_scores import score_array
from bench.messages import did_you_mean, quote_names

logger = logging.getLogger(__name__)

_LEAST_CELLS = 10


@dataclass
class EmbeddingFile:
    """Embeddings of the same cells, and the columns that describe the cells."""

    path: Path
    embeddings: dict[str, pd.DataFrame]
    obs: pd.DataFrame


@dataclass
class EmbeddingScores:
    """Scores of precomputed embeddings; what they cost is not known."""

    scores: dict[str, pd.Series]
    """Value by score of each embedding; the reasons of missing ones are in its ``attrs``."""
    n_cells: int
    n_scored: int
    """Cells with a label; all where there are none."""
    trained_on: str = ""
    """What the user says the embeddings were trained on."""
    n_trained: int | None = None
    """Cells that are among those it was trained on; ``None``: not known."""


def score_embeddings(
    path: Path,
    keys: list[str] | None = None,
    *,
    labels: Path | None = None,
    label_key: str | None = None,
    batch_key: str | None = None,
    metrics: str | None = None,
    trained_on: str = "",
    trained_cells: Path | None = None,
) -> EmbeddingScores:
    """Score embeddings of a file as ``bench run`` scores those of its fits.

    Parameters
    ----------
    path
        ``.h5ad`` with arrays in ``obsm``, or a text table: barcodes, then one column a dimension.
    keys
        Arrays of ``obsm``. Default: all that are embeddings.
    labels
        Text table of barcodes and true types; default: the columns of the file.
    label_key, batch_key
        Columns of the types and of the batches. Without types only scores that need none are
        computed.
    metrics
        Names or globs of metrics. Default: all.
    trained_on
        The data that the embedding was trained on, in words.
    trained_cells
        Text file with one barcode a line: the cells that it was trained on.

    Raises
    ------
    DataError
        For an unreadable file, a missing array or column, or an array that is no embedding.
    UsageError
        For keys of a text table.
    """
    data = read_embeddings(path, keys)
    obs = data.obs if labels is None else _join(data.obs, labels)
    types = _column(obs, path, label_key, "label", DEFAULT_LABEL_KEY)
    batch = _column(obs, path, batch_key, "batch", "batch")
    keep = np.ones(len(obs), bool) if types is None else _labelled(types, path)
    scores = {
        key: score_array(
            table.to_numpy()[keep],
            None if types is None else types[keep],
            None if batch is None else batch[keep],
            metrics,
            where=f"{path}: {key}",
        )
        for key, table in data.embeddings.items()
    }
    return EmbeddingScores(
        scores, len(obs), int(keep.sum()), trained_on,
        None if trained_cells is None else _overlap(obs.index, trained_cells),
    )  # fmt: skip


def _labelled(types: np.ndarray, path: Path) -> np.ndarray:
    """Return the mask of cells with a label; raises ``DataError`` if they are too few."""
    mask: np.ndarray = types != ""
    if mask.sum() < _LEAST_CELLS:
        raise DataError(
            f"{path}: {mask.sum()} cells have a label; at least {_LEAST_CELLS} are needed.",
            code="too_few_cells",
        )
    if not mask.all():
        logger.info(f"{path}: {(~mask).sum()} of {len(mask)} cells have no label; left out")
    return mask


def read_embeddings(path: Path, keys: list[str] | None = None) -> EmbeddingFile:
    """Return the embeddings of a file; counts are not read. Raises ``DataError``."""
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; give an .h5ad, or a text table of barcodes and dimensions.",
            code="missing_file",
        )
    if path.suffix.lower() == ".h5ad":
        return _read_h5ad(path, keys)
    if keys:
        raise UsageError(
            f"{path}: --obsm names arrays of an .h5ad; a text table is one embedding.",
            code="option_needs_another",
        )
    table = formats.read_cell_table(path)
    values = table.apply(pd.to_numeric, errors="coerce")
    wrong = [str(name) for name in values if values[name].isna().any()]
    if wrong or not values.shape[1]:
        raise DataError(
            f"{path}: column {quote_names(wrong)} holds values that are no numbers; expected "
            "barcodes in the first column and one column a dimension.",
            code="not_numeric",
        )
    _check_cells(path, table.index)
    return EmbeddingFile(path, {path.name.split(".")[0]: values}, pd.DataFrame(index=table.index))


def _read_h5ad(path: Path, keys: list[str] | None) -> EmbeddingFile:
    with read_errors(path, ".h5ad file"), open_hdf5(path) as file:
        obs = read_table(path, file["obs"], "obs", [])
        arrays = {
            str(key): _array(element, obs.index) for key, element in file.get("obsm", {}).items()
        }
    _check_cells(path, obs.index)
    usable = {key: table for key, table in arrays.items() if table is not None}
    for key in keys or usable:
        if key not in arrays:
            raise DataError(
                f"{path}: no array '{key}' in obsm.{did_you_mean(key, sorted(arrays))}",
                code="missing_column",
            )
        if key not in usable:
            raise DataError(
                f"{path}: obsm['{key}'] is no embedding; expected finite numbers, cells × "
                "dimensions.",
                code="not_numeric",
            )
    if not usable:
        raise DataError(
            f"{path}: obsm holds no embedding; name a file whose obsm has arrays of numbers, "
            "cells × dimensions.",
            code="missing_column",
        )
    return EmbeddingFile(path, {key: usable[key] for key in keys or usable}, obs)


def _array(element: Any, cells: pd.Index) -> pd.DataFrame | None:
    """Return an array of ``obsm``, ``None`` if it is no embedding."""
    try:
        values = ad.io.read_elem(element)
        values = values.toarray() if hasattr(values, "toarray") else values
        table = pd.DataFrame(np.asarray(values), index=cells).astype(np.float64)
    except (ValueError, TypeError):
        return None
    return table if table.shape[1] and np.isfinite(table.to_numpy()).all() else None


def _check_cells(path: Path, cells: pd.Index) -> None:
    twice = cells[cells.duplicated()].unique()
    if len(twice):
        raise DataError(
            f"{path}: {len(twice)} names of cells stand there twice, such as '{twice[0]}'; give "
            "each cell a name of its own.",
            code="duplicate_names",
        )


def _join(obs: pd.DataFrame, labels: Path) -> pd.DataFrame:
    table = formats.index_by_cell(obs.index, formats.read_cell_table(labels), str(labels))
    cells = ad.AnnData(obs=pd.DataFrame(index=obs.index))
    joined = formats.join_labels(cells, table, where=str(labels), all_cells=True).obs
    if len(table.columns) == 1:  # its name does not matter
        joined = joined.rename(columns={str(table.columns[0]): DEFAULT_LABEL_KEY})
    return obs.drop(columns=joined.columns, errors="ignore").join(joined)


def _column(
    obs: pd.DataFrame, path: Path, key: str | None, what: str, usual: str
) -> np.ndarray | None:
    """Return a column as text; ``None`` if it was not asked for and has not its usual name."""
    if key is None and usual not in obs:
        if what == "label":
            guesses = [name for name in LABEL_GUESSES if name in obs]
            hint = f"; --label-key names one of: {', '.join(guesses)}" if guesses else ""
            logger.info(f"{path}: no labels, so only scores that need none{hint}")
        return None
    if key is not None and key not in obs:
        raise DataError(
            f"{path}: no column '{key}' in obs.{did_you_mean(key, sorted(map(str, obs)))} Name "
            f"one with --{what}-key.",
            code="missing_column",
        )
    return text_column(obs[key or usual])


def _overlap(cells: pd.Index, trained_cells: Path) -> int:
    """Return how many cells are among those that the embedding was trained on."""
    if not trained_cells.is_file():
        raise UsageError(
            f"{trained_cells}: no such file; --trained-cells takes barcodes, one a line.",
            code="missing_file",
        )
    lines = trained_cells.read_text(encoding="utf-8").splitlines()
    return int(cells.isin({line.strip() for line in lines}).sum())
