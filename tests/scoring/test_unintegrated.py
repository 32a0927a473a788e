"""The data before integration: once a dataset, cached, in the order of its cells."""

from __future__ import annotations

import numpy as np
import pytest

from bench.contract import Recipe
from bench.data.cache.data_cache import DataCache
from bench.data.cache.dataset_files import load_counts
from bench.datasets.sim_multiome import SimMultiome
from bench.scoring import unintegrated
from bench.scoring.unintegrated import unintegrated_components


def test_components_of_log_normalised_counts_by_hand(
    store: DataCache, toy_counts, in_memory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(unintegrated, "_recipe", lambda info: Recipe(target_sum=1e4, log1p=True))
    folder = store.load_dataset(in_memory(toy_counts), "code", "memory").folder
    found = unintegrated_components(store.root, folder)
    counts = load_counts(folder).X.toarray().astype(float)
    logs = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    u, s, _ = np.linalg.svd(logs - logs.mean(axis=0), full_matrices=False)
    n = min(50, min(counts.shape) - 1)
    assert found.shape == (counts.shape[0], n)
    expected = (u * s)[:, :n]
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-3)


def test_they_are_computed_once(store: DataCache, toy_counts, in_memory, monkeypatch):
    folder = store.load_dataset(in_memory(toy_counts), "code", "memory").folder
    first = unintegrated_components(store.root, folder)
    monkeypatch.delattr(unintegrated, "PCA")
    np.testing.assert_array_equal(unintegrated_components(store.root, folder), first)
    assert all(intact for _, intact in store.verify())


def test_paired_data_have_none(store: DataCache):
    dataset = SimMultiome.from_values({"n_cells": "60", "n_genes": "50", "n_peaks": "80"})
    folder = store.load_dataset(dataset, "code", "sim_multiome").folder
    assert unintegrated_components(store.root, folder) is None
