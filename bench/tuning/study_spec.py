"""What one study is: a method on a dataset under a protocol, with everything that decides it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data.cache.cached_dataset import CachedDataset
from bench.data.cache.data_cache import DataCache
from bench.digests import digest, source_digest
from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.plan.grid import make_job
from bench.plan.job import Job
from bench.plan.methods import ConfiguredMethod
from bench.plan.search_space import Space, make_space
from bench.scoring.holdout import PROTOCOLS
from bench.scoring.metrics import metrics, metrics_version
from bench.settings import Settings
from bench.versions import HOLDOUT, PREPARATION

from .objective import Objective, check_method, parse_objectives
from .samplers import check_pruner, check_sampler
from .space_file import Changes
from .study import Trial

SEED = 1000
"""Seed of the fits of trials; report seeds begin at 0."""


@dataclass(frozen=True)
class Options:
    """What a search can be told, besides methods, datasets and settings."""

    trials: int | None = None
    """Configurations of each study, in all, not in addition."""
    timeout: float | None = None
    """Seconds after which a study begins no further trial, counted anew by each command."""
    protocol: str = "holdout"
    objective: str = ""
    sampler: str = "tpe"
    pruner: str = "none"
    storage: str = ""
    seed: int = SEED
    objectives: tuple[Objective, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        if self.trials is None and self.timeout is None:
            raise UsageError("give a budget: --trials, --timeout, or both.")
        if self.trials is not None and self.trials < 1:
            raise UsageError(f"--trials {self.trials}: expected at least 1.")
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(f"--timeout {self.timeout:g}: expected seconds above 0.")
        if self.protocol not in PROTOCOLS:
            hint = did_you_mean(self.protocol, list(PROTOCOLS))
            raise UsageError(f"--protocol: no protocol '{self.protocol}'.{hint}")
        if self.seed < 0:
            raise UsageError(f"--search-seed {self.seed}: expected a number of at least 0.")
        object.__setattr__(self, "objectives", parse_objectives(self.objective, self.protocol))
        check_pruner(self.pruner, len(self.objectives))


@dataclass(frozen=True)
class Spec:
    """One study."""

    one: ConfiguredMethod
    """The method with its default configuration."""
    dataset: CachedDataset
    space: Space
    options: Options
    settings: Settings

    @property
    def name(self) -> str:
        """Name of the study: readable, and another one if anything that decides it differs."""
        o = self.options
        parts = [self.one.label, self.dataset.label, o.protocol, *(x.name for x in o.objectives)]
        readable = "-".join(re.sub(r"[^\w.=]+", "_", part).strip("_") for part in parts)
        return f"{readable[:100]}-{digest(self._identity())[:8]}"

    def _identity(self) -> dict[str, Any]:
        """Return what all trials of a study must share to be comparable."""
        o = self.options
        labels = None if o.protocol == "unsupervised" else self.dataset.labels_digest
        return {
            "method": [self.one.cls.name, self.one.cls.version, source_digest(self.one.origin)],
            "base": self.space.base,
            "space": [repr(dimension) for dimension in self.space.dimensions],
            "data": [self.dataset.counts_digest, labels],
            "task": self._task(),
            "protocol": [o.protocol, HOLDOUT],
            "objectives": [one.key for one in o.objectives],
            "metrics": metrics_version(self._metrics()),
            "search": [o.sampler, o.pruner, o.seed],
            "fits": [self.settings.threads, self.settings.device],
        }

    def _task(self) -> list[Any]:
        """Return what a fit or its scores may know of the dataset beyond counts and types."""
        data, markers = self.dataset, self.dataset.markers
        lists = {name: list(genes) for name, genes in markers.lists.items()} if markers else {}
        return [
            PREPARATION, data.batch_digest, data.proteins_digest, data.rare_type,
            data.train_digest, lists,
        ]  # fmt: skip

    def _metrics(self) -> dict[str, Any]:
        names = {one.metric for one in self.options.objectives if one.metric}
        return {name: metric for name, metric in metrics().items() if name in names}

    @property
    def folder(self) -> Path:
        """Where the study and what it came to are kept."""
        return self.settings.results / "studies" / self.name

    def job(self, trial: Trial, run: str, store: DataCache) -> Job:
        """Return the job of a trial; ``run`` is the run of the study in MLflow."""
        return make_job(
            self.configured(trial.params, f"{self.one.label}·trial {trial.number}"),
            self.dataset,
            self.options.seed,
            self.settings,
            store,
            protocol=self.options.protocol,
            part="tuning",
            study={
                "name": self.name,
                "trial": trial.number,
                "run": run,
                "judged": self.options.pruner != "none",
            },
            metrics=tuple(self._metrics()),
        )

    def configured(self, params: Mapping[str, Any], label: str) -> ConfiguredMethod:
        """Return the method with other parameters under another name."""
        cls = self.one.cls
        built = cls.Params.build(dict(params), owner=self.one.label)
        return ConfiguredMethod(cls, self.one.origin, label, cls(built))


def make_spec(
    one: ConfiguredMethod,
    dataset: CachedDataset,
    options: Options,
    settings: Settings,
    changes: Changes | None = None,
) -> Spec:
    """Return the study of a method on a dataset.

    Raises ``UsageError`` if the space, the sampler, the objective or the protocol do not fit it.
    A space without a dimension is left to the caller.
    """
    changes = changes or Changes()
    owner, params = one.cls.name, one.cls.Params
    base = params.build(one.method.params.resolved() | changes.fixed, owner=owner)
    method = one.cls(base)
    space = make_space(
        owner, params, base.resolved(), fixed=one.given, changes=changes.searched,
        modality=dataset.info.modality,
    )  # fmt: skip
    one = ConfiguredMethod(one.cls, one.origin, one.label, method, one.given)
    if space.dimensions:
        check_sampler(options.sampler, space, len(options.objectives))
        check_method(options.objectives, method, space, dataset.info)
        _check_uses(space, one, options.protocol)
    return Spec(one, dataset, space, options, settings)


def knows_too_much(uses: frozenset[str], protocol: str) -> str:
    """Return what of the labels a method uses that the protocol hides; empty if nothing."""
    if "labels" in uses and protocol != "oracle":
        return "labels"
    return "n_clusters" if "n_clusters" in uses and protocol == "unsupervised" else ""


def _check_uses(space: Space, one: ConfiguredMethod, protocol: str) -> None:
    """Raise ``UsageError`` if a choice of the space lets the method use what is hidden."""
    for name, value, uses in _variants(space, one):
        hidden = knows_too_much(uses, protocol)
        if hidden:
            raise UsageError(
                f"{space.owner}.{name}={value} uses {hidden}, which --protocol {protocol} "
                "does not show; fix it with --set or --space."
            )


def _variants(space: Space, one: ConfiguredMethod) -> Iterator[tuple[str, Any, frozenset[str]]]:
    for dimension in space.dimensions:
        for value in dimension.search.choices or ():
            try:
                whole = space.complete(space.base | {dimension.name: value})
            except UsageError:  # a value that needs others to change, too
                continue
            params = space.params.build(whole, owner=space.owner)
            yield dimension.name, value, one.cls(params).uses()
