"""Metrics: one file each, pure functions, versioned.

A module of this package that defines ``METRIC`` (or ``METRICS``, several) registers it. Third
parties use the entry-point group ``bench.metrics``, whose targets are a :class:`Metric`, several
of them, or a module like ours, or give a plugin file that defines one of the two. Helper modules
start with an underscore.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from bench.contract.metric import (
    Metric,
    MetricFact,
    MetricResult,
    PairedTasks,
    PairScores,
    RareTask,
    RecoveryScores,
    TranslationScores,
    UndefinedMetric,
)
from bench.errors import UsageError
from bench.registry import load_plugin
from bench.versions import CLUSTERINGS

__all__ = [
    "MetricFact",
    "Metric",
    "UndefinedMetric",
    "PairedTasks",
    "PairScores",
    "RareTask",
    "RecoveryScores",
    "MetricResult",
    "TranslationScores",
    "built_in",
    "direction",
    "metrics",
    "metrics_version",
    "plugin_metrics",
    "stamp",
]


_DIRECTIONS = {True: "higher", False: "lower", None: "none"}
"""What the stamp of a metric that is not built in says of what is better."""


@cache
def built_in() -> dict[str, Metric]:
    """Return the metrics of this package by name."""
    found: dict[str, Metric] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name != "base" and not module.name.startswith("_"):
            target = importlib.import_module(f"{__name__}.{module.name}")
            _register(found, target, f"bench/metrics/{module.name}.py")
    return found


def metrics(plugins: tuple[str, ...] = ()) -> dict[str, Metric]:
    """Return all metrics by name, sorted; imports nothing heavy.

    ``plugins`` are files that may define further ones. Raises ``UsageError`` if a module defines
    no metric or two metrics share a name.
    """
    found = dict(built_in())
    for point in entry_points(group="bench.metrics"):
        _register(found, point.load(), f"entry point '{point.name}' of bench.metrics")
    for name, metric in plugin_metrics(plugins).items():
        _register(found, metric, f"the plugin with metric '{name}'")
    return dict(sorted(found.items()))


def plugin_metrics(plugins: tuple[str, ...]) -> dict[str, Metric]:
    """Return the metrics that plugin files define, by name."""
    found: dict[str, Metric] = {}
    for path in plugins:
        # By the full path, as the registry does: the module is then loaded once.
        module = load_plugin(str(Path(path).resolve()))
        if hasattr(module, "METRIC") or hasattr(module, "METRICS"):
            _register(found, module, f"plugin {path}")
    return found


def stamp(metric: Metric) -> str:
    """Return the version of a metric's values: its own, and those of the clusterings it uses.

    That of a metric that is not built in also says what is better, ``1:lower`` say: a report of
    stored scores does not load the plugin.
    """
    alone = metric.kind in ("embedding", "batch", "rare", "paired")
    numbers = (metric.version, *(() if alone else CLUSTERINGS.values()))
    text = ".".join(map(str, numbers))
    if metric.name in built_in():
        return text
    return f"{text}:{_DIRECTIONS[metric.higher_is_better]}"


def direction(stamp: str) -> bool | None:
    """Return what a stamp says of ``higher_is_better``; ``None`` also where it says nothing."""
    word = stamp.partition(":")[2]
    return next((better for better, name in _DIRECTIONS.items() if name == word), None)


def _register(found: dict[str, Metric], target: Any, where: str) -> None:
    """Add the metric or metrics of a module, a list or a single object."""
    if isinstance(target, Metric):
        items = [target]
    elif hasattr(target, "METRIC"):
        items = [target.METRIC]
    else:
        listed = getattr(target, "METRICS", target)
        items = list(listed) if isinstance(listed, list | tuple) else []
    if not items or not all(isinstance(item, Metric) for item in items):
        raise UsageError(f"{where} defines no metric; set METRIC = Metric(...) at its top level.")
    for item in items:
        if item.name in found:
            raise UsageError(f"{where} defines metric '{item.name}' a second time; rename it.")
        found[item.name] = item


def metrics_version(chosen: Mapping[str, Metric] | None = None) -> str:
    """Return a short digest of what scores depend on: metrics and clusterings, with versions.

    ``chosen`` restricts it to some metrics (default: all that every dataset can have; those of a
    rare type and of paired data count where there are such).
    """
    versions = {f"{name}()": version for name, version in CLUSTERINGS.items()}
    if chosen is None:
        special = ("rare", "paired")
        chosen = {name: one for name, one in metrics().items() if one.kind not in special}
    versions |= {metric.name: metric.version for metric in chosen.values()}
    text = ",".join(f"{name}:{version}" for name, version in sorted(versions.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
