"""Equality with scib-metrics where docs/metrics.md says so (``pip install 'aebench[scib]'``)."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from bench.contract import IntegrationTask
from bench.scoring import clustering
from bench.scoring.aggregates import CORRECTION, ISOLATED, aggregate_scores
from bench.scoring.metrics import metrics

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("scib_metrics") is None, reason="scib-metrics is not installed (extra scib)"
    ),
]


@pytest.fixture(scope="module")
def scib():
    """The package; its import takes seconds."""
    return import_module("scib_metrics")


@pytest.fixture(scope="module")
def cells():
    """Six types, unequal in three batches; the last is in two of them."""
    rng = np.random.default_rng(0)
    types = rng.choice(6, 500, p=[0.3, 0.3, 0.15, 0.1, 0.1, 0.05])
    batch = rng.choice(3, 500, p=[0.5, 0.3, 0.2])
    batch[types == 5] %= 2
    points = rng.normal(size=(500, 8)) + 3 * rng.normal(size=(6, 8))[types]
    points += 0.8 * rng.normal(size=(3, 8))[batch]
    return points.astype(np.float32), types, batch


def neighbors(points, n):
    """Exact neighbours as scib-metrics takes them: the cell itself first."""
    from scib_metrics.nearest_neighbors import NeighborsResults

    indices, distances = clustering.nearest_neighbors(points, n - 1, seed=0)
    own = np.arange(len(points))[:, None]
    return NeighborsResults(
        indices=np.hstack((own, indices)), distances=np.hstack((0.0 * own, distances))
    )


def score(name, *args):
    value = metrics()[name].function(*args, seed=0)
    return value[0] if isinstance(value, tuple) else value


def test_lisi(scib, cells):
    points, types, batch = cells
    near = neighbors(points, 90)
    assert score("ilisi", points, types, batch) == pytest.approx(
        scib.ilisi_knn(near, batch), abs=1e-4
    )
    assert score("clisi", points, types) == pytest.approx(scib.clisi_knn(near, types), abs=1e-4)


def test_silhouettes(scib, cells):
    points, types, batch = cells
    ours = score("silhouette_types", points, types)
    assert (ours + 1) / 2 == pytest.approx(scib.silhouette_label(points, types), abs=1e-5)
    isolated = score("isolated_silhouette", points, types, batch)
    assert (isolated + 1) / 2 == pytest.approx(
        scib.isolated_labels(points, types, batch), abs=1e-5
    )


def test_bras(scib, cells):
    points, types, batch = cells
    assert score("bras", points, types, batch) == pytest.approx(
        scib.bras(points, types, batch), abs=1e-5
    )


def test_kbet(scib, cells):
    points, types, batch = cells
    value, facts = metrics()["kbet"].function(points, types, batch, seed=0)
    accepted, _, _ = scib.kbet(neighbors(points, int(facts["neighbours"])), batch)
    assert value == pytest.approx(float(accepted), abs=1e-6)


def test_graph_connectivity_of_the_same_graph(scib, cells):
    points, types, batch = cells
    graph = SimpleNamespace(knn_graph_distances=clustering.connectivities(points, seed=0))
    ours = score("graph_connectivity", points, types, batch)
    assert ours == pytest.approx(scib.graph_connectivity(graph, types))
    # The directed graph of scib-metrics has more components.
    assert ours >= scib.graph_connectivity(neighbors(points, 15), types)


def test_pcr_comparison(scib, cells):
    points, _, batch = cells
    after = points - 0.7 * np.array([points[batch == b].mean(axis=0) for b in range(3)])[batch]
    ours = score("pcr_comparison", after, IntegrationTask(batch, points))
    assert ours == pytest.approx(
        scib.pcr_comparison(points, after, batch, categorical=True), abs=1e-5
    )


def test_ari_and_nmi_of_equal_clusters(scib, cells):
    from scib_metrics.metrics import _nmi_ari

    points, types, _ = cells
    found = scib.nmi_ari_cluster_labels_kmeans(points, types)
    clusters = _nmi_ari._compute_clustering_kmeans(points, 6)
    for name in ("ari", "nmi"):
        assert metrics()[name].function(types, clusters) == pytest.approx(found[name])


def test_the_total_of_its_benchmarker_from_equal_parts():
    from scib_metrics.benchmark import Benchmarker

    parts = {
        "isolated_labels": 0.5, "nmi_ari_cluster_labels_kmeans_nmi": 0.8,
        "nmi_ari_cluster_labels_kmeans_ari": 0.6, "silhouette_label": 0.7, "clisi_knn": 0.9,
        "bras": 0.5, "ilisi_knn": 0.4, "kbet_per_label": 0.3, "graph_connectivity": 1.0,
        "pcr_comparison": 0.8,
    }  # fmt: skip
    theirs = Benchmarker(None, "batch", "label", ["z"])
    for number, (name, value) in enumerate(parts.items()):
        kind = "Bio conservation" if number < 5 else "Batch correction"
        theirs._results.loc[name] = [value, kind]
    total = theirs.get_results().loc["z", "Total"]
    ours, _ = aggregate_scores(
        {"kmeans/nmi": 0.8, "kmeans/ari": 0.6, "embedding/silhouette_types": 0.4, ISOLATED: 0.0,
         "embedding/clisi": 0.9} | dict(zip(CORRECTION, (0.5, 0.4, 0.3, 1.0, 0.8), strict=True)),
        {},
    )  # fmt: skip
    assert ours["scib/total"] == pytest.approx(total)
