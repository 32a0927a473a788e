"""Metrics are found by file and entry point; their versions identify scores."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import get_args

import pytest

from bench import versions
from bench.contract.metric import Kind
from bench.errors import UsageError
from bench.scoring import metrics as registered
from bench.scoring.metrics import (
    Metric,
    built_in_metrics,
    metric_stamp,
    metrics,
    metrics_version,
    stamp_direction,
)

KNOWN = {
    "accuracy", "ami", "ari", "bras", "clisi", "completeness", "graph_connectivity",
    "homogeneity", "ilisi", "isolated_silhouette", "kbet", "knn_purity", "macro_f1",
    "n_clusters", "nmi", "pcr_comparison", "rare_f1", "silhouette", "silhouette_types",
    "v_measure",
}  # fmt: skip


def test_all_metrics_are_found_and_described():
    found = metrics()
    assert set(found) >= KNOWN
    assert list(found) == sorted(found)
    for name, metric in found.items():
        assert metric.name == name
        assert metric.kind in get_args(Kind)
        assert metric.version >= 1
        assert metric.bounds[0] < metric.bounds[1]
        assert metric.summary
        assert metric.reference


def test_version_digest_follows_names_and_versions():
    some_data = ("rare", "paired", "counts", "predicted")
    found = {name: one for name, one in metrics().items() if one.kind not in some_data}
    whole = metrics_version()
    assert whole == metrics_version(found) == metrics_version(dict(reversed(found.items())))
    assert len(whole) == 12
    newer = found | {"ari": replace(found["ari"], version=found["ari"].version + 1)}
    fewer = {name: metric for name, metric in found.items() if name != "ari"}
    assert len({whole, metrics_version(newer), metrics_version(fewer)}) == 3


def test_version_digest_follows_the_clusterings(monkeypatch):
    before = metrics_version()
    monkeypatch.setitem(versions.CLUSTERINGS, "leiden", versions.CLUSTERINGS["leiden"] + 1)
    assert metrics_version() != before


def test_the_stamp_of_a_plugin_metric_has_its_direction():
    for metric in built_in_metrics().values():
        assert all(part.isdigit() for part in metric_stamp(metric).split("."))
        assert stamp_direction(metric_stamp(metric)) is None
    for better, word in ((True, "higher"), (False, "lower"), (None, "none")):
        other = replace(example("other"), higher_is_better=better)
        assert metric_stamp(other) == f"{metric_stamp(metrics()['ari'])}:{word}"
        assert stamp_direction(metric_stamp(other)) is better


def plug_in(monkeypatch, target):
    point = SimpleNamespace(name="theirs", load=lambda: target)
    monkeypatch.setattr(registered, "installed_metrics", lambda: [point])


def example(name: str) -> Metric:
    return replace(metrics()["ari"], name=name)


def test_entry_points_give_a_metric_a_list_or_a_module(monkeypatch):
    one, two = example("one"), example("two")
    plug_in(monkeypatch, one)
    assert metrics()["one"] is one
    plug_in(monkeypatch, [one, two])
    assert {"one", "two"} <= set(metrics())
    plug_in(monkeypatch, SimpleNamespace(METRICS=[two]))
    assert metrics()["two"] is two


def test_errors_of_entry_points(monkeypatch):
    plug_in(monkeypatch, example("ari"))
    with pytest.raises(UsageError, match="theirs") as error:
        metrics()
    assert error.value.code == "duplicate_names"
    monkeypatch.undo()
    one = example("one")
    for name, kind, code in (
        ("total", "batch", "duplicate_names"), ("one", "batches", "unknown_name"),
        ("one", "aggregate", "unknown_name"),
    ):  # fmt: skip
        plug_in(monkeypatch, replace(one, name=name, kind=kind))
        with pytest.raises(UsageError, match="theirs") as error:
            metrics()
        assert error.value.code == code
    plug_in(monkeypatch, SimpleNamespace())
    with pytest.raises(UsageError, match="theirs") as error:
        metrics()
    assert error.value.code == "empty_plugin"
