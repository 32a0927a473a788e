"""Neighbours in the counts that an embedding keeps."""

from __future__ import annotations

import numpy as np
import pytest

from bench.scoring.holdout import VisibleLabels
from bench.scoring.metrics import CountsTask, UndefinedMetric, metrics
from bench.scoring.scorer import score

FUNCTION = metrics()["knn_preservation"].function
POINTS = np.random.default_rng(0).normal(size=(200, 4))


def test_all_neighbours_are_kept_by_a_rotation_and_few_by_noise():
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    noise = np.random.default_rng(2).normal(size=(200, 4))
    assert FUNCTION(POINTS @ rotation, CountsTask(POINTS), seed=0)[0] == pytest.approx(1)
    assert FUNCTION(noise, CountsTask(POINTS), seed=0)[0] == pytest.approx(15 / 199, abs=0.03)


def test_few_cells_have_fewer_neighbours():
    few = POINTS[:10]
    value, facts = FUNCTION(few, CountsTask(few), seed=0)
    assert (value, facts["neighbours"]) == (1.0, 8.0)


@pytest.mark.parametrize(
    ("embedding", "task"),
    [
        (np.zeros((200, 2)), CountsTask(POINTS)),
        (POINTS, CountsTask(no_components="two matrices")),
        (POINTS[:2], CountsTask(POINTS[:2])),
    ],
)
def test_where_it_is_not_defined(embedding, task):
    with pytest.raises(UndefinedMetric):
        FUNCTION(embedding, task, seed=0)


def test_only_scores_that_need_no_types_are_computed_without_labels():
    found = score(
        POINTS, VisibleLabels(None, n_types=3), seed=0, batch=np.arange(200) % 2,
        task=CountsTask(POINTS),
    )  # fmt: skip
    clusters = {f"{one}/{m}" for one in ("kmeans", "leiden") for m in ("n_clusters", "silhouette")}
    cells = {f"embedding/{m}" for m in ("ilisi", "kbet", "knn_preservation")}
    assert set(found.values) == clusters | cells
    assert found.values["embedding/knn_preservation"] == pytest.approx(1)
    assert found.values["kmeans/n_clusters"] == 3
