"""The grid of jobs: methods × datasets × seeds, each with its keys.

Nothing heavy is imported once the datasets are in the cache.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.contract import MULTIOME, PairedRecipe, Recipe
from bench.contract.method import OPTIONAL_INPUTS
from bench.digests import source_digest
from bench.errors import UsageError
from bench.selectors import Exclusion

from .device import resolve_device
from .job import Job, Plan, with_seed

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
            reason = exclusion_reason(method, dataset)
            if reason:
                plan.excluded.append(Exclusion(method.label, dataset.label, "skipped", reason))
                continue
            job = make_job(method, dataset, settings.seeds[0], settings, cache)
            one_seed = settings.profile == "quick" and method.cls.cost == "heavy"
            seeds = settings.seeds[:1] if one_seed else settings.seeds
            plan.jobs += [with_seed(job, seed) for seed in seeds]
    return plan


def exclusion_reason(configured: ConfiguredMethod, dataset: CachedDataset) -> str:
    """Return why a method cannot be run on a dataset; empty if it can."""
    modality, modalities = dataset.info.modality, configured.cls.modalities
    if modality not in modalities:
        hint, name = "", dataset.info.name
        if modality == MULTIOME:
            hint = f"; use '{name}[part={max(modalities)}]'"
        elif modalities == {MULTIOME} and "paired" in dataset.facts["card"]["tags"]:
            hint = f"; use '{name}[part=both]'"
        return f"made for {', '.join(sorted(modalities))}, the data are {modality}{hint}"
    uses = configured.method.uses()
    if "batch" in uses and not dataset.info.has_batch:
        return "needs a batch, the dataset has none (--batch-key)"
    if "proteins" in uses and not dataset.proteins_digest:
        return "needs counts of proteins, the dataset has none (obsm['ADT'])"
    if "markers" in uses and dataset.markers is None:
        return "needs marker lists, the dataset has none (--markers FILE)"
    return ""


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
    uses = method.uses()
    recipe = _checked_recipe(configured, dataset)
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
        n_clusters=dataset.n_types if "n_clusters" in uses else None,
        threads=settings.threads,
        device=resolve_device(settings.device) if cls.gpu else "cpu",
        timeout=settings.timeout,
        memory=settings.memory,
        dataset_folder=str(dataset.folder),
        prepared_key=cache.prepared_key(dataset, recipe),
        fit_key="",
        score_key="",
        facts=_facts(configured, dataset),
        markers=markers,
    )
    return with_seed(replace(job, **fields), seed)


def _checked_recipe(configured: ConfiguredMethod, dataset: CachedDataset) -> Recipe | PairedRecipe:
    """Return the recipe of a method for a dataset; raises ``UsageError`` if it is inconsistent."""
    uses, label = configured.method.uses(), configured.label
    unknown = sorted(uses - OPTIONAL_INPUTS)
    if unknown:
        raise UsageError(
            f"{label}: uses() names {', '.join(unknown)}; known: "
            f"{', '.join(sorted(OPTIONAL_INPUTS))}.",
            code="unknown_name",
        )
    recipe = configured.method.recipe(dataset.info)
    if isinstance(recipe, PairedRecipe) != (dataset.info.modality == MULTIOME):
        raise UsageError(
            f"{label}: recipe() gives a {type(recipe).__name__} for {dataset.info.modality} "
            "data; a PairedRecipe is for paired data, and only for them.",
            code="wrong_recipe",
        )
    if recipe.batch_aware and "batch" not in uses:
        raise UsageError(
            f"{label}: its recipe has batch_aware, but uses() lacks 'batch'.", code="wrong_recipe"
        )
    return recipe


def _facts(configured: ConfiguredMethod, dataset: CachedDataset) -> dict[str, Any]:
    """Return the facts about data and method that keys and results need.

    ``fitted_on`` is the digest of the training cells. It is empty if the method is fitted on all
    cells: without held-out cells, or because it cannot embed new ones.
    """
    embeds_new_cells = hasattr(configured.cls, "transform")
    return {
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
        "source": source_digest(configured.origin),
    }
