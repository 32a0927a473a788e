"""Sizes, depth and batches of a dataset, without its labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import cells_of
from bench.data.cache.data_cache import DataCache
from bench.data.cache.dataset_files import CellLabels, load_counts
from bench.data.file_names import find_named_file, is_data_path
from bench.data.resolve import dataset_names, resolve_dataset
from bench.data.user_file import read_user_file
from bench.errors import UsageError
from bench.prepare.in_memory import describe_counts

if TYPE_CHECKING:
    import scipy.sparse as sp
    from anndata import AnnData

    from bench.settings import Settings


@dataclass(frozen=True)
class DataProfile:
    """Facts about a dataset that need no labels; of paired data those of the genes."""

    dataset: str
    modality: str
    n_cells: int
    n_features: int
    median_counts: float
    """Median over the cells of their total counts."""
    zeros: float
    """Share of the entries that are zero."""
    n_batches: int
    """Number of batches; 0 if no column of batches is known."""

    def has_counts_of(self, other: DataProfile) -> bool:
        """Return whether two datasets have the same size and depth."""
        own, others = (
            (one.modality, one.n_cells, one.n_features, one.median_counts) for one in (self, other)
        )
        return own == others


def read_profile(
    text: str, settings: Settings, reading: Mapping[str, Any] | None = None
) -> DataProfile:
    """Return the profile of a file or of a dataset by its name.

    ``reading`` are options of reading a file, as for ``bench fit``. Raises ``UsageError`` and
    ``DataError``.
    """
    if not is_name(text, settings):
        file, data = read_user_file(Path(text), reading or {})
        batch, cells = file.card.batch_key, cells_of(data)
        n_batches = int(cells.obs[batch].nunique()) if batch else 0
        return _profile(file.name, file.card.modality, cells, n_batches)
    if reading:
        options = ", ".join(f"{key}=…" for key in reading)
        raise UsageError(
            f"{text}: a dataset by name takes no options of reading a file; write those that it "
            f"has in brackets, as '{text}[{options}]'.",
            code="not_supported",
        )
    found = resolve_dataset(text, settings)
    cache = DataCache(settings.cache_dir)
    cached = cache.load_dataset(found.dataset, found.source, found.label)
    batches = CellLabels(cached.folder).batch
    n_batches = 0 if batches is None else len(np.unique(batches))
    cells = cells_of(load_counts(cached.folder))
    return _profile(found.label, cached.info.modality, cells, n_batches)


def is_name(text: str, settings: Settings) -> bool:
    """Return whether a text is the name of a dataset, or looks like one, and no path."""
    name = text.partition("[")[0]
    if name in dataset_names(settings) or find_named_file(name) is not None:
        return True
    return not ("/" in text or is_data_path(text) or os.path.exists(text))


def _profile(name: str, modality: str, cells: AnnData, n_batches: int) -> DataProfile:
    totals: list[np.ndarray] = []

    def add(block: sp.csr_matrix) -> None:
        totals.append(np.asarray(block.sum(axis=1, dtype=np.float64)).ravel())

    info = describe_counts(
        cells.X, name=name, modality=modality, has_batch=n_batches > 0, each_block=add
    )
    return DataProfile(
        dataset=name, modality=modality, n_cells=info.n_cells, n_features=info.n_features,
        median_counts=float(np.median(np.concatenate(totals))),
        zeros=round(1 - info.density, 4), n_batches=n_batches,
    )  # fmt: skip
