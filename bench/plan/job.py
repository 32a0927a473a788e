"""job."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.contract import MULTIOME
from bench.digests import digest
from bench.errors import UsageError
from bench.selectors import Exclusion
from bench.settings import Settings
from bench.versions import HOLDOUT, PREPARATION, UNSEEN_CELLS

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
    """``report``, or ``tuning`` for the trials of a search (see ``bench.scoring.holdout``)."""
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
    left: list[Exclusion] = field(default_factory=list)


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
        part["paired"] = UNSEEN_CELLS
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
            "preparation": PREPARATION,
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
    from bench.scoring.metrics import metrics, metrics_version

    content = [fit_key, labels, job.facts["batch_digest"], job.protocol, metrics_version()]
    if job.protocol == "holdout":
        content.append(HOLDOUT)
    if job.facts.get("rare_type"):
        rare = {name: metric for name, metric in metrics().items() if metric.kind == "rare"}
        content += [job.facts["rare_type"], job.facts["train_digest"], metrics_version(rare)]
    if job.facts["modality"] == MULTIOME:
        both = {name: metric for name, metric in metrics().items() if metric.kind == "paired"}
        content.append(metrics_version(both))
    if job.part != "report":
        content += [job.part, job.study["name"], job.metrics]
    return digest(content)


def write_plan(plan: Plan, path: Path) -> None:
    """Write the plan as JSON, for the record of a session."""
    content = {
        "jobs": [job.as_dict() for job in plan.jobs],
        "left": [asdict(one) for one in plan.left],
    }
    path.write_text(json.dumps(content, indent=1))


def dataset_folder(job: Job, settings: Settings) -> Path:
    """Return the cached dataset of a finished job, also of a cache that was moved.

    Raises ``UsageError`` if it is no longer there.
    """
    place = Path(job.dataset_folder)
    if not place.is_dir():
        place = settings.cache_dir / "datasets" / place.name
    if not (place / "types.npy").is_file():
        raise UsageError(
            f"the dataset is no longer in the cache; 'bench plan -m random -d {job.dataset}' "
            "puts it back."
        )
    return place
