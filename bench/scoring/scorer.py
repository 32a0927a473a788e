"""Score an embedding and clusterings against the true types."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats.contingency import association

from bench.seeds import derive_seed

from . import clustering
from .aggregates import PREFIX
from .metrics import (
    CountsTask,
    IntegrationTask,
    Metric,
    MetricFact,
    PairedTasks,
    PredictedInputs,
    RareTask,
    UndefinedMetric,
    metrics,
)
from .score_names import BATCH_TYPES_V, key_part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .holdout import VisibleLabels

NO_BATCH = "no batch is given"
"""Reason for missing metrics of batches in data without batches."""
_WITHOUT_TYPES = ("partition", "integration", "counts", "paired", "predicted")
"""Kinds of metrics that get no types."""
RESERVED = frozenset({"kmeans", "leiden", "embedding", "paired", "predicted", PREFIX})
"""First parts of score keys that methods may not use."""


@dataclass
class Scores:
    """The scores and clusterings of one fit.

    Keys are ``<clustering>/<metric>``, ``embedding/<metric>``, ``paired/<metric>`` and
    ``predicted/<metric>``. A metric is either in ``values`` (finite numbers only) or in
    ``missing``.

    Parameters
    ----------
    values
        Score by key.
    missing
        Reason in one line by key.
    clusters
        Labels of all cells by clustering: ``kmeans``, ``leiden`` and the method's own.
    facts
        ``kmeans/k``, ``cells`` and the facts of metrics, such as ``<key>/cells``, the size of a
        sample.
    """

    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    clusters: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, MetricFact] = field(default_factory=dict)


def score(
    embedding: Any,
    labels: VisibleLabels,
    *,
    seed: int,
    own_labels: Mapping[str, Any] | None = None,
    batch: Any = None,
    task: RareTask | CountsTask | None = None,
    unseen: Mapping[str, PairedTasks | PredictedInputs] | None = None,
    chosen: Mapping[str, Metric] | None = None,
) -> Scores:
    """Cluster an embedding and compute metrics.

    Clusterings are made of all cells; metrics see the reported cells only. Without types, k-means
    needs ``labels.n_types``, and only metrics that need no types are computed (see
    ``Metric.without_types``).

    Parameters
    ----------
    embedding
        Finite, shape (n_cells, n_dimensions) or (n_cells,).
    labels
        True types and reported cells.
    seed
        Clusterings and samples use seeds derived from it.
    own_labels
        The method's own clusterings by name. A name of the harness gets the prefix ``own_``.
    batch, task
        Batch of each cell, as an array or an :class:`IntegrationTask`; rare type or, for data
        without labels, components of the counts. Metrics that need them are missing without them.
    unseen
        Predictions for unseen cells by kind of metric, ``paired`` or ``predicted``.
    chosen
        Metrics to compute (default: all).

    Raises
    ------
    ValueError
        If the embedding is not finite or if lengths differ.
    """
    points = _points(embedding)
    types = None if labels.types is None else _labels("types", labels.types, len(points))
    scores = Scores()
    _add_clusterings(scores, points, types, labels.n_types, own_labels or {}, seed)
    cells = _select_cells(points, types, labels.reported, batch, task)
    scores.facts |= _cell_facts(cells)
    for metric in (metrics() if chosen is None else chosen).values():
        _score_metric(scores, metric, cells, unseen or {}, seed)
    return scores


@dataclass(frozen=True)
class _ReportedCells:
    """The arguments of metrics, restricted to the reported cells."""

    mask: np.ndarray
    points: np.ndarray
    types: np.ndarray | None
    batch: IntegrationTask | None
    task: RareTask | CountsTask | None

    @property
    def types_or_equal(self) -> np.ndarray:
        """The types; without types, one type for all cells (see ``Metric.without_types``)."""
        return np.zeros(len(self.points), dtype=int) if self.types is None else self.types


def _select_cells(
    points: np.ndarray,
    types: np.ndarray | None,
    reported: np.ndarray | None,
    batch: Any,
    task: RareTask | CountsTask | None,
) -> _ReportedCells:
    """Return the arguments of metrics for the reported cells."""
    mask = _mask(reported, len(points))
    if batch is not None:
        batches = batch if isinstance(batch, IntegrationTask) else IntegrationTask(batch)
        before = None if batches.unintegrated is None else batches.unintegrated[mask]
        names = _labels("batch", batches.batch, len(points))[mask]
        batch = IntegrationTask(names, before, batches.no_unintegrated)
    if isinstance(task, RareTask):
        train = None if task.train is None else task.train[mask]
        task = RareTask(task.rare[mask], train, task.no_held_out)
    elif task is not None and task.components is not None:
        task = CountsTask(task.components[mask])
    return _ReportedCells(mask, points[mask], None if types is None else types[mask], batch, task)


def _cell_facts(cells: _ReportedCells) -> dict[str, MetricFact]:
    """Return the numbers of cells and types, and Cramér's V of batch and type.

    V is from 0 to 1; at 1 the batch determines the type.
    """
    facts: dict[str, MetricFact] = {"cells": float(len(cells.points))}
    if cells.types is None:
        return facts
    facts["types"] = float(len(np.unique(cells.types)))
    if cells.batch is not None:
        table = pd.crosstab(cells.batch.batch, cells.types)
        if min(table.shape) > 1:
            facts[BATCH_TYPES_V] = float(association(table.to_numpy(), method="cramer"))
    return facts


def _add_clusterings(
    scores: Scores,
    points: np.ndarray,
    types: np.ndarray | None,
    n_types: int | None,
    own_labels: Mapping[str, Any],
    seed: int,
) -> None:
    """Add k-means (if the number of types is known), Leiden and the method's own clusterings."""
    k = n_types or (0 if types is None else len(np.unique(types)))
    if k:
        labels = clustering.kmeans(points, k, derive_seed(seed, "score", "kmeans"))
        scores.clusters["kmeans"] = labels
        scores.facts["kmeans/k"] = float(k)
    scores.clusters["leiden"] = clustering.leiden(points, derive_seed(seed, "score", "leiden"))
    approximate = clustering.neighbor_facts(len(points))
    scores.facts |= {
        "leiden/n_neighbors": float(clustering.N_NEIGHBORS),
        "leiden/resolution": clustering.RESOLUTION,
        **{f"leiden/{name}": fact for name, fact in approximate.items()},
    }
    for name, labels in own_labels.items():
        key = key_part(name, {*RESERVED, *scores.clusters})
        scores.clusters[key] = _labels(f"labels '{name}'", labels, len(points))


def _score_metric(
    scores: Scores, metric: Metric, cells: _ReportedCells, unseen: Mapping[str, Any], seed: int
) -> None:
    """Compute a metric: of each clustering, of the embedding, or of predictions for unseen cells.

    Without types only a metric that needs none is computed.
    """
    if cells.types is None and not (metric.without_types or metric.kind in _WITHOUT_TYPES):
        return
    # The held-out form of a metric has the seed of the metric.
    metric_seed = derive_seed(seed, "score", metric.name.removesuffix("_held_out"))
    if metric.kind in ("paired", "predicted"):
        if metric.kind in unseen:
            key = f"{metric.kind}/{metric.name}"
            _compute(scores, key, metric.function, unseen[metric.kind])
    elif metric.kind == "clustering":
        for name, labels in scores.clusters.items():
            key = f"{name}/{metric.name}"
            _compute(scores, key, metric.function, cells.types_or_equal, labels[cells.mask])
    elif metric.kind == "partition":
        for name, labels in scores.clusters.items():
            arguments = (cells.points, labels[cells.mask])
            _compute(
                scores, f"{name}/{metric.name}", metric.function, *arguments, seed=metric_seed
            )
    else:
        _score_embedding(scores, metric, cells, metric_seed)


def _score_embedding(scores: Scores, metric: Metric, cells: _ReportedCells, seed: int) -> None:
    """Compute a metric of the embedding itself."""
    key = f"embedding/{metric.name}"
    compute = partial(_compute, scores, key, metric.function, cells.points, seed=seed)
    if metric.kind == "embedding":
        compute(cells.types_or_equal)
    elif metric.kind in ("batch", "integration") and cells.batch is None:
        scores.missing[key] = NO_BATCH
    elif cells.batch is not None and metric.kind == "batch":
        compute(cells.types_or_equal, cells.batch.batch)
    elif metric.kind == "integration":
        compute(cells.batch)
    elif metric.kind == "counts":
        if isinstance(cells.task, CountsTask):
            compute(cells.task)
    elif not isinstance(cells.task, RareTask):
        scores.missing[key] = "no rare type is named (rare_type=TYPE)"
    else:
        compute(cells.task)


def _compute(
    scores: Scores, key: str, function: Callable[..., Any], *args: Any, **keywords: Any
) -> None:
    """Add the value of a metric with its facts, or the reason why it is missing."""
    try:
        result = function(*args, **keywords)
        number, facts = result if isinstance(result, tuple) else (result, {})
        value = float(number)
        facts = {f"{key}/{name}": _plain_fact(fact) for name, fact in facts.items()}
    except UndefinedMetric as reason:
        scores.missing[key] = str(reason)
        return
    except MemoryError:
        raise  # the whole job is out of memory
    except Exception as error:  # a faulty metric of a plugin does not lose the other scores
        scores.missing[key] = f"{type(error).__name__}: {error}".splitlines()[0]
        return
    if not math.isfinite(value):
        scores.missing[key] = f"the metric returned {value}"
        return
    scores.values[key] = value
    scores.facts |= facts


def _plain_fact(fact: Any) -> MetricFact:
    return fact if isinstance(fact, str) else float(fact)


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


def _labels(name: str, labels: Any, n_cells: int) -> np.ndarray:
    """Return labels as integers or strings, shape (n_cells,), or raise ``ValueError``."""
    values = np.asarray(labels)
    if values.shape != (n_cells,):
        raise ValueError(f"{name}: shape {values.shape}, but the embedding has {n_cells} cells")
    if pd.isna(values).any():
        raise ValueError(f"{name}: {int(pd.isna(values).sum())} of {n_cells} cells have none")
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    if values.dtype.kind == "f" and np.all(values == np.rint(values)):
        return values.astype(np.int64)
    return values.astype(str)


def _mask(reported: np.ndarray | None, n_cells: int) -> np.ndarray:
    """Return the mask of reported cells, all of them by default."""
    if reported is None:
        return np.ones(n_cells, dtype=bool)
    mask = np.asarray(reported)
    if mask.dtype != bool or mask.shape != (n_cells,) or not mask.any():
        raise ValueError(f"reported: expected {n_cells} booleans, at least one of them true")
    return mask
