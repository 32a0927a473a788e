"""From selectors to a plan: methods with parameters, datasets, and the jobs of their grid."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bench.data.resolve import resolve_datasets
from bench.registry import methods as method_registry
from bench.selectors import Exclusion, select_names

from .grid import make_plan
from .methods import ConfiguredMethod, configure_methods
from .parameter_files import read_parameter_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.data.cache.cached_dataset import CachedDataset
    from bench.data.cache.data_cache import DataCache
    from bench.settings import Settings

    from .job import Plan

logger = logging.getLogger(__name__)


def build_plan(
    methods: str,
    datasets: str,
    assign: Sequence[str],
    settings: Settings,
    cache: DataCache,
    params: Sequence[Path] = (),
) -> Plan:
    """Resolve selectors and parameters, load the datasets, and return the grid of jobs."""
    configured, unavailable = choose_methods(methods, assign, settings, params)
    loaded, absent = load_datasets(datasets, settings, cache)
    plan = make_plan(configured, loaded, settings, cache)
    plan.excluded += unavailable + absent
    return plan


def choose_methods(
    methods: str, assign: Sequence[str], settings: Settings, params: Sequence[Path] = ()
) -> tuple[list[ConfiguredMethod], list[Exclusion]]:
    """Return the selected methods with their parameters, and those that are unavailable.

    ``params`` are files of parameters by method (see ``bench.plan.parameter_files``).
    """
    registry = method_registry(settings.plugins)
    tags = method_tags(settings.plugins)
    selected = select_names(methods, registry.entries, tags, noun="method")
    classes = {entry.name: entry.cls for entry in registry if entry.cls}
    files = read_parameter_files(params, classes)
    for name, file in files.items():
        if name not in {selection.name for selection in selected}:
            logger.warning(f"{file.path}: {name} is not selected; its parameters are not used")
    return configure_methods(selected, registry, settings, list(assign), files)


def load_datasets(
    datasets: str, settings: Settings, cache: DataCache
) -> tuple[list[CachedDataset], list[Exclusion]]:
    """Return the selected datasets, loaded, checked and cached, and those that are absent."""
    chosen, absent = resolve_datasets(datasets, settings, cache)
    cached = [cache.load_dataset(choice.dataset, choice.source, choice.label) for choice in chosen]
    for dataset in cached:
        for warning in dataset.facts["warnings"]:
            logger.warning(f"{dataset.label}: {warning}")
    return cached, absent


def exclusion_lines(exclusions: Sequence[Exclusion]) -> list[str]:
    """Return one line per reason, with all methods and datasets that it excludes."""
    datasets: dict[tuple[str, str, str], list[str]] = {}
    for exclusion in exclusions:
        key = exclusion.status, exclusion.reason, exclusion.method
        datasets.setdefault(key, []).append(exclusion.dataset)
    methods: dict[tuple[str, str, str], list[str]] = {}
    for (status, reason, method), names in datasets.items():
        methods.setdefault((status, reason, ", ".join(names)), []).append(method)
    return [
        f"{status}: {', '.join(excluded)} × {names}: {reason}"
        for (status, reason, names), excluded in methods.items()
    ]


def method_tags(plugins: tuple[str, ...]) -> Callable[[str], frozenset[str]]:
    """Return the function that gives a method's tags: family, cost, modalities."""
    registry = method_registry(plugins)

    def tags(name: str) -> frozenset[str]:
        cls = registry.entry(name).cls
        return frozenset() if cls is None else cls.modalities | {cls.family, cls.cost}

    return tags
