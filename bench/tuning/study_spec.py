"""The specification of a study: a method on a dataset under a protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.contract.method import declared_inputs
from bench.digests import digest, source_digest
from bench.errors import UsageError
from bench.plan.grid import make_job
from bench.plan.methods import ConfiguredMethod
from bench.plan.search_space import Space, make_space
from bench.scoring.metrics import metrics, metrics_version
from bench.versions import HOLDOUT, PREPARATION

from .objective import check_objectives, valid_parameters
from .samplers import check_sampler
from .space_file import SpaceChanges

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.data.cache.cached_dataset import CachedDataset
    from bench.data.cache.data_cache import DataCache
    from bench.plan.job import Job
    from bench.settings import Settings

    from .search_options import SearchOptions
    from .study import Trial


@dataclass(frozen=True)
class StudySpec:
    """The specification of one study."""

    default: ConfiguredMethod
    """The method with its default configuration."""
    dataset: CachedDataset
    space: Space
    options: SearchOptions
    settings: Settings

    @property
    def name(self) -> str:
        """Readable name with a digest of the properties that all trials share."""
        options = self.options
        objectives = [one.name for one in options.objectives]
        parts = [self.default.label, self.dataset.label, options.protocol, *objectives]
        readable = "-".join(re.sub(r"[^\w.=]+", "_", part).strip("_") for part in parts)
        return f"{readable[:100]}-{digest(self._identity())[:8]}"

    def _identity(self) -> dict[str, Any]:
        """Return the properties that all trials of a study must share to be comparable."""
        options = self.options
        labels = None if options.protocol == "unsupervised" else self.dataset.labels_digest
        return {
            "method": [
                self.default.cls.name,
                self.default.cls.version,
                source_digest(self.default.origin, self.default.cls.files),
            ],
            "base": self.space.base,
            "space": [repr(dimension) for dimension in self.space.dimensions],
            "data": [self.dataset.counts_digest, labels],
            "task": self._task(),
            "protocol": [options.protocol, HOLDOUT],
            "objectives": [one.key for one in options.objectives],
            "metrics": metrics_version(self._metrics()),
            "search": [options.sampler, options.pruner, options.search_seed],
            "fits": [self.settings.threads, self.settings.device],
        }

    def _task(self) -> list[Any]:
        """Return the optional inputs of fits and scores besides counts and types."""
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
        """Folder of the study and its result files."""
        return self.settings.results / "studies" / self.name

    def job(self, trial: Trial, run: str, cache: DataCache) -> Job:
        """Return the job of a trial; ``run`` is the id of the study's run in MLflow."""
        return make_job(
            self.with_parameters(trial.params, f"{self.default.label}·trial {trial.number}"),
            self.dataset,
            self.options.search_seed,
            self.settings,
            cache,
            protocol=self.options.protocol,
            part="tuning",
            study={
                "name": self.name,
                "trial": trial.number,
                "run": run,
                "prunable": self.options.pruner != "none",
            },
            metrics=tuple(self._metrics()),
        )

    def with_parameters(self, params: Mapping[str, Any], label: str) -> ConfiguredMethod:
        """Return the method with other parameters and another label."""
        cls = self.default.cls
        built = cls.Params.build(dict(params), owner=self.default.label)
        return ConfiguredMethod(cls, self.default.origin, label, cls(built))


def make_study_spec(
    configured: ConfiguredMethod,
    dataset: CachedDataset,
    options: SearchOptions,
    settings: Settings,
    changes: SpaceChanges | None = None,
) -> StudySpec:
    """Return the specification for a method on a dataset; its space may have no dimension.

    Raises ``UsageError`` if the space, the sampler, the objective or the protocol do not fit it.
    """
    changes = changes or SpaceChanges()
    cls, given = configured.cls, configured.given
    base = cls.Params.build(configured.method.params.resolved() | changes.fixed, owner=cls.name)
    method = cls(base)
    space = make_space(
        cls.name, cls.Params, base.resolved(), fixed=given, changes=changes.searched,
        modality=dataset.info.modality,
    )  # fmt: skip
    default = ConfiguredMethod(cls, configured.origin, configured.label, method, given)
    if space.dimensions:
        check_sampler(options.sampler, space, len(options.objectives))
        check_objectives(options.objectives, method, space, dataset.info)
        _check_inputs(space, default, options.protocol)
    return StudySpec(default, dataset, space, options, settings)


def hidden_input(inputs: frozenset[str], protocol: str) -> str:
    """Return the first declared input that the protocol hides; empty if there is none."""
    if "labels" in inputs and protocol != "oracle":
        return "labels"
    return "n_clusters" if "n_clusters" in inputs and protocol == "unsupervised" else ""


def _check_inputs(space: Space, configured: ConfiguredMethod, protocol: str) -> None:
    """Raise ``UsageError`` if the method uses a hidden input for some value in the space."""
    for dimension in space.dimensions:
        choices = dimension.search.choices or ()
        for value, params in valid_parameters(space, dimension.name, choices):
            hidden = hidden_input(declared_inputs(configured.cls(params)), protocol)
            if hidden:
                raise UsageError(
                    f"{space.owner}.{dimension.name}={value} uses {hidden}, which --protocol "
                    f"{protocol} does not show; fix it with --set or --space.",
                    code="hidden_input",
                )
