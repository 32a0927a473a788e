"""The cells whose labels select a configuration, and the labels that a scorer may see.

Protocols of a hyperparameter search:

================  =============================================================================
``holdout``       select by the labels of a stratified 20 % of the cells, report on the other 80 %
``unsupervised``  select without labels, report on all cells
``oracle``        select by all labels, report on all cells: optimistic, and marked wherever shown
================  =============================================================================

A search has two parts: ``tuning`` scores trials to select one, ``report`` scores the selected
configuration.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UsageError
from bench.seeds import derive_seed
from bench.versions import HOLDOUT

PROTOCOLS = ("holdout", "unsupervised", "oracle")
ORACLE = "oracle: tuned on the labels it is scored on, so it may be too good"
"""Warning beside every number of this protocol."""
_TUNING_SHARE = 0.2
"""Share of each type's cells whose labels select a configuration."""
_MIN_CELLS = 5
"""All cells of smaller types are for the report: a fifth would be one cell or none."""


@dataclass(frozen=True)
class VisibleLabels:
    """The labels that a scorer may see.

    Parameters
    ----------
    types
        Type of each cell, shape (n_cells,), empty text where it is hidden; ``None``: no labels.
    reported
        Mask of the cells that metrics are computed on, shape (n_cells,); ``None``: all.
    n_types
        Number of clusters of k-means; ``None``: the number of types in ``types``. k-means is left
        out if both are ``None``.
    """

    types: Any
    reported: np.ndarray | None = None
    n_types: int | None = None


def tuning_cells(types: Any, identity: str) -> np.ndarray:
    """Return the mask of the cells whose labels may select a configuration, shape (n_cells,).

    A fifth (rounded) of the cells of each type with at least 5 cells, drawn by a seed made of
    ``identity`` (the digest of the counts) and the type: the split depends on the dataset only.
    """
    names = np.asarray(types).astype(str)
    mask = np.zeros(len(names), dtype=bool)
    for name in np.unique(names):
        cells = np.flatnonzero(names == name)
        if len(cells) >= _MIN_CELLS:
            rng = np.random.default_rng(derive_seed(HOLDOUT, "split", identity, name))
            mask[rng.choice(cells, max(1, round(_TUNING_SHARE * len(cells))), replace=False)] = (
                True
            )
    return mask


def split_file(cache: Path, dataset_folder: Path) -> Path:
    """Return the file of the split of a cached dataset."""
    return cache / "splits" / f"{dataset_folder.name}.v{HOLDOUT}.npy"


def write_split(
    cache: Path, dataset_folder: Path, types: np.ndarray | None, identity: str
) -> Path:
    """Write the split of a cached dataset unless it exists; returns its file.

    ``types`` and ``identity`` are those of :func:`tuning_cells`. Raises ``UsageError`` without
    labels, and if fewer than two types are large enough to tune on.
    """
    if types is None:
        raise UsageError(
            "--protocol holdout: the data have no labels; use --protocol unsupervised.",
            code="no_labels",
        )
    path = split_file(cache, dataset_folder)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.npy")
        np.save(partial, tuning_cells(types, identity), allow_pickle=False)
        partial.rename(path)
    if len(np.unique(types[np.load(path, allow_pickle=False)])) < 2:
        raise UsageError(
            f"--protocol holdout: fewer than two types have {_MIN_CELLS} cells, so there are not "
            "enough labels; use --protocol unsupervised.",
            code="too_few_labels",
        )
    return path


def visible_labels(
    job: dict[str, Any], types: np.ndarray | None, cells: np.ndarray, cache: Path
) -> VisibleLabels:
    """Return the labels that the scorer of a job may see.

    ``job`` holds the fields of a :class:`bench.plan.job.Job`. ``types`` has the type of each cell
    of the dataset, ``None`` without labels. ``cells`` are the indices of the cells of the fit.
    """
    if types is None:
        return VisibleLabels(None, n_types=job["facts"].get("n_clusters"))
    protocol, tuning = job["protocol"], job["part"] == "tuning"
    if protocol == "unsupervised" and tuning:
        return VisibleLabels(None)
    types = np.asarray(types)[cells]
    if protocol != "holdout":
        return VisibleLabels(types)
    chooses = np.load(split_file(cache, Path(job["dataset_folder"])), allow_pickle=False)[cells]
    if not tuning:
        return VisibleLabels(types, ~chooses)
    return VisibleLabels(np.where(chooses, types, ""), chooses, int(job["facts"]["n_types"]))
