"""Metrics: pure functions with versions, one file each.

A module of this package that defines ``METRIC``, or several ``METRICS``, is registered; names of
helper modules begin with an underscore. Other packages use the entry-point group
``bench.metrics``, whose targets are a :class:`Metric`, a list of them or a module like these.
A plugin file defines ``METRIC`` or ``METRICS``.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

from bench.contract.metric import (
    CountsTask,
    IntegrationTask,
    Kind,
    Metric,
    MetricFact,
    MetricResult,
    PairedTasks,
    PairScores,
    PredictedInputs,
    ProteinScores,
    RareTask,
    RecoveryScores,
    TranslationScores,
    TypeScores,
    UndefinedMetric,
)
from bench.errors import UsageError
from bench.registry import load_plugin, plugin_file
from bench.scoring.aggregates import AGGREGATES
from bench.versions import CLUSTERINGS

__all__ = [
    "CountsTask",
    "IntegrationTask",
    "Metric",
    "MetricFact",
    "MetricResult",
    "PairScores",
    "PairedTasks",
    "PredictedInputs",
    "ProteinScores",
    "RareTask",
    "RecoveryScores",
    "TranslationScores",
    "TypeScores",
    "UndefinedMetric",
    "built_in_metrics",
    "metric_stamp",
    "metrics",
    "metrics_version",
    "plugin_metrics",
    "stamp_direction",
]


_KINDS = tuple(kind for kind in get_args(Kind) if kind != "aggregate")
_AGGREGATES = {metric.name for metric in AGGREGATES}
_DIRECTIONS = {True: "higher", False: "lower", None: "none"}
"""Words in the stamps of plugin metrics, by ``higher_is_better``."""


@cache
def built_in_metrics() -> dict[str, Metric]:
    """Return the metrics of this package by name."""
    registered: dict[str, Metric] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            target = importlib.import_module(f"{__name__}.{module.name}")
            _add_metrics(registered, target, f"bench/scoring/metrics/{module.name}.py")
    return registered


@cache
def installed_metrics() -> tuple[EntryPoint, ...]:
    """Return the metrics that installed packages offer, not loaded."""
    return tuple(entry_points(group="bench.metrics"))


def metrics(plugins: tuple[str, ...] = ()) -> dict[str, Metric]:
    """Return all metrics by name, sorted.

    ``plugins`` are files that may define further ones. Raises ``UsageError`` if a module defines
    no metric or two metrics share a name.
    """
    registered = dict(built_in_metrics())
    for point in installed_metrics():
        _add_metrics(registered, point.load(), f"entry point '{point.name}' of bench.metrics")
    for name, metric in plugin_metrics(plugins).items():
        _add_metrics(registered, metric, f"the plugin with metric '{name}'")
    return dict(sorted(registered.items()))


def plugin_metrics(plugins: tuple[str, ...]) -> dict[str, Metric]:
    """Return the metrics that plugin files define, by name."""
    registered: dict[str, Metric] = {}
    for path in plugins:
        # By the full path, as the registry does: the module is then loaded once.
        module = load_plugin(str(plugin_file(path)))
        if hasattr(module, "METRIC") or hasattr(module, "METRICS"):
            _add_metrics(registered, module, f"plugin {path}")
    return registered


def metric_stamp(metric: Metric) -> str:
    """Return the versions of a metric and of the clusterings that it uses, as one text.

    The stamp of a plugin metric contains its direction, such as ``1:lower``, because a report of
    stored scores does not load the plugin.
    """
    of_clusterings = metric.kind in ("clustering", "partition")
    versions = (metric.version, *(CLUSTERINGS.values() if of_clusterings else ()))
    stamp = ".".join(map(str, versions))
    if metric.name in built_in_metrics():
        return stamp
    return f"{stamp}:{_DIRECTIONS[metric.higher_is_better]}"


def stamp_direction(stamp: str) -> bool | None:
    """Return ``higher_is_better`` from a stamp; ``None`` without a direction."""
    word = stamp.partition(":")[2]
    return next((better for better, name in _DIRECTIONS.items() if name == word), None)


def _add_metrics(registered: dict[str, Metric], target: Any, where: str) -> None:
    """Add the metric or metrics of a module, a list or a single object."""
    if isinstance(target, Metric):
        items = [target]
    elif hasattr(target, "METRIC"):
        items = [target.METRIC]
    else:
        listed = getattr(target, "METRICS", target)
        items = list(listed) if isinstance(listed, list | tuple) else []
    if not items or not all(isinstance(item, Metric) for item in items):
        raise UsageError(
            f"{where} defines no metric; set METRIC = Metric(...) at its top level.",
            code="empty_plugin",
        )
    for item in items:
        if item.name in registered or item.name in _AGGREGATES:
            raise UsageError(
                f"{where} defines metric '{item.name}' a second time; rename it.",
                code="duplicate_names",
            )
        if item.kind not in _KINDS:
            raise UsageError(
                f"{where}: metric '{item.name}' has the kind '{item.kind}'; use one of "
                f"{', '.join(_KINDS)}.",
                code="unknown_name",
            )
        registered[item.name] = item


def metrics_version(chosen: Mapping[str, Metric] | None = None) -> str:
    """Return a short digest of the versions of metrics and clusterings.

    ``chosen``: the metrics; by default all but those that need special data.
    """
    versions = {f"{name}()": version for name, version in CLUSTERINGS.items()}
    if chosen is None:
        special = ("rare", "paired", "counts", "predicted")
        chosen = {name: one for name, one in metrics().items() if one.kind not in special}
    versions |= {metric.name: metric.version for metric in chosen.values()}
    text = ",".join(f"{name}:{version}" for name, version in sorted(versions.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
