"""The controls: noise that ignores the data, and the truth."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from bench.apply.estimator import Estimator
from bench.errors import UsageError
from bench.registry import methods


def estimator(name: str, **params: object) -> Estimator:
    cls = methods().get(name)
    return Estimator(cls(cls.Params.build(params, owner=name)))


def test_noise_does_not_depend_on_the_data(toy_counts: AnnData):
    other = toy_counts.copy()
    other.X = other.X[::-1].copy()
    one = estimator("random").fit(toy_counts, seed=2).embedding_
    np.testing.assert_array_equal(one, estimator("random").fit(other, seed=2).embedding_)
    assert not np.allclose(one, estimator("random").fit(toy_counts, seed=3).embedding_)
    assert one.shape == (60, 20)


def test_noise_is_standard_normal(toy_counts: AnnData):
    noise = estimator("random", n_components=500).fit(toy_counts).embedding_
    assert noise.mean() == pytest.approx(0.0, abs=0.03)
    assert noise.std() == pytest.approx(1.0, abs=0.03)


def test_noise_finds_nothing(toy_counts: AnnData):
    found = [
        KMeans(3, n_init=10, random_state=0).fit_predict(
            estimator("random").fit(toy_counts, seed=seed).embedding_
        )
        for seed in range(10)
    ]
    types = toy_counts.obs["cell_type"]
    assert abs(np.mean([adjusted_rand_score(types, labels) for labels in found])) < 0.05


def test_truth_is_found_again(toy_counts: AnnData):
    types = toy_counts.obs["cell_type"].to_numpy()
    fitted = estimator("truth").fit(toy_counts, labels=types)
    assert fitted.method.needs() == {"labels"}
    np.testing.assert_array_equal(fitted.own_labels_["truth"], types)
    np.testing.assert_array_equal(fitted.embedding_.sum(axis=1), 1.0)
    found = KMeans(3, n_init=10, random_state=0).fit_predict(fitted.embedding_)
    assert adjusted_rand_score(types, found) == 1.0


def test_truth_needs_labels(toy_counts: AnnData):
    with pytest.raises(UsageError) as error:
        estimator("truth").fit(toy_counts)
    assert error.value.code == "missing_input"
