"""Objectives of a search: their names, the keys of their values and their directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.scoring.metrics import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bench.contract import DatasetInfo, Method, Parameters
    from bench.plan.search_space import Dimension, Space

_MEASURES = {
    "loss": ("held_out_loss", False),
    "stability": ("stability", True),
    "seconds": ("seconds", False),
    "memory": ("peak_memory_mb", False),
}
"""Name → key among the measures of a job, and whether higher is better."""
THINNED_OBJECTIVES = ("loss", "stability")
"""Objectives of the short name ``thinned``: loss on held-out counts, and agreement of seeds."""
_SHORT_NAMES = ("ari", "nmi", "silhouette", *_MEASURES, "thinned")
_DEFAULT = {"holdout": "ari", "oracle": "ari", "unsupervised": "silhouette"}


@dataclass(frozen=True)
class Objective:
    """A value to maximize or minimize."""

    name: str
    """Name on the command line."""
    key: str
    """Key of the value among the metrics and measures of a job, such as ``kmeans/ari``."""
    maximize: bool

    @property
    def metric(self) -> str | None:
        """Name of the metric; ``None`` for a measure of the job."""
        return self.key.partition("/")[2] or None

    @property
    def clustering(self) -> str | None:
        """Clustering that the metric is computed on, if any."""
        return self.key.partition("/")[0] if "/" in self.key else None

    def describe(self) -> str:
        """Return a text such as ``ari (kmeans/ari, higher is better)``."""
        shown = self.name if self.name == self.key else f"{self.name} ({self.key})"
        return f"{shown}, {'higher' if self.maximize else 'lower'} is better"


def parse_objectives(text: str, protocol: str) -> tuple[Objective, ...]:
    """Return the objectives named in ``text``, separated by commas; empty: the protocol's default.

    A name is one of ``ari``, ``nmi``, ``silhouette``, ``loss``, ``stability``, ``seconds``,
    ``memory``, or the full key of a metric such as ``leiden/ari``; ``thinned`` is short for
    ``loss,stability``, where the best trial has the best mean rank. Short names of metrics refer
    to k-means with k from truth, under ``unsupervised`` to Leiden. Raises ``UsageError``.
    """
    names = [part.strip() for part in text.split(",") if part.strip()] or [_DEFAULT[protocol]]
    if names == ["thinned"]:
        names = list(THINNED_OBJECTIVES)
    objectives = tuple(_parse_objective(name, protocol) for name in names)
    keys = [objective.key for objective in objectives]
    if len(set(keys)) < len(keys):
        raise UsageError(
            f"--objective {text}: '{objectives[-1].name}' is named twice.", code="named_twice"
        )
    return objectives


def _parse_objective(name: str, protocol: str) -> Objective:
    if name in _MEASURES:
        return Objective(name, *_MEASURES[name])
    default_clustering = "leiden" if protocol == "unsupervised" else "kmeans"
    key = name if "/" in name else f"{default_clustering}/{name}"
    clustering, _, metric_name = key.partition("/")
    metric = metrics().get(metric_name)
    if metric is None or ("/" not in name and name not in _SHORT_NAMES):
        names = [*_SHORT_NAMES, *(f"kmeans/{one}" for one in metrics())]
        raise UsageError(
            f"--objective: no objective '{name}'.{did_you_mean(name, names)}", code="unknown_name"
        )
    if metric.higher_is_better is None:
        raise UsageError(f"--objective {name}: it has no direction.", code="no_direction")
    if metric.kind in ("paired", "predicted"):
        raise UsageError(
            f"--objective {name}: it is computed on the cells of the report; choose another.",
            code="report_cells",
        )
    if protocol == "unsupervised" and (metric.kind != "partition" or clustering == "kmeans"):
        raise UsageError(
            f"--objective {name} needs labels, which --protocol unsupervised does not use; "
            "choose silhouette or loss, or another protocol.",
            code="hidden_input",
        )
    of_embedding = metric.kind in ("embedding", "batch", "integration", "rare")
    if (clustering == "embedding") != of_embedding:
        expected = "embedding" if of_embedding else "kmeans or leiden"
        raise UsageError(
            f"--objective {name}: '{metric_name}' is a metric of {expected}.",
            code="unknown_name",
        )
    return Objective(name, key, maximize=metric.higher_is_better)


def uses_mean_rank(objectives: Sequence[Objective]) -> bool:
    """Return whether the best trial has the best mean rank (see ``THINNED_OBJECTIVES``)."""
    return tuple(objective.name for objective in objectives) == THINNED_OBJECTIVES


def objective_values(
    objectives: Sequence[Objective], job_values: Mapping[str, float]
) -> list[float] | str:
    """Return the values of the objectives, or the reason why one is missing.

    ``job_values`` are the metrics and measures of a job.
    """
    for objective in objectives:
        if objective.key not in job_values:
            return f"{objective.key} is missing"
    return [float(job_values[objective.key]) for objective in objectives]


def check_objectives(
    objectives: Sequence[Objective], method: Method, space: Space, info: DatasetInfo
) -> None:
    """Raise ``UsageError`` if trials of a method have no comparable values of an objective."""
    names = {objective.name for objective in objectives}
    if "stability" in names and "held_out" not in space.base:
        raise _not_supported("stability", space, "does not compare fits of several seeds")
    if not names & set(THINNED_OBJECTIVES):
        return
    measures = method.loss_measures
    if measures is None:
        raise _not_supported("loss", space, "reports no loss on held-out cells")
    if not space.base.get("validation", True):
        raise UsageError(
            f"--objective loss: {space.owner} holds no cells out with validation=0; set it to a "
            "share such as 0.1.",
            code="nothing_held_out",
        )
    if not space.base.get("held_out", True):
        raise UsageError(
            f"--objective {' or '.join(THINNED_OBJECTIVES)}: {space.owner} holds no counts out "
            "with held_out=0; set it to a share such as 0.2.",
            code="nothing_held_out",
        )
    for dimension in space.dimensions:
        if dimension.name in measures or _changes_recipe(dimension, method, space, info):
            raise UsageError(
                f"--objective loss: {space.owner}.{dimension.name} changes what the loss "
                "measures, so losses are not comparable; fix it with --set or --space.",
                code="not_comparable",
            )


def _not_supported(objective: str, space: Space, reason: str) -> UsageError:
    return UsageError(
        f"--objective {objective}: {space.owner} {reason}; choose another objective.",
        code="not_supported",
    )


def _changes_recipe(dimension: Dimension, method: Method, space: Space, info: DatasetInfo) -> bool:
    """Return whether the values of a parameter change the recipe."""
    search = dimension.search
    values = search.choices if search.choices is not None else (search.low, search.high)
    parameters = valid_parameters(space, dimension.name, values)
    return len({repr(type(method)(params).recipe(info)) for _, params in parameters}) > 1


def valid_parameters(
    space: Space, name: str, values: Iterable[Any]
) -> Iterator[tuple[Any, Parameters]]:
    """Yield each value that is valid with the base values of all others, and the parameters."""
    for value in values:
        try:
            complete = space.complete(space.base | {name: value})
        except UsageError:  # a value that is valid with other values only
            continue
        yield value, space.params.build(complete, owner=space.owner)
