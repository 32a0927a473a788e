"""Scores of an embedding: keys, reasons, masks, seeds, unusual embeddings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.scoring.holdout import VisibleLabels
from bench.scoring.metrics import IntegrationTask, UndefinedMetric, metrics
from bench.scoring.scorer import score

CLUSTERING = {
    "accuracy", "ami", "ari", "completeness", "homogeneity", "macro_f1", "n_clusters", "nmi",
    "rare_f1", "silhouette", "v_measure",
}  # fmt: skip
RARE = {
    f"{name}{cells}" for name in ("rare_ap", "rare_auroc", "rare_purity", "isolated_f1")
    for cells in ("", "_held_out")
}  # fmt: skip
BATCH = {"bras", "graph_connectivity", "ilisi", "isolated_silhouette", "kbet", "pcr_comparison"}
EMBEDDING = {"silhouette_types", "clisi", "knn_purity", *BATCH, *RARE}


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    types = rng.permutation(np.repeat(["a", "b", "c", "d"], [150, 90, 50, 10]))
    return rng.normal(size=(300, 5)) + 15 * np.eye(5)[
        np.unique(types, return_inverse=True)[1]
    ], types


def test_every_metric_has_a_value_or_a_reason(blobs):
    points, types = blobs
    found = score(points, VisibleLabels(types), own_labels={"mine": types}, seed=0)
    expected = {f"{c}/{m}" for c in ("kmeans", "leiden", "mine") for m in CLUSTERING}
    expected |= {f"embedding/{m}" for m in EMBEDDING}
    assert set(found.values) | set(found.missing) == expected
    assert not set(found.values) & set(found.missing)
    none = {f"embedding/{name}": "no rare type is named (rare_type=TYPE)" for name in RARE}
    none |= {f"embedding/{name}": "no batch is given" for name in BATCH}
    assert found.missing == none
    assert all(isinstance(v, float) and np.isfinite(v) for v in found.values.values())
    assert found.values["leiden/homogeneity"] == pytest.approx(1)
    for name in ("kmeans", "mine"):
        assert found.values[f"{name}/ari"] == pytest.approx(1)
        assert found.values[f"{name}/rare_f1"] == pytest.approx(1)
        assert found.values[f"{name}/n_clusters"] == 4
    assert found.values["embedding/knn_purity"] == pytest.approx(1)
    assert found.facts["kmeans/k"] == 4
    assert found.facts["cells"] == found.facts["embedding/silhouette_types/cells"] == 300


def test_batch_metrics_with_a_batch(blobs):
    points, types = blobs
    found = score(points, VisibleLabels(types), seed=0, batch=np.arange(300) % 2)
    assert set(found.missing) == {f"embedding/{name}" for name in (*RARE, "pcr_comparison")}
    assert "counts" in found.missing["embedding/pcr_comparison"]
    assert found.values["embedding/ilisi"] > 0.8
    assert found.values["embedding/kbet"] > 0.8
    assert found.values["embedding/graph_connectivity"] == pytest.approx(1)


def test_batches_before_and_after_are_those_of_the_reported_cells(blobs):
    points, types = blobs
    batch, reported = np.arange(300) % 2, np.arange(300) < 200
    before = points + 3 * batch[:, None]
    task = IntegrationTask(batch, before)
    found = score(points, VisibleLabels(types, reported), seed=0, batch=task)
    rows = IntegrationTask(batch[:200], before[:200])
    expected, facts = metrics()["pcr_comparison"].function(points[:200], rows, seed=0)
    assert found.values["embedding/pcr_comparison"] == pytest.approx(expected)
    assert found.facts["embedding/pcr_comparison/before"] == pytest.approx(facts["before"])


def test_reserved_names_of_own_labels_are_prefixed(blobs):
    points, types = blobs
    own = {"kmeans": types, "own_kmeans": types, "embedding": types, "my k=4": types}
    found = score(points, VisibleLabels(types), own_labels=own, seed=0)
    assert set(found.clusters) == {
        "kmeans", "leiden", "own_kmeans", "own_own_kmeans", "own_embedding", "my_k_4",
    }  # fmt: skip
    np.testing.assert_array_equal(found.clusters["own_kmeans"], types)


def test_reported_cells_restrict_metrics_and_not_clusterings():
    rng = np.random.default_rng(0)
    types = rng.integers(0, 4, 400)
    points = rng.normal(size=(400, 5)) + 2 * np.eye(5)[types]
    mask = rng.random(400) < 0.8
    own = {"mine": rng.integers(0, 4, 400)}
    whole = score(points, VisibleLabels(types), own_labels=own, seed=3)
    part = score(points, VisibleLabels(types, mask), own_labels=own, seed=3)
    for name, labels in whole.clusters.items():
        np.testing.assert_array_equal(part.clusters[name], labels)
        for metric in ("ari", "accuracy"):
            expected = metrics()[metric].function(types[mask], labels[mask])
            assert part.values[f"{name}/{metric}"] == pytest.approx(expected)
            assert part.values[f"{name}/{metric}"] != whole.values[f"{name}/{metric}"]
    silhouette = metrics()["silhouette_types"].function(points[mask], types[mask], seed=0)[0]
    assert part.values["embedding/silhouette_types"] == pytest.approx(silhouette)
    assert part.facts["cells"] == mask.sum()


def test_k_is_the_number_of_types_of_all_cells(blobs):
    points, types = blobs
    found = score(points, VisibleLabels(types, types != "d"), seed=0)
    assert found.facts["kmeans/k"] == 4
    assert found.facts["types"] == 3
    assert found.values["kmeans/ari"] == pytest.approx(1)


def test_labels_of_other_cells_do_not_change_scores(blobs):
    """Labels outside the mask must not leak into metrics (k apart)."""
    rng = np.random.default_rng(0)
    points, types = rng.normal(size=(300, 5)), blobs[1]
    mask = np.arange(300) < 240
    shuffled = types.copy()
    shuffled[~mask] = rng.permutation(types[~mask])
    first, second = (score(points, VisibleLabels(t, mask), seed=0) for t in (types, shuffled))
    assert first.values == second.values


def test_seeds_reproduce():
    rng = np.random.default_rng(0)
    points, types = rng.normal(size=(300, 5)), rng.integers(0, 5, 300)
    first, again, other = (score(points, VisibleLabels(types), seed=seed) for seed in (0, 0, 1))
    assert first.values == again.values
    assert first.values != other.values


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_embedding_must_be_finite(blobs, bad):
    points = blobs[0].copy()
    points[7, 2] = bad
    with pytest.raises(ValueError, match="not finite in 1 of 300 cells"):
        score(points, VisibleLabels(blobs[1]), seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"types": ["a"] * 299}, "types"),
        ({"types": ["a"] * 299 + [None]}, "1 of 300 cells have none"),
        ({"reported": np.zeros(300, dtype=bool)}, "reported"),
        ({"reported": np.arange(300)}, "reported"),
        ({"own_labels": {"mine": [1, 2]}}, "mine"),
        ({"batch": [1]}, "batch"),
        ({"embedding": np.zeros((300, 0))}, "shape"),
    ],
)
def test_errors_name_the_input(blobs, change, message):
    arguments = {"embedding": blobs[0], "types": blobs[1], "reported": None} | change
    labels = VisibleLabels(arguments.pop("types"), arguments.pop("reported"))
    with pytest.raises(ValueError, match=message):
        score(labels=labels, seed=0, **arguments)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "points",
    [
        np.linspace(0, 1, 60),
        np.linspace(0, 1, 60)[:, None].astype(np.float32),
        np.zeros((60, 4)),
        np.full((60, 4), 1 / 3),
        np.repeat(np.eye(2), 30, axis=0),
        np.eye(60),
        np.full((60, 2), 1e300) * np.arange(60)[:, None] / 60,
        np.arange(120).reshape(60, 2),
    ],
)
def test_unusual_embeddings(points):
    types = np.repeat(["a", "b", "c"], 20)
    found = score(points, VisibleLabels(types), seed=0, batch=np.arange(60) % 2)
    reasons = [r for r in found.missing.values() if "Error" in r]
    assert not reasons
    assert {"kmeans/ari", "leiden/ari", "kmeans/accuracy"} <= set(found.values)


@pytest.mark.parametrize("n_cells", [1, 2, 3, 9])
def test_few_cells_and_one_type_have_reasons(n_cells):
    points = np.random.default_rng(0).normal(size=(n_cells, 3))
    found = score(points, VisibleLabels(["a"] * n_cells), seed=0, batch=np.arange(n_cells) % 2)
    assert not [r for r in found.missing.values() if "Error" in r]
    assert found.missing["leiden/ari"] == "all cells have the same true type"
    assert found.values["kmeans/accuracy"] == 1


def test_a_faulty_metric_loses_its_own_value_only(blobs):
    def broken(true, predicted):
        raise TypeError("no\nsuch thing")

    def undefined(true, predicted):
        raise UndefinedMetric("for a reason")

    ari = metrics()["ari"]
    chosen = {
        "ari": ari,
        "broken": replace(ari, name="broken", function=broken),
        "undefined": replace(ari, name="undefined", function=undefined),
        "nan": replace(ari, name="nan", function=lambda true, predicted: float("nan")),
    }
    found = score(blobs[0], VisibleLabels(blobs[1]), seed=0, chosen=chosen)
    assert set(found.values) == {"kmeans/ari", "leiden/ari"}
    assert found.missing["kmeans/broken"] == "TypeError: no"
    assert found.missing["kmeans/undefined"] == "for a reason"
    assert found.missing["kmeans/nan"] == "the metric returned nan"


def test_labels_may_be_categories_floats_or_numbers(blobs):
    import pandas as pd

    points, types = blobs
    codes = pd.Categorical(types).codes
    own = {"category": pd.Categorical(types), "whole": codes.astype(float), "small": codes}
    found = score(
        points, VisibleLabels(pd.Series(types, dtype="category")), own_labels=own, seed=0
    )
    assert all(found.values[f"{name}/ari"] == pytest.approx(1) for name in own)


def test_a_batch_that_tells_the_type_is_measured(blobs):
    points, types = blobs

    def value(batch: np.ndarray, reported: np.ndarray | None = None) -> float | None:
        labels = VisibleLabels(types, reported)
        return score(points, labels, seed=0, batch=batch, chosen={}).facts.get("batch/types_v")

    assert value(types) == pytest.approx(1.0)
    assert value(np.where(types == "a", "x", types)) == pytest.approx(1.0)
    assert value(np.arange(300) % 2) < 0.2
    two = np.where(types == "a", 0, 1)
    assert value(two) == pytest.approx(1.0)
    assert value(np.zeros(300)) is None
    assert value(two, types == "a") is None
