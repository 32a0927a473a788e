"""The plan: methods × datasets × seeds, each a job with its keys, and what is to be done about it.

Planning is light: nothing heavy is imported once the datasets are in the cache.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.contract import MULTIOME, OPTIONAL_INPUTS, Method, PairedRecipe, Recipe
from bench.data.cache.cached_dataset import CachedDataset
from bench.data.cache.data_cache import DataCache
from bench.digests import source_digest
from bench.errors import UsageError
from bench.plan.device import device_class
from bench.plan.job import Job, Plan, with_seed
from bench.plan.methods import Configured
from bench.selectors import Exclusion
from bench.settings import Settings


def make_plan(
    configured: list[Configured],
    datasets: list[CachedDataset],
    settings: Settings,
    store: DataCache,
) -> Plan:
    """Return the grid of jobs; a method that cannot be applied to a modality is left out."""
    plan = Plan()
    for dataset in datasets:
        for one in configured:
            reason = unsuited(one, dataset)
            if reason:
                plan.left.append(Exclusion(one.label, dataset.label, "skipped", reason))
                continue
            first = make_job(one, dataset, settings.seeds[0], settings, store)
            heavy_once = settings.profile == "quick" and one.cls.cost == "heavy"
            seeds = settings.seeds[:1] if heavy_once else settings.seeds
            plan.jobs += [with_seed(first, seed) for seed in seeds]
    return plan


def unsuited(one: Configured, dataset: CachedDataset) -> str:
    """Return why a method cannot be run on a dataset; empty if it can."""
    if dataset.info.modality not in one.cls.modalities:
        able, name = ", ".join(sorted(one.cls.modalities)), dataset.info.name
        if dataset.info.modality == MULTIOME:
            hint = f"; use '{name}[part={sorted(one.cls.modalities)[-1]}]'"
        elif one.cls.modalities == {MULTIOME} and "paired" in dataset.facts["card"]["tags"]:
            hint = f"; use '{name}[part=both]'"
        else:
            hint = ""
        return f"made for {able}, the data are {dataset.info.modality}{hint}"
    if "batch" in one.method.uses() and not dataset.info.has_batch:
        return "needs a batch, the dataset has none (--batch-key)"
    if "proteins" in one.method.uses() and not dataset.proteins_digest:
        return "needs counts of proteins, the dataset has none (obsm['ADT'])"
    if "markers" in one.method.uses() and dataset.markers is None:
        return "needs marker lists, the dataset has none (--markers FILE)"
    return ""


def make_job(
    one: Configured,
    dataset: CachedDataset,
    seed: int,
    settings: Settings,
    store: DataCache,
    **more: Any,
) -> Job:
    """Return one job with its keys; ``more`` holds fields such as ``protocol``."""
    uses = one.method.uses()
    if not uses <= OPTIONAL_INPUTS:
        wrong = ", ".join(sorted(uses - OPTIONAL_INPUTS))
        raise UsageError(f"{one.label}: uses() names {wrong}; known: {', '.join(sorted(OPTIONAL_INPUTS))}.")
    recipe: Recipe | PairedRecipe = one.method.recipe(dataset.info)
    if isinstance(recipe, PairedRecipe) != (dataset.info.modality == MULTIOME):
        raise UsageError(
            f"{one.label}: recipe() gives a {type(recipe).__name__} for {dataset.info.modality} "
            "data; a PairedRecipe is for paired data, and only for them."
        )
    if recipe.batch_aware and "batch" not in uses:
        raise UsageError(f"{one.label}: its recipe has batch_aware, but uses() lacks 'batch'.")
    job = Job(
        method=one.label,
        method_name=one.cls.name,
        family=one.cls.family,
        origin=one.origin,
        dataset=dataset.label,
        seed=seed,
        profile=settings.profile,
        protocol="default",
        params=one.method.params.resolved(),
        recipe=recipe.as_dict(),
        uses=tuple(sorted(uses)),
        n_clusters=dataset.n_types if "n_clusters" in uses else None,
        threads=settings.threads,
        device=device_class(settings.device) if one.cls.gpu else "cpu",
        timeout=settings.timeout,
        memory=settings.memory,
        dataset_folder=str(dataset.folder),
        prepared_key=store.prepared_key(dataset, recipe),
        fit_key="",
        score_key="",
        facts={
            "modality": dataset.info.modality,
            "n_cells": dataset.info.n_cells,
            "n_features": dataset.info.n_features,
            "n_types": dataset.n_types,
            "counts_digest": dataset.counts_digest,
            "labels_digest": dataset.labels_digest,
            "batch_digest": dataset.batch_digest,
            **_task(one.cls, dataset),
            "proteins_digest": dataset.proteins_digest,
            "version": one.cls.version,
            "source": source_digest(one.origin),
        },
    )
    if "markers" in uses and dataset.markers is not None:
        lists = {name: list(genes) for name, genes in dataset.markers.lists.items()}
        job = replace(job, markers=lists)
    return with_seed(replace(job, **more), seed)


def _task(cls: type[Method], dataset: CachedDataset) -> dict[str, str]:
    """Return what a rare-population task adds to the facts; nothing for other datasets.

    A method that cannot embed new cells is fitted on all of them: ``fitted_on`` stays empty.
    """
    if not dataset.rare_type and not dataset.train_digest:
        return {}
    return {
        "rare_type": dataset.rare_type,
        "train_digest": dataset.train_digest,
        "fitted_on": dataset.train_digest if hasattr(cls, "transform") else "",
    }
