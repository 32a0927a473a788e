"""Sizes, labels, depth and provenance of an ``.h5ad`` file that is not loaded as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from anndata import AnnData
from anndata.io import read_elem

from bench.messages import log_note

from .file_reader import DEFAULT_LABEL_KEY, guess_modality

_MAX_VALUES = 20_000_000
"""Largest number of stored values that is summed for a card: 80 MB."""


def summarize_h5ad(path: Path, label_key: str | None) -> dict[str, Any]:
    """Return sizes, label counts, depth and provenance of a file, as far as it has them.

    Keys: ``n_cells``, ``n_features``, ``modality``, ``reference``, ``licence``, ``organism``;
    ``label_key``, ``labels_from``, ``n_types`` and ``types`` (name → cells) if the column is
    there; ``zeros`` (share of the entries); ``mean_counts`` and ``median_counts`` of a cell unless
    the matrix is large; ``texts``, the short texts of ``uns``. A note reports a missing column
    and an unreadable file, whose summary is empty.
    """
    try:
        return _summarize(path, label_key or DEFAULT_LABEL_KEY)
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        log_note(f"{path}: not a readable .h5ad file: {text}")
        return {}


def _summarize(path: Path, label_key: str) -> dict[str, Any]:
    with h5py.File(path) as file:
        obs, var = read_elem(file["obs"]), read_elem(file["var"])
        uns = {
            key: str(value.asstr()[()])
            for key, value in file.get("uns", {}).items()
            if isinstance(value, h5py.Dataset) and value.shape == ()
            and h5py.check_string_dtype(value.dtype)
        }  # fmt: skip
        depth = _summarize_depth(file["X"], len(obs) * len(var))
    summary = {
        "n_cells": len(obs),
        "n_features": len(var),
        "modality": guess_modality(AnnData(obs=obs[[]], var=var[[]], uns=uns)),
        "reference": uns.get("source", ""),
        "licence": uns.get("licence", ""),
        "organism": uns.get("organism", ""),
        "texts": {key: text for key, text in uns.items() if text},
        **depth,
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


def _summarize_depth(matrix: Any, entries: int) -> dict[str, float]:
    """Return the share of zeros and, of a matrix that is not large, the counts of a cell."""
    stored = matrix["data"].shape[0] if "data" in matrix else entries
    if stored > _MAX_VALUES:
        return {"zeros": round(1 - stored / entries, 4)} if "data" in matrix else {}
    values = read_elem(matrix)
    totals = np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    return {
        "zeros": round(1 - float((values != 0).sum()) / entries, 4),
        "mean_counts": round(float(totals.mean()), 1),
        "median_counts": float(np.median(totals)),
    }
