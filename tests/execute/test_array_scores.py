"""`bench.score`: scores of any embedding."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bench
from bench.errors import DataError, UsageError

TYPES = np.repeat(["a", "b", "c"], 20)
POINTS = np.eye(3)[np.repeat(range(3), 20)] + np.random.default_rng(0).normal(0, 0.05, (60, 3))


def test_perfect_clusters_score_one():
    scores = bench.score(POINTS, TYPES, metrics=["ari", "n_clusters"])
    assert scores["kmeans/ari"] == 1.0
    assert scores["leiden/n_clusters"] == 3.0


def test_all_metrics_with_and_without_a_batch():
    batch = np.tile(["x", "y"], 30)
    with_batch, without = bench.score(POINTS, TYPES, batch), bench.score(POINTS, TYPES)
    assert np.isfinite(with_batch[["embedding/ilisi", "embedding/kbet"]]).all()
    assert np.isnan(without["embedding/ilisi"])
    assert without.attrs["missing"]["embedding/ilisi"]
    assert with_batch["kmeans/ari"] == without["kmeans/ari"] == 1.0


def test_tables_are_aligned_by_name():
    names = [f"c{i}" for i in range(60)]
    table = pd.DataFrame(POINTS, index=names)
    shuffled = pd.Series(TYPES, index=names).sample(frac=1, random_state=0)
    assert bench.score(table, shuffled, metrics="ari")["kmeans/ari"] == 1.0
    with pytest.raises(DataError) as raised:
        bench.score(table, shuffled.rename("other {}".format), metrics="ari")
    assert raised.value.code == "other_cells"


@pytest.mark.parametrize("wrong", [
    (POINTS[:5], TYPES), (np.full_like(POINTS, np.nan), TYPES), (POINTS, [None, *TYPES[1:]]),
])  # fmt: skip
def test_what_cannot_be_scored(wrong):
    with pytest.raises(DataError) as raised:
        bench.score(*wrong)
    assert raised.value.code == "not_scorable"


def test_an_unknown_metric():
    with pytest.raises(UsageError):
        bench.score(POINTS, TYPES, metrics="arri")
