"""The plan: methods × datasets × seeds, each a job with its keys, and what is to be done about it.

Planning is light: nothing heavy is imported once the datasets are in the cache.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.contract.method import MULTIOME, USABLE, Method
from bench.contract.recipe import PairedRecipe, Recipe
from bench.data.cache.data_cache import Store, StoredDataset
from bench.digests import digest, preparation_digest, source_digest
from bench.errors import UsageError
from bench.metrics import metrics, metrics_version
from bench.paired import VERSION as PAIRED_VERSION
from bench.paramsfile import FromFile
from bench.registry import Entry, Registry
from bench.selectors import Left, Selected, label
from bench.settings import Settings
from bench.split import VERSION as SPLIT_VERSION

_DRIVER = Path("/dev/nvidiactl")
_OTHER_DRIVERS = tuple(map(Path, ("/dev/dxg", "/dev/nvhost-ctrl-gpu", "/dev/kfd")))
"""Windows' Linux, Jetson, ROCm: taken only where ``cuda`` is asked for."""
TERMINAL = ("done", "failed", "timeout", "oom", "diverged", "pruned")
"""How a job that ran can end."""
FAILURES = ("failed", "timeout", "oom", "diverged")
"""Ends that make ``bench run`` exit with 3."""


@dataclass(frozen=True)
class Job:
    """One fit and its scores; plain values only, so that it travels to any worker."""

    method: str
    """Display name, with the values that differ from the defaults."""
    method_name: str
    family: str
    origin: str
    dataset: str
    seed: int
    profile: str
    protocol: str
    params: dict[str, Any]
    recipe: dict[str, Any]
    uses: tuple[str, ...]
    n_clusters: int | None
    threads: int
    device: str
    timeout: float
    memory: float
    """GiB beyond the loaded libraries."""
    dataset_folder: str
    prepared_key: str
    fit_key: str
    score_key: str
    facts: dict[str, Any] = field(default_factory=dict)
    """Facts about the dataset for tracking: cells, features, types, digests, modality."""
    part: str = "report"
    """``report``, or ``tuning`` for the trials of a search (see ``bench.split``)."""
    study: dict[str, Any] = field(default_factory=dict)
    """Of a trial: ``name`` of its study, ``trial`` (its number), ``run`` of the study in MLflow,
    ``judged`` if the search hears of every report and may stop it."""
    metrics: tuple[str, ...] | None = None
    """Metrics to compute; ``None``: all."""
    markers: dict[str, list[str]] | None = None
    """Marker lists of the dataset, if the method uses them."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        """Inverse of :meth:`as_dict`."""
        metrics = values.get("metrics")
        return cls(
            **{
                **values,
                "uses": tuple(values["uses"]),
                "metrics": None if metrics is None else tuple(metrics),
            }
        )

    @property
    def name(self) -> str:
        """Short name for progress and logs."""
        return f"{self.method} · {self.dataset} · seed {self.seed}"


@dataclass
class Plan:
    """All jobs of one command, and the combinations left out."""

    jobs: list[Job] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


@dataclass(frozen=True)
class Configured:
    """A method class with its parameters."""

    cls: type[Method]
    origin: str
    label: str
    method: Method
    given: frozenset[str] = frozenset()
    """Parameters set by ``--set`` or in brackets."""


def configure(
    selected: list[Selected],
    registry: Registry[Method],
    settings: Settings,
    assignments: list[str],
    files: Mapping[str, FromFile] | None = None,
) -> tuple[list[Configured], list[Left]]:
    """Resolve parameters: defaults < profile < presets < ``--params`` < ``--set`` < brackets.

    ``assignments`` are texts such as ``vae.learning_rate=3e-4``, ``files`` what parameter files
    say by method. Raises ``UsageError``, also if a GPU is asked for and there is none.
    """
    device_class(settings.device)
    given = _assignments(assignments, {one.name for one in selected}, registry)
    configured, left = [], []
    for one in selected:
        entry: Entry[Method] = registry.entry(one.name)
        if entry.cls is None or entry.unavailable:
            if one.explicit:
                registry.get(one.name)
            left.append(Left(one.name, "all", "unavailable", entry.unavailable))
            continue
        values = given.get(one.name, {}) | one.values
        file = (files or {}).get(one.name)
        shown = label(one.name, ({"params": file.name} if file else {}) | values)
        presets: list[str] = (
            [settings.profile] if settings.profile in entry.cls.Params.presets else []
        )
        rest = dict(values)
        if "preset" in rest:
            presets.append(rest.pop("preset"))
        params = entry.cls.Params.build(
            (file.values if file else {}) | rest, presets=tuple(presets), owner=one.name
        )
        method = entry.cls(params)
        configured.append(Configured(entry.cls, entry.origin, shown, method, frozenset(rest)))
    return configured, left


def _assignments(
    texts: list[str], selected: set[str], registry: Registry[Method]
) -> dict[str, dict[str, str]]:
    given: dict[str, dict[str, str]] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        name, dot, parameter = target.partition(".")
        if not equals or not dot or not parameter:
            raise UsageError(f"--set {text}: expected method.parameter=value.")
        registry.entry(name.strip())
        if name.strip() not in selected:
            raise UsageError(f"--set {text}: '{name}' is not among the selected methods.")
        given.setdefault(name.strip(), {})[parameter.strip()] = value.strip()
    return given


def make_plan(
    configured: list[Configured],
    datasets: list[StoredDataset],
    settings: Settings,
    store: Store,
) -> Plan:
    """Return the grid of jobs; a method that cannot be applied to a modality is left out."""
    plan = Plan()
    for dataset in datasets:
        for one in configured:
            reason = unsuited(one, dataset)
            if reason:
                plan.left.append(Left(one.label, dataset.label, "skipped", reason))
                continue
            first = make_job(one, dataset, settings.seeds[0], settings, store)
            heavy_once = settings.profile == "quick" and one.cls.cost == "heavy"
            seeds = settings.seeds[:1] if heavy_once else settings.seeds
            plan.jobs += [with_seed(first, seed) for seed in seeds]
    return plan


def unsuited(one: Configured, dataset: StoredDataset) -> str:
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
    dataset: StoredDataset,
    seed: int,
    settings: Settings,
    store: Store,
    **more: Any,
) -> Job:
    """Return one job with its keys; ``more`` holds fields such as ``protocol``."""
    uses = one.method.uses()
    if not uses <= USABLE:
        wrong = ", ".join(sorted(uses - USABLE))
        raise UsageError(f"{one.label}: uses() names {wrong}; known: {', '.join(sorted(USABLE))}.")
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


def _task(cls: type[Method], dataset: StoredDataset) -> dict[str, str]:
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


def with_seed(job: Job, seed: int) -> Job:
    """Return the job for another seed, with its keys."""
    facts = job.facts
    knowledge: dict[str, Any] = {
        "n_clusters": job.n_clusters,
        "labels": facts["labels_digest"] if "labels" in job.uses else None,
        "batch": facts["batch_digest"] if "batch" in job.uses else None,
    }
    part: dict[str, Any] = {"fitted_on": facts["fitted_on"]} if facts.get("fitted_on") else {}
    if facts["modality"] == MULTIOME:
        part["paired"] = PAIRED_VERSION
    # Only where they are used: the keys of all other fits stay as they were.
    if "markers" in job.uses:
        knowledge["markers"] = job.markers
    if "proteins" in job.uses:
        knowledge["proteins"] = facts["proteins_digest"]
    fit_key = digest(
        {
            **part,
            "method": job.method_name,
            "version": facts["version"],
            "source": facts["source"],
            "params": job.params,
            "recipe": job.recipe,
            "preparation": preparation_digest(),
            "counts": facts["counts_digest"],
            "seed": seed,
            "threads": job.threads,
            "device": job.device,
            "knowledge": knowledge,
        }
    )
    return replace(job, seed=seed, fit_key=fit_key, score_key=score_key(job, fit_key))


def score_key(job: Job, fit_key: str) -> str:
    """Return the digest of what decides the scores of a fit.

    Trials are kept apart by study, so that each study shows all of its own; labels count only
    where a protocol lets the scorer see them.
    """
    labels: str | None = job.facts["labels_digest"]
    if job.protocol == "unsupervised" and job.part == "tuning":
        labels = None
    content = [fit_key, labels, job.facts["batch_digest"], job.protocol, metrics_version()]
    if job.protocol == "holdout":
        content.append(SPLIT_VERSION)
    if job.facts.get("rare_type"):
        rare = {name: metric for name, metric in metrics().items() if metric.kind == "rare"}
        content += [job.facts["rare_type"], job.facts["train_digest"], metrics_version(rare)]
    if job.facts["modality"] == MULTIOME:
        both = {name: metric for name, metric in metrics().items() if metric.kind == "paired"}
        content.append(metrics_version(both))
    if job.part != "report":
        content += [job.part, job.study["name"], job.metrics]
    return digest(content)


def device_class(wanted: str) -> str:
    """Return ``cuda`` or ``cpu``; ``auto`` takes a GPU if driver and PyTorch build have one.

    Raises ``UsageError`` if ``cuda`` is asked for and there is none.
    """
    if wanted == "cpu":
        return "cpu"
    reason = _no_gpu((_DRIVER, *_OTHER_DRIVERS) if wanted == "cuda" else (_DRIVER,))
    if reason and wanted == "cuda":
        raise UsageError(f"--device cuda: no usable GPU: {reason}; use --device auto or cpu.")
    return "cpu" if reason else "cuda"


def _no_gpu(drivers: tuple[Path, ...]) -> str:
    """Return why no GPU can be used, empty if one can; does not import PyTorch."""
    from importlib.metadata import version

    if version("torch").endswith("+cpu"):
        return f"PyTorch {version('torch')} is built without CUDA"
    if not any(driver.exists() for driver in drivers):
        return f"no driver of one here (no {_DRIVER})"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES='{visible}' hides all"
    return ""


def write_plan(plan: Plan, path: Path) -> None:
    """Write the plan as JSON, for the record of a session."""
    content = {
        "jobs": [job.as_dict() for job in plan.jobs],
        "left": [asdict(one) for one in plan.left],
    }
    path.write_text(json.dumps(content, indent=1))
