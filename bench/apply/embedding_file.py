"""Scores of the embeddings in a file, computed like those of a run."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from bench.data import formats
from bench.data.embedding_file import count_trained_cells, read_embeddings
from bench.data.file_reader import LABEL_GUESSES
from bench.data.name_patterns import DEFAULT_LABEL_KEY
from bench.data.values import text_column
from bench.errors import DataError
from bench.execute.array_scores import score_array
from bench.messages import did_you_mean

logger = logging.getLogger(__name__)

_LEAST_CELLS = 10


@dataclass
class EmbeddingScores:
    """Scores of precomputed embeddings; their costs are unknown."""

    scores: dict[str, pd.Series]
    """Embedding → value by score; reasons for missing scores are in ``attrs`` of each series."""
    n_cells: int
    n_scored: int
    """Number of cells with a label; of all cells in data without labels."""
    trained_on: str = ""
    """The user's description of the training data."""
    n_trained: int | None = None
    """Number of cells that were in the training data; ``None``: unknown."""


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
        None if trained_cells is None else count_trained_cells(obs.index, trained_cells),
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
    """Return column ``key``, by default ``usual``, as text; ``None`` if the default is missing."""
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
