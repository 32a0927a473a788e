"""Score an embedding and clusterings against the true types."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.scoring.score_names import key_part
from bench.seeds import derive_seed

from . import clustering as cluster
from .metrics import MetricFact, Metric, PairedTasks, RareTask, UndefinedMetric, metrics

RESERVED = frozenset({"kmeans", "leiden", "embedding", "paired"})
"""First parts of score keys that belong to the harness."""


@dataclass
class Scores:
    """What scoring one fit gives; keys are ``<clustering>/<metric>``, ``embedding/<metric>``.

    And ``paired/<metric>`` for tasks on both parts of unseen cells.

    ``values`` holds finite numbers only. A metric is either in ``values`` or in ``missing``.
    """

    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Key → reason in one line."""
    clusters: dict[str, np.ndarray] = field(default_factory=dict)
    """``kmeans``, ``leiden`` and the method's own clusterings → labels of all cells."""
    facts: dict[str, MetricFact] = field(default_factory=dict)
    """``kmeans/k``, ``cells`` and what metrics record, such as ``<key>/cells`` of a sample."""


def score(
    embedding: Any,
    types: Any,
    *,
    own_labels: Mapping[str, Any] | None = None,
    seed: int,
    batch: Any = None,
    only: np.ndarray | None = None,
    k: int | None = None,
    rare: RareTask | None = None,
    paired: PairedTasks | None = None,
    chosen: Mapping[str, Metric] | None = None,
) -> Scores:
    """Cluster an embedding and compute all metrics.

    Parameters
    ----------
    embedding
        Cells × dimensions, finite; a vector is one dimension.
    types
        True type of each cell, none missing. k-means gets their number ("k from truth").
        ``None``: no label is known; there is no k-means, and only metrics of a clustering on the
        embedding (kind ``partition``) and of paired data are computed.
    own_labels
        The method's own clusterings by name. A name of the harness gets the prefix ``own_``.
    seed
        Clusterings and samples use seeds derived from it.
    batch
        Batch of each cell; without it metrics of batch mixing are missing.
    only
        Mask of the cells to report on. Clusterings are made of all cells, k included; metrics
        see the masked cells only, neighbours and silhouettes among them.
    k
        Clusters of k-means where ``types`` hides some cells' types (default: count them).
    rare
        The rare type and the held-out cells; without it metrics of a rare type are missing.
    paired
        What the method said of unseen cells; ``None``: the data are not paired, and nothing is
        said of metrics that need such.
    chosen
        Metrics to compute (default: all).

    Raises ``ValueError`` if the embedding is not finite or if lengths differ.
    """
    points = _points(embedding)
    mask = _mask(only, len(points))
    scores = Scores()
    if types is not None:
        true = _labels("types", types, len(points))
        k = k or len(np.unique(true))
        scores.clusters["kmeans"] = cluster.kmeans(points, k, derive_seed(seed, "score", "kmeans"))
        scores.facts |= {"kmeans/k": float(k), "types": float(len(np.unique(true[mask])))}
    scores.clusters["leiden"] = cluster.leiden(points, derive_seed(seed, "score", "leiden"))
    for name, labels in (own_labels or {}).items():
        key = key_part(name, {*RESERVED, *scores.clusters})
        scores.clusters[key] = _labels(f"labels '{name}'", labels, len(points))
    scores.facts |= {
        "leiden/n_neighbors": float(cluster.N_NEIGHBORS),
        "leiden/resolution": cluster.RESOLUTION,
        "cells": float(mask.sum()),
    }
    wanted = metrics() if chosen is None else chosen
    if types is None:
        kinds = ("partition", "paired")
        wanted = {name: metric for name, metric in wanted.items() if metric.kind in kinds}
        true = np.zeros(len(points), dtype=np.int64)  # read by no metric of that kind
    batches = None if batch is None else _labels("batch", batch, len(points))[mask]
    _embedding_metrics(scores, wanted, points[mask], true[mask], batches, seed)
    _rare_metrics(scores, wanted, points, mask, rare, seed)
    for metric in wanted.values():
        if metric.kind == "paired" and paired is not None:
            _compute(scores, f"paired/{metric.name}", metric.function, paired)
    for name, labels in scores.clusters.items():
        _cluster_metrics(scores, wanted, name, points[mask], true[mask], labels[mask], seed)
    return scores


def _embedding_metrics(
    scores: Scores,
    wanted: Mapping[str, Metric],
    points: np.ndarray,
    true: np.ndarray,
    batch: np.ndarray | None,
    seed: int,
) -> None:
    """Compute the metrics of the embedding itself."""
    for metric in wanted.values():
        key = f"embedding/{metric.name}"
        own_seed = derive_seed(seed, "score", metric.name)
        if metric.kind == "embedding":
            _compute(scores, key, metric.function, points, true, seed=own_seed)
        elif metric.kind == "batch" and batch is None:
            scores.missing[key] = "no batch is given"
        elif metric.kind == "batch":
            _compute(scores, key, metric.function, points, true, batch, seed=own_seed)


def _rare_metrics(
    scores: Scores,
    wanted: Mapping[str, Metric],
    points: np.ndarray,
    mask: np.ndarray,
    task: RareTask | None,
    seed: int,
) -> None:
    """Compute the metrics of the rare type on the reported cells."""
    chosen = [metric for metric in wanted.values() if metric.kind == "rare"]
    if task is None:
        reason = "no rare type is named (rare_type=TYPE)"
        scores.missing |= {f"embedding/{metric.name}": reason for metric in chosen}
        return
    train = None if task.train is None else task.train[mask]
    shown = RareTask(task.rare[mask], train, task.no_held_out)
    for metric in chosen:
        own_seed = derive_seed(seed, "score", metric.name.removesuffix("_held_out"))
        _compute(
            scores, f"embedding/{metric.name}", metric.function, points[mask], shown, seed=own_seed
        )


def _cluster_metrics(
    scores: Scores,
    wanted: Mapping[str, Metric],
    name: str,
    points: np.ndarray,
    true: np.ndarray,
    labels: np.ndarray,
    seed: int,
) -> None:
    """Compute the metrics of one clustering."""
    for metric in wanted.values():
        key = f"{name}/{metric.name}"
        if metric.kind == "clustering":
            _compute(scores, key, metric.function, true, labels)
        elif metric.kind == "partition":
            own_seed = derive_seed(seed, "score", metric.name)
            _compute(scores, key, metric.function, points, labels, seed=own_seed)


def _compute(
    scores: Scores, key: str, function: Callable[..., Any], *args: Any, **kw: Any
) -> None:
    """Store a value with its facts, or the reason why there is none."""
    try:
        result = function(*args, **kw)
        number, facts = result if isinstance(result, tuple) else (result, {})
        value = float(number)
        facts = {f"{key}/{name}": _fact(content) for name, content in facts.items()}
    except UndefinedMetric as reason:
        scores.missing[key] = str(reason)
        return
    except MemoryError:
        raise  # the job is out of memory, and its status must say so
    except Exception as error:  # a faulty third-party metric must not cost the other scores
        scores.missing[key] = f"{type(error).__name__}: {error}".splitlines()[0]
        return
    if not math.isfinite(value):
        scores.missing[key] = f"the metric returned {value}"
        return
    scores.values[key] = value
    scores.facts |= facts


def _fact(content: Any) -> MetricFact:
    return content if isinstance(content, str) else float(content)


def _points(embedding: Any) -> np.ndarray:
    """Return the embedding as cells × dimensions, float64, or raise ``ValueError``."""
    points = np.asarray(embedding, dtype=np.float64)
    if points.ndim == 1:
        points = points[:, None]
    if points.ndim != 2 or 0 in points.shape:
        raise ValueError(f"the embedding has shape {points.shape}, not cells × dimensions")
    finite = np.isfinite(points)
    if not finite.all():
        bad = int((~finite.all(axis=1)).sum())
        raise ValueError(f"the embedding is not finite in {bad} of {len(points)} cells")
    return points


def _labels(what: str, labels: Any, n_cells: int) -> np.ndarray:
    """Return labels as integers or strings, shape (n_cells,), or raise ``ValueError``."""
    values = np.asarray(labels)
    if values.shape != (n_cells,):
        raise ValueError(f"{what}: shape {values.shape}, but the embedding has {n_cells} cells")
    if pd.isna(values).any():
        raise ValueError(f"{what}: {int(pd.isna(values).sum())} of {n_cells} cells have none")
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    if values.dtype.kind == "f" and np.all(values == np.rint(values)):
        return values.astype(np.int64)
    return values.astype(str)


def _mask(only: np.ndarray | None, n_cells: int) -> np.ndarray:
    """Return the mask of reported cells, all of them by default."""
    if only is None:
        return np.ones(n_cells, dtype=bool)
    mask = np.asarray(only)
    if mask.dtype != bool or mask.shape != (n_cells,) or not mask.any():
        raise ValueError(f"only: expected {n_cells} booleans, at least one of them true")
    return mask
