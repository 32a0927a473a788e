"""Corrections of batches: planted shifts go, types stay, data without batches are left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from _method_data import fit_context
from anndata import AnnData
from sklearn.metrics import silhouette_score

from bench.contract import Fit, Knowledge
from bench.registry import methods

CORRECTIONS = ["combat", "pca_harmony", "scanorama"]


def shifted_cells(n_cells: int = 240) -> tuple[AnnData, np.ndarray, np.ndarray]:
    """Return values of three types in two batches, one with other means and scales."""
    rng = np.random.default_rng(0)
    types, batch = np.arange(n_cells) % 3, np.arange(n_cells) // 3 % 2
    values = rng.standard_normal((n_cells, 40)) + 3 * rng.standard_normal((3, 40))[types]
    shift = 2 * rng.standard_normal(40)
    values[batch == 1] = values[batch == 1] * 1.5 + shift
    return AnnData((values + 20).astype(np.float32)), types, np.array(["a", "b"])[batch]


def corrected(name: str, data: AnnData, batch: np.ndarray | None, **params: object) -> Fit:
    entry = methods().entry(name)
    if entry.unavailable:
        pytest.skip(entry.unavailable)
    method = entry.cls(entry.cls.Params.build({"n_components": 10} | params, owner=name))
    return method.fit(data, replace(fit_context(), knowledge=Knowledge(batch=batch)))


@pytest.mark.parametrize("name", CORRECTIONS)
def test_batches_mix_and_types_stay_apart(name: str):
    data, types, batch = shifted_cells()
    before = corrected("combat", data, None).embedding
    after = corrected(name, data, batch).embedding
    assert silhouette_score(before, batch) > 0.15
    assert silhouette_score(after, batch) < 0.05
    assert silhouette_score(after, types) > 0.3


@pytest.mark.parametrize("name", CORRECTIONS)
def test_one_batch_is_no_batch(name: str):
    data, _, batch = shifted_cells(60)
    alone = corrected(name, data, np.full_like(batch, "a"))
    assert "batches" in alone.notes
    np.testing.assert_array_equal(alone.embedding, corrected(name, data, None).embedding)


def test_combat_equals_means_and_variances_of_batches():
    """With many cells nothing is shrunk: batches get the mean and variance of the whole."""
    from bench.methods.combat import _corrected

    data, _, batch = shifted_cells(3000)
    values = _corrected(data.X, batch)
    for feature in range(5):
        parts = [values[batch == name, feature] for name in "ab"]
        assert parts[0].mean() == pytest.approx(parts[1].mean(), abs=0.02)
        assert parts[0].std() == pytest.approx(parts[1].std(), rel=0.02)


def test_combat_leaves_a_batch_of_one_cell_and_constant_features_alone():
    from bench.methods.combat import _corrected

    data, _, batch = shifted_cells(61)
    data.X[:, 3] = 7.0
    batch[0] = "c"
    values = _corrected(data.X, batch)
    np.testing.assert_array_equal(values[0], data.X[0])
    assert (values[:, 3] == 7).all()
    assert np.isfinite(values).all()
