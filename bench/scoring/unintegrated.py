"""The data before integration: principal components of log-normalised counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from bench.contract import ATAC, DatasetInfo, PairedInfo, Recipe, accessible_peaks, log_normalized
from bench.data.cache.array_folder import ArrayFolder, FolderWriter
from bench.data.cache.cached_dataset import CachedDataset
from bench.data.cache.data_cache import DataCache
from bench.data.cache.folder_state import read_info
from bench.digests import digest

from .metrics.pcr_comparison import METRIC

N_COMPONENTS = 50
NOT_PAIRED = "not defined for paired data, which have two matrices"


def unintegrated_components(cache_folder: Path, dataset_folder: Path) -> np.ndarray | None:
    """Return the first 50 principal components of a cached dataset, all cells × components.

    They are computed once a dataset and stored in the cache. ``None`` for paired data.
    """
    cache = DataCache(cache_folder)
    dataset = CachedDataset(dataset_folder, "", read_info(dataset_folder))
    if isinstance(dataset.info, PairedInfo):
        return None
    recipe = _recipe(dataset.info)
    prepared_key = cache.prepared_key(dataset, recipe)
    key = digest(["unintegrated", METRIC.version, N_COMPONENTS, prepared_key])

    def write(writer: FolderWriter) -> dict[str, object]:
        cache.prepare(dataset_folder, recipe, prepared_key)
        data, cells = cache.open_prepared(prepared_key)
        n_components = min(N_COMPONENTS, min(data.shape) - 1)
        model = PCA(n_components, svd_solver="arpack", random_state=0)
        components = np.empty((dataset.info.n_cells, n_components), dtype=np.float32)
        components[cells] = model.fit_transform(data.X)
        writer.save("components", components)
        return {"name": dataset.info.name, "recipe": recipe.as_dict(), "parts": {}}

    cache.store_prepared(key, write)
    return np.array(ArrayFolder(cache_folder / "prepared" / key).read("components"))


def _recipe(info: DatasetInfo) -> Recipe:
    """Return the recipe of the counts, without a filter of cells."""
    if info.modality == ATAC:
        return replace(accessible_peaks(), target_sum=1e4, log1p=True)
    return log_normalized(info, scale=False)
