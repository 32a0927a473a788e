"""What an ``.h5ad`` file says about itself, without loading it as a dataset."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from bench.data.file_dataset import DEFAULT_LABEL_KEY, modality_of

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_ENTRIES = 20_000_000
"""Largest number of stored values that is summed up for a card: 80 MB."""


def peek(path: Path, label_key: str | None) -> dict[str, Any]:
    """Return sizes, label counts, depth and provenance of a file, as far as it has them.

    Keys: ``n_cells``, ``n_features``, ``modality``, ``reference``, ``licence``, ``organism``;
    ``label_key``, ``labels_from``, ``n_types`` and ``types`` (name → cells) if the column is
    there; ``zeros`` (share of the entries); ``mean_counts`` and ``median_counts`` of a cell unless
    the matrix is large; ``said``, the short texts of ``uns``. What is missing goes to ``say``; a
    file that cannot be read says so and is empty.
    """
    try:
        return _peek(path, label_key or DEFAULT_LABEL_KEY)
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        logger.info(f"{path}: not a readable .h5ad file: {text}")
        return {}


def _peek(path: Path, label_key: str) -> dict[str, Any]:
    import h5py
    from anndata import AnnData
    from anndata.io import read_elem

    with h5py.File(path) as file:
        obs, var = read_elem(file["obs"]), read_elem(file["var"])
        uns = {
            key: str(value.asstr()[()])
            for key, value in file.get("uns", {}).items()
            if isinstance(value, h5py.Dataset) and value.shape == ()
            and h5py.check_string_dtype(value.dtype)
        }  # fmt: skip
        depth = _depth(file["X"], len(obs) * len(var))
    found = {
        "n_cells": len(obs),
        "n_features": len(var),
        "modality": modality_of(AnnData(obs=obs[[]], var=var[[]], uns=uns)),
        "reference": uns.get("source", ""),
        "licence": uns.get("licence", ""),
        "organism": uns.get("organism", ""),
        "said": {key: text for key, text in uns.items() if text},
        **depth,
    }
    if label_key not in obs:
        there = ", ".join(map(str, obs.columns)) or "none"
        logger.info(f"no column '{label_key}' in obs; name one as [label_key=…]: {there}")
        return found
    sizes = obs[label_key].value_counts()
    types = {str(name): int(size) for name, size in sizes.items() if size}
    return {
        **found,
        "label_key": label_key,
        "labels_from": f"column {label_key} of the file",
        "n_types": len(types),
        "types": types,
    }


def _depth(matrix: Any, entries: int) -> dict[str, float]:
    """Return the share of zeros and, unless there are many, total counts of a cell."""
    import numpy as np
    from anndata.io import read_elem

    stored = matrix["data"].shape[0] if "data" in matrix else entries
    if stored > _ENTRIES:
        return {"zeros": round(1 - stored / entries, 4)} if "data" in matrix else {}
    values = read_elem(matrix)
    totals = np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    return {
        "zeros": round(1 - float((values != 0).sum()) / entries, 4),
        "mean_counts": round(float(totals.mean()), 1),
        "median_counts": float(np.median(totals)),
    }
