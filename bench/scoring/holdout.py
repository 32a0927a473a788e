"""Which cells choose a configuration and which report on it, and what a scorer may see.

Protocols of a hyperparameter search:

================  =============================================================================
``holdout``       labels of a stratified 20 % of the cells choose; the other 80 % report
``unsupervised``  no label chooses; all cells report
``oracle``        all labels choose and all cells report: optimistic, and marked wherever shown
================  =============================================================================

A search has two parts: ``tuning`` (trials are scored to choose among them) and ``report`` (the
chosen configuration is scored for the reader).
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
"""Stands wherever a number of this protocol is shown."""
SHARE = 0.2
"""Share of each type's cells whose labels choose."""
SMALLEST = 5
"""Types with fewer cells report whole: a fifth of them would be no cell or one of few."""


@dataclass(frozen=True)
class View:
    """What a scorer gets to see of the labels."""

    types: np.ndarray | None
    """Type of each cell, empty text where it is hidden; ``None``: no labels at all."""
    only: np.ndarray | None = None
    """Mask of the cells that metrics are computed on; ``None``: all."""
    k: int | None = None
    """Number of types for k-means where the visible labels do not show it."""


def tuning_cells(types: Any, identity: str) -> np.ndarray:
    """Return the mask of the cells whose labels may choose a configuration, shape (n_cells,).

    A fifth (rounded) of the cells of each type with at least 5 cells, drawn by a seed made of
    ``identity`` (the digest of the counts) and the type: the split depends on the dataset only.
    """
    names = np.asarray(types).astype(str)
    mask = np.zeros(len(names), dtype=bool)
    for name in np.unique(names):
        cells = np.flatnonzero(names == name)
        if len(cells) >= SMALLEST:
            rng = np.random.default_rng(derive_seed(HOLDOUT, "split", identity, name))
            mask[rng.choice(cells, max(1, round(SHARE * len(cells))), replace=False)] = True
    return mask


def split_file(cache: Path, dataset_folder: Path) -> Path:
    """Return where the split of a stored dataset is kept."""
    return cache / "splits" / f"{dataset_folder.name}.v{HOLDOUT}.npy"


def make_split(cache: Path, dataset_folder: Path, types: np.ndarray, identity: str) -> Path:
    """Keep the split of a stored dataset unless that is done; returns its file.

    ``types`` and ``identity`` are those of :func:`tuning_cells`.

    Raises ``UsageError`` if fewer than two types are large enough to tune on.
    """
    path = split_file(cache, dataset_folder)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.npy")
        np.save(partial, tuning_cells(types, identity), allow_pickle=False)
        partial.rename(path)
    if len(np.unique(types[np.load(path, allow_pickle=False)])) < 2:
        raise UsageError(
            f"--protocol holdout: fewer than two types have {SMALLEST} cells, so that there are "
            "no labels to choose by; use --protocol unsupervised."
        )
    return path


def view(job: dict[str, Any], types: np.ndarray, cells: np.ndarray, cache: Path) -> View:
    """Return what the scorer of a job may see.

    ``job`` holds the fields of ``bench.plan.grid.Job``, ``types`` the true type of each cell of the
    dataset, ``cells`` the indices of the cells that the fit kept.
    """
    protocol, tuning = job["protocol"], job["part"] == "tuning"
    if protocol == "unsupervised" and tuning:
        return View(None)
    kept = np.asarray(types)[cells]
    if protocol != "holdout":
        return View(kept)
    chooses = np.load(split_file(cache, Path(job["dataset_folder"])), allow_pickle=False)[cells]
    if not tuning:
        return View(kept, ~chooses)
    return View(np.where(chooses, kept, ""), chooses, int(job["facts"]["n_types"]))
