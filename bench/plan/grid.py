"""The grid of jobs: methods × datasets × seeds, each with its keys.

Nothing heavy is imported once the datasets are in the cache.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.contract import MULTIOME, PairedRecipe, Recipe
from bench.contract.method import OPTIONAL_INPUTS, declared_inputs
from bench.digests import source_digest
from bench.errors import UsageError
from bench.selectors import Exclusion, selector_label
from bench.source_files import package_versions

from .device import resolve_device
from .job import Job, Plan, with_seed
from .own_files import check_own_files, data_file, own_environment

if TYPE_CHECKING:
    from bench.data.cache.cached_dataset import CachedDataset
    from bench.data.cache.data_cache import DataCache
    from bench.settings import Settings

    from .methods import ConfiguredMethod


def make_plan(
    configured: list[ConfiguredMethod],
    datasets: list[CachedDataset],
    settings: Settings,
    cache: DataCache,
) -> Plan:
    """Return the grid of jobs; methods are excluded from datasets that they cannot run on."""
    plan = Plan()
    for dataset in datasets:
        for method in configured:
            reason = exclusion_reason(method, dataset, settings)
            if reason:
                plan.excluded.append(Exclusion(method.label, dataset.label, "skipped", reason))
                continue
            own, fields = searched_on(method, dataset)
            job = make_job(own, dataset, settings.seeds[0], settings, cache, **fields)
            one_seed = settings.profile == "quick" and method.cls.cost == "heavy"
            seeds = settings.seeds[:1] if one_seed else settings.seeds
            plan.jobs += [with_seed(job, seed) for seed in seeds]
    return plan


def searched_on(
    configured: ConfiguredMethod, dataset: CachedDataset
) -> tuple[ConfiguredMethod, dict[str, str]]:
    """Return a method with its label for a dataset, and the protocol of its search, if any.

    Parameters selected by a search on this dataset get the label and the protocol of the search's
    result. If other values override some of them, they get the protocol only.
    """
    file = configured.file
    if file is None or file.search is None or not file.chosen_on(dataset):
        return configured, {}
    name = configured.cls.name
    fields: dict[str, str] = {"protocol": file.search.protocol}
    if configured.label != selector_label(name, {"params": file.name}):
        return configured, fields
    n_trials = file.search.trials[name]
    return replace(configured, label=tuned_label(name), n_trials=n_trials), fields


def tuned_label(label: str) -> str:
    """Return the label of the configuration that a search selected for a method."""
    return f"{label}·tuned"


def exclusion_reason(
    configured: ConfiguredMethod, dataset: CachedDataset, settings: Settings
) -> str:
    """Return why a method cannot be run on a dataset; empty if it can."""
    modality, modalities = dataset.info.modality, configured.cls.modalities
    if modality not in modalities:
        hint, name = "", dataset.info.name
        if modality == MULTIOME:
            hint = f"; use '{name}[part={max(modalities)}]'"
        elif modalities == {MULTIOME} and "paired" in dataset.facts["card"]["tags"]:
            hint = f"; use '{name}[part=both]'"
        return f"made for {', '.join(sorted(modalities))}, the data are {modality}{hint}"
    missing = configured.method.needs() - _offered_inputs(dataset, settings)
    return next((reason for name, reason in _MISSING.items() if name in missing), "")


_MISSING = {
    "batch": "needs a batch, the dataset has none (--batch-key)",
    "proteins": "needs counts of proteins, the dataset has none (obsm['ADT'])",
    "markers": "needs marker lists, the dataset has none (--markers FILE)",
    "labels": "needs labels, the dataset has none",
    "graph": "needs a graph of the cells, which only 'bench fit --graph' can give",
    "n_clusters": "needs a number of clusters, the dataset has no labels (--n-clusters)",
}
"""Reason for skipping a method, by the input that the dataset lacks."""


def _offered_inputs(dataset: CachedDataset, settings: Settings) -> frozenset[str]:
    """Return the optional inputs that a dataset has."""
    lacks = {
        "batch": not dataset.info.has_batch,
        "proteins": not dataset.proteins_digest,
        "markers": dataset.markers is None,
        "labels": not dataset.n_types,
        "graph": True,
        "n_clusters": not _n_clusters(dataset, settings),
    }
    return OPTIONAL_INPUTS - {name for name, absent in lacks.items() if absent}


def _n_clusters(dataset: CachedDataset, settings: Settings) -> int | None:
    """Return the number of types; without labels, the number that the user set."""
    return dataset.n_types or settings.n_clusters


def make_job(
    configured: ConfiguredMethod,
    dataset: CachedDataset,
    seed: int,
    settings: Settings,
    cache: DataCache,
    **fields: Any,
) -> Job:
    """Return one job with its keys; ``fields`` are further fields, such as ``protocol``."""
    cls, method = configured.cls, configured.method
    recipe = _checked_recipe(configured, dataset)
    check_own_files(configured, dataset, settings)
    uses = declared_inputs(method) & _offered_inputs(dataset, settings)
    markers = None
    if "markers" in uses and dataset.markers is not None:
        markers = {name: list(genes) for name, genes in dataset.markers.lists.items()}
    job = Job(
        method=configured.label,
        method_name=cls.name,
        family=cls.family,
        origin=configured.origin,
        dataset=dataset.label,
        seed=seed,
        profile=settings.profile,
        protocol="default",
        params=method.params.resolved(),
        recipe=recipe.as_dict(),
        uses=tuple(sorted(uses)),
        n_clusters=_n_clusters(dataset, settings) if "n_clusters" in uses else None,
        threads=settings.threads,
        device=_device(settings) if cls.gpu else "cpu",
        timeout=settings.timeout,
        memory=settings.memory,
        dataset_folder=str(dataset.folder),
        prepared_key=cache.prepared_key(dataset, recipe),
        fit_key="",
        score_key="",
        facts=_facts(configured, dataset, settings),
        markers=markers,
    )
    return with_seed(replace(job, **fields), seed)


def _device(settings: Settings) -> str:
    """Return the device of a job; that of another machine is not checked here."""
    if settings.engine != "local" and settings.device == "cuda":
        return "cuda"
    return resolve_device(settings.device)


def _checked_recipe(configured: ConfiguredMethod, dataset: CachedDataset) -> Recipe | PairedRecipe:
    """Return the recipe of a method for a dataset; raises ``UsageError`` if it is inconsistent."""
    inputs, label = declared_inputs(configured.method), configured.label
    unknown = sorted(inputs - OPTIONAL_INPUTS)
    if unknown:
        raise UsageError(
            f"{label}: needs() and may_use() name {', '.join(unknown)}; known: "
            f"{', '.join(sorted(OPTIONAL_INPUTS))}.",
            code="unknown_name",
        )
    recipe = configured.method.recipe(dataset.info)
    if isinstance(recipe, PairedRecipe) != (dataset.info.modality == MULTIOME):
        raise UsageError(
            f"{label}: recipe() returns a {type(recipe).__name__} for {dataset.info.modality} "
            "data; paired data need a PairedRecipe, others a Recipe.",
            code="wrong_recipe",
        )
    if recipe.batch_aware and "batch" not in inputs:
        raise UsageError(
            f"{label}: its recipe has batch_aware, but it declares no batch; name 'batch' in "
            "needs() or may_use().",
            code="wrong_recipe",
        )
    if recipe.batch_aware and not dataset.info.has_batch:
        raise UsageError(
            f"{label}: its recipe has batch_aware on {dataset.label}, which has no batch; set "
            "batch_aware=info.has_batch in recipe().",
            code="wrong_recipe",
        )
    return recipe


def _facts(
    configured: ConfiguredMethod, dataset: CachedDataset, settings: Settings
) -> dict[str, Any]:
    """Return the facts about data and method that keys and results need.

    ``fitted_on`` is the digest of the training cells. It is empty if the method is fitted on all
    cells: if none are held out, or if it cannot embed new cells. ``n_trials`` is set if a search
    selected the parameters, ``n_clusters`` (for k-means) if the data have no labels.
    """
    embeds_new_cells = hasattr(configured.cls, "transform")
    trials = {"n_trials": configured.n_trials} if configured.n_trials else {}
    unlabelled = {} if dataset.n_types else {"n_clusters": settings.n_clusters}
    return (
        trials
        | unlabelled
        | {
            "modality": dataset.info.modality,
            "n_cells": dataset.info.n_cells,
            "n_features": dataset.info.n_features,
            "n_types": dataset.n_types,
            "counts_digest": dataset.counts_digest,
            "labels_digest": dataset.labels_digest,
            "batch_digest": dataset.batch_digest,
            "proteins_digest": dataset.proteins_digest,
            "rare_type": dataset.rare_type,
            "train_digest": dataset.train_digest,
            "fitted_on": dataset.train_digest if embeds_new_cells else "",
            "version": configured.cls.version,
            "source": source_digest(configured.origin, configured.cls.files),
            "data_file": str(data_file(dataset) or ""),
            "own_files": list(configured.cls.files),
            "environment": own_environment(configured.cls.environment),
            "packages": package_versions(configured.origin),
            "network": configured.cls.network,
        }
    )
