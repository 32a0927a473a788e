"""Make a plan from selectors: methods with parameters, datasets, and the jobs of their grid."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bench.contract import MULTIOME
from bench.data.resolve import ResolvedDataset, halves_of, resolve_datasets
from bench.errors import UsageError
from bench.registry import methods as method_registry
from bench.selectors import Exclusion, expand_grids, select_names

from .grid import make_plan
from .methods import ConfiguredMethod, configure_methods
from .parameter_files import read_parameter_files
from .precomputed import precomputed_methods, take_embeddings

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
    """Resolve selectors and parameters, load the datasets, and return the grid of jobs.

    Embeddings in the files of the datasets (``obsm:X_scgpt``) are jobs like fits. On data without
    labels each method is also fitted on two halves of the counts, with one seed.
    """
    fitted, embeddings = take_embeddings(methods)
    only_embeddings = bool(embeddings and not fitted)
    configured, unavailable = (
        ([], []) if only_embeddings else choose_methods(fitted, assign, settings, params)
    )
    loaded, absent = _load_selected(datasets, settings, cache)
    plan = make_plan(configured, [one for _, one in loaded], settings, cache)
    plan.excluded += unavailable + absent
    for _, dataset in loaded:
        stored, missing = precomputed_methods(embeddings, dataset, settings.cache_dir)
        plan.jobs += make_plan(stored, [dataset], settings, cache).jobs
        plan.excluded += missing
    halves = _load_halves(loaded, cache)
    one_seed = settings.model_copy(update={"seeds": settings.seeds[:1]})
    plan.jobs += make_plan(configured, halves, one_seed, cache).jobs
    return plan


def choose_methods(
    methods: str, assign: Sequence[str], settings: Settings, params: Sequence[Path] = ()
) -> tuple[list[ConfiguredMethod], list[Exclusion]]:
    """Return the selected methods with their parameters, and those that are unavailable.

    ``nmf[n_components=10|20]`` selects two configurations.
    ``params`` are files of parameters by method (see ``bench.plan.parameter_files``).
    """
    registry = method_registry(settings.plugins)
    tags = method_tags(settings.plugins)
    selected = select_names(expand_grids(methods), registry.entries, tags, noun="method")
    classes = {entry.name: entry.cls for entry in registry if entry.cls}
    files = read_parameter_files(params, classes)
    for name, file in files.items():
        if name not in {selection.name for selection in selected}:
            logger.warning(f"{file.path}: {name} is not selected; its parameters are not used")
    return configure_methods(selected, registry, settings, list(assign), files)


def load_datasets(
    datasets: str, settings: Settings, cache: DataCache
) -> tuple[list[CachedDataset], list[Exclusion]]:
    """Return the selected datasets, loaded, checked and cached, and the missing datasets."""
    loaded, absent = _load_selected(datasets, settings, cache)
    return [dataset for _, dataset in loaded], absent


def _load_selected(
    datasets: str, settings: Settings, cache: DataCache
) -> tuple[list[tuple[ResolvedDataset, CachedDataset]], list[Exclusion]]:
    """Return the selected datasets, resolved and loaded, and the missing datasets."""
    chosen, absent = resolve_datasets(datasets, settings, cache)
    cached = [(choice, _load_dataset(choice, cache)) for choice in chosen]
    for _, dataset in cached:
        for warning in dataset.facts["warnings"]:
            logger.warning(f"{dataset.label}: {warning}")
    _check_n_clusters([dataset for _, dataset in cached], settings)
    return cached, absent


def _load_dataset(choice: ResolvedDataset, cache: DataCache) -> CachedDataset:
    return cache.load_dataset(choice.dataset, choice.source, choice.label)


def _load_halves(
    datasets: Sequence[tuple[ResolvedDataset, CachedDataset]], cache: DataCache
) -> list[CachedDataset]:
    """Return the halves of the counts of datasets without labels, except paired data."""
    return [
        _load_dataset(half, cache)
        for choice, dataset in datasets
        if not dataset.n_types and dataset.info.modality != MULTIOME
        for half in halves_of(choice)
    ]


def _check_n_clusters(datasets: Sequence[CachedDataset], settings: Settings) -> None:
    """Raise ``UsageError`` for more clusters than cells; warn if a dataset has labels."""
    number = settings.n_clusters
    if number is None:
        return
    for dataset in datasets:
        if dataset.n_types:
            logger.warning(f"{dataset.label}: has labels, so --n-clusters {number} is not used")
        elif number > dataset.info.n_cells:
            raise UsageError(
                f"--n-clusters {number}: {dataset.label} has {dataset.info.n_cells} cells; give "
                "at most that many.",
                code="too_many_clusters",
            )


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
    """Return a function from a method's name to its tags: family, cost, modalities."""
    registry = method_registry(plugins)

    def tags(name: str) -> frozenset[str]:
        cls = registry.entry(name).cls
        return frozenset() if cls is None else cls.modalities | {cls.family, cls.cost}

    return tags
