"""A job, its keys, and a plan of jobs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import MULTIOME
from bench.digests import digest
from bench.errors import UsageError
from bench.versions import HOLDOUT, PREPARATION, UNSEEN_CELLS

if TYPE_CHECKING:
    from bench.selectors import Exclusion
    from bench.settings import Settings

TERMINAL = ("done", "failed", "timeout", "oom", "diverged", "pruned", "interrupted")
"""Final statuses of a job. An interrupted job, which its method did not cause, runs again."""
FAILURES = ("failed", "timeout", "oom", "diverged", "interrupted")
"""Statuses that make ``bench run`` exit with 3."""


@dataclass(frozen=True)
class Job:
    """One fit and its scores, described by plain values that any worker can read."""

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
    """Optional inputs that the method declares and the dataset has."""
    n_clusters: int | None
    threads: int
    device: str
    timeout: float
    memory: float
    """Limit in GiB, beyond the loaded libraries."""
    dataset_folder: str
    prepared_key: str
    fit_key: str
    score_key: str
    facts: dict[str, Any] = field(default_factory=dict)
    """Facts about dataset and method: sizes, modality, digests (see ``bench.plan.grid``)."""
    part: str = "report"
    """``report``, or ``tuning`` for the trials of a search (see ``bench.scoring.holdout``)."""
    study: dict[str, Any] = field(default_factory=dict)
    """For a trial: ``name`` of its study, ``trial`` (its number), ``run`` of the study in MLflow,
    and ``judged`` if the search receives every report and may stop the trial."""
    metrics: tuple[str, ...] | None = None
    """Metrics to compute; ``None``: all."""
    markers: dict[str, list[str]] | None = None
    """Marker lists of the dataset, if the method uses them."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        """Return the job from the values of :meth:`as_dict`, also after reading them from JSON."""
        metrics = values["metrics"]
        tuples = {"uses": tuple(values["uses"]), "metrics": metrics and tuple(metrics)}
        return cls(**(values | tuples))

    @property
    def predicts_inputs(self) -> bool:
        """Whether the method uses labels or proteins, and cells are held out."""
        guided = bool({"labels", "proteins"} & {*self.uses})
        return guided and bool(self.facts.get("fitted_on"))

    @property
    def name(self) -> str:
        """Name in progress and logs."""
        return f"{self.method} · {self.dataset} · seed {self.seed}"


@dataclass
class Plan:
    """All jobs of one command, and the combinations that are not run."""

    jobs: list[Job] = field(default_factory=list)
    excluded: list[Exclusion] = field(default_factory=list)


def with_seed(job: Job, seed: int) -> Job:
    """Return the job for another seed, with its keys."""
    facts, uses = job.facts, job.uses
    fit_key = digest(
        {
            "method": job.method_name,
            "version": facts["version"],
            "source": facts["source"],
            "packages": facts["packages"],
            "params": job.params,
            "recipe": job.recipe,
            "preparation": PREPARATION,
            "counts": facts["counts_digest"],
            "fitted_on": facts["fitted_on"],
            "unseen_cells": UNSEEN_CELLS if facts["modality"] == MULTIOME else None,
            "seed": seed,
            "threads": job.threads,
            "device": job.device,
            "n_clusters": job.n_clusters,
            "labels": facts["labels_digest"] if "labels" in uses else None,
            "batch": facts["batch_digest"] if "batch" in uses else None,
            "proteins": facts["proteins_digest"] if "proteins" in uses else None,
            "markers": job.markers,
        }
    )
    return replace(job, seed=seed, fit_key=fit_key, score_key=score_key(job, fit_key))


def score_key(job: Job, fit_key: str) -> str:
    """Return the digest of everything that determines the scores of a fit.

    A trial has a separate key in each study, so that every study shows all of its trials.
    """
    from bench.scoring import metrics as scoring

    facts, tuning = job.facts, job.part == "tuning"
    # Labels count only where a protocol lets the scorer see them.
    hidden = tuning and job.protocol == "unsupervised"
    special = {
        "rare": bool(facts["rare_type"]), "paired": facts["modality"] == MULTIOME,
        "counts": not facts["labels_digest"], "predicted": job.predicts_inputs,
    }  # fmt: skip
    unlabelled = {} if facts["labels_digest"] else {"n_clusters": facts["n_clusters"]}
    metrics = {
        name: metric for name, metric in scoring.metrics().items() if special.get(metric.kind)
    }
    return digest(
        {
            "fit": fit_key,
            "labels": None if hidden else facts["labels_digest"],
            "batch": facts["batch_digest"],
            "protocol": job.protocol,
            "holdout": HOLDOUT if job.protocol == "holdout" else None,
            "metrics": [scoring.metrics_version(), scoring.metrics_version(metrics)],
            "rare": [facts["rare_type"], facts["train_digest"]] if special["rare"] else None,
            "study": [job.study["name"], job.metrics] if tuning else None,
        }
        | unlabelled
    )


def write_plan(plan: Plan, path: Path) -> None:
    """Write the plan as JSON."""
    path.write_text(json.dumps(asdict(plan), indent=1))


def dataset_folder(job: Job, settings: Settings) -> Path:
    """Return the folder of a finished job's dataset, also in a cache that was moved.

    Raises ``UsageError`` if the dataset is no longer in the cache.
    """
    folder = Path(job.dataset_folder)
    if not folder.is_dir():
        folder = settings.cache_dir / "datasets" / folder.name
    if not (folder / "cells.npy").is_file():
        raise UsageError(
            f"the dataset is no longer in the cache; 'bench plan -m random -d {job.dataset}' "
            "puts it back.",
            code="not_cached",
        )
    return folder
