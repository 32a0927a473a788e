"""From selectors to a plan: which methods, datasets and jobs, and how long they will take."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.cache.cached_dataset import CachedDataset
from bench.data.cache.data_cache import DataCache
from bench.data.resolve import resolve_datasets
from bench.registry import methods as method_registry
from bench.selectors import Exclusion, select_names
from bench.settings import Settings

from .grid import make_plan
from .job import Plan
from .methods import Configured, configure
from .parameter_files import read_params

if TYPE_CHECKING:
    pass

logger = logging.getLogger(__name__)
"""Where lines for the user go."""


def build_plan(
    methods: str,
    datasets: str,
    assign: Sequence[str],
    settings: Settings,
    store: DataCache,
    params: Sequence[Path] = (),
) -> Plan:
    """Resolve selectors and parameters, make the datasets ready, and lay out the jobs."""
    configured, left = choose_methods(methods, assign, settings, params)
    stored, absent = ready_datasets(datasets, settings, store)
    plan = make_plan(configured, stored, settings, store)
    plan.left += left + absent
    return plan


def choose_methods(
    methods: str, assign: Sequence[str], settings: Settings, params: Sequence[Path] = ()
) -> tuple[list[Configured], list[Exclusion]]:
    """Return the selected methods with their parameters, and those that are unavailable.

    ``params`` are files of parameters by method (see ``bench.plan.parameter_files``).
    """
    registry = method_registry(settings.plugins)
    chosen = select_names(methods, registry.entries, method_tags(settings.plugins), noun="method")
    files = read_params(params, {entry.name: entry.cls for entry in registry if entry.cls})
    for name, file in files.items():
        if name not in {one.name for one in chosen}:
            logger.info(f"{file.path}: {name} is not selected; its parameters are not used")
    return configure(chosen, registry, settings, list(assign), files)


def ready_datasets(
    datasets: str, settings: Settings, store: DataCache
) -> tuple[list[CachedDataset], list[Exclusion]]:
    """Return the selected datasets, loaded, checked and kept, and those that are absent."""
    found, absent = resolve_datasets(datasets, settings, store)
    stored = [store.dataset(one.dataset, one.source, one.label) for one in found]
    for one in stored:
        for warning in one.facts["warnings"]:
            logger.info(f"{one.label}: {warning}")
    return stored, absent


def left_lines(left: Sequence[Exclusion]) -> list[str]:
    """Return what is not run and why, methods with the same reason and datasets in one line."""
    datasets: dict[tuple[str, str, str], list[str]] = {}
    for one in left:
        datasets.setdefault((one.status, one.reason, one.method), []).append(one.dataset)
    alike: dict[tuple[str, str, str], list[str]] = {}
    for (status, reason, method), names in datasets.items():
        alike.setdefault((status, reason, ", ".join(names)), []).append(method)
    return [
        f"{status}: {', '.join(methods)} × {names}: {reason}"
        for (status, reason, names), methods in alike.items()
    ]


def method_tags(plugins: tuple[str, ...]) -> Callable[[str], frozenset[str]]:
    """Return the function that gives a method's tags: family, cost, modalities."""
    registry = method_registry(plugins)

    def tags(name: str) -> frozenset[str]:
        cls = registry.entry(name).cls
        return frozenset() if cls is None else cls.modalities | {cls.family, cls.cost}

    return tags
