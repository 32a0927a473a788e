"""Sizes, labels, depth and provenance of an ``.h5ad`` file, read without checks of the data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import anndata
import numpy as np

from bench.messages import log_note
from bench.prepare.blocks import row_blocks

from .file_reader import guess_modality
from .formats.guards import open_hdf5
from .name_patterns import DEFAULT_LABEL_KEY

_MAX_BYTES = 1 << 28
"""Largest file whose counts are summed for a card."""


def summarize_h5ad(path: Path, label_key: str | None) -> dict[str, Any]:
    """Return the sizes, label counts, depth and provenance that a file holds.

    Keys: ``n_cells``, ``n_features``, ``modality``, ``reference``, ``licence``, ``organism``;
    ``texts`` of ``uns``; ``label_key``, ``labels_from``, ``n_types`` and ``types`` (name → cells)
    if the column is there; of a small file ``zeros`` (share of the entries), ``mean_counts`` and
    ``median_counts`` of a cell. A note reports a missing column and an unreadable file, whose
    summary is empty.
    """
    try:
        return _summarize(path, label_key or DEFAULT_LABEL_KEY)
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        log_note(f"{path}: not a readable .h5ad file: {text}")
        return {}


def _summarize(path: Path, label_key: str) -> dict[str, Any]:
    with open_hdf5(path):  # refuses a file that leads to others
        pass
    adata = anndata.read_h5ad(path, backed="r")
    obs, texts = adata.obs, {key: text for key, text in adata.uns.items() if isinstance(text, str)}
    summary = {
        "n_cells": adata.n_obs,
        "n_features": adata.n_vars,
        "modality": guess_modality(adata),
        "reference": texts.get("source", ""),
        "licence": texts.get("licence", ""),
        "organism": texts.get("organism", ""),
        "texts": texts,
        **(_summarize_depth(adata.X) if path.stat().st_size < _MAX_BYTES else {}),
    }
    if label_key not in obs:
        columns = ", ".join(map(str, obs.columns)) or "none"
        log_note(f"no column '{label_key}' in obs; name one as [label_key=…]: {columns}")
        return summary
    sizes = obs[label_key].value_counts()
    types = {str(name): int(size) for name, size in sizes.items() if size}
    return {
        **summary,
        "label_key": label_key,
        "labels_from": f"column {label_key} of the file",
        "n_types": len(types),
        "types": types,
    }


def _summarize_depth(matrix: Any) -> dict[str, float]:
    """Return the share of zeros and the mean and median total count of the cells."""
    totals, n_values = [], 0
    for _, block in row_blocks(matrix):
        totals.append(np.asarray(block.sum(axis=1, dtype=np.float64)).ravel())
        n_values += block.nnz
    counts = np.concatenate(totals)
    return {
        "zeros": round(1 - n_values / math.prod(matrix.shape), 4),
        "mean_counts": round(float(counts.mean()), 1),
        "median_counts": float(np.median(counts)),
    }
