"""What a search looks for: names on the command line, where their values are, which way is up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.scoring.metrics import metrics

if TYPE_CHECKING:
    from bench.contract import DatasetInfo, Method
    from bench.plan.search_space import Space

_MEASURES = {
    "loss": ("held_out_loss", False),
    "stability": ("stability", True),
    "seconds": ("seconds", False),
    "memory": ("peak_memory_mb", False),
}
"""Name → key among the measures of a job, and whether higher is better."""
THINNED = ("loss", "stability")
"""What the name ``thinned`` stands for: loss on held-out counts and agreement over seeds."""
SHORT = ("ari", "nmi", "silhouette", *_MEASURES, "thinned")
DEFAULT = {"holdout": "ari", "oracle": "ari", "unsupervised": "silhouette"}


@dataclass(frozen=True)
class Objective:
    """One value to make large or small."""

    name: str
    """As the user writes it."""
    key: str
    """Its key among the metrics and measures of a job, such as ``kmeans/ari``."""
    maximize: bool

    @property
    def metric(self) -> str | None:
        """Name of the metric that must be computed, if it is one."""
        return self.key.partition("/")[2] or None

    @property
    def clustering(self) -> str | None:
        """The clustering it is computed on, if any."""
        return self.key.partition("/")[0] if "/" in self.key else None

    def describe(self) -> str:
        """Return a text such as ``ari (kmeans/ari, higher is better)``."""
        shown = self.name if self.name == self.key else f"{self.name} ({self.key})"
        return f"{shown}, {'higher' if self.maximize else 'lower'} is better"


def parse_objectives(text: str, protocol: str) -> tuple[Objective, ...]:
    """Return the objectives named in ``text``, separated by commas; empty: the protocol's own.

    A name is one of ``ari``, ``nmi``, ``silhouette``, ``loss``, ``stability``, ``seconds``,
    ``memory``, or the full key of a metric such as ``leiden/ari``; ``thinned`` alone is
    ``loss,stability``, whose best trial is that of the best mean rank. Short names of metrics
    mean k-means with k from truth, under ``unsupervised`` Leiden. Raises ``UsageError``.
    """
    names = [part.strip() for part in text.split(",") if part.strip()] or [DEFAULT[protocol]]
    if names == ["thinned"]:
        names = list(THINNED)
    found = tuple(_objective(name, protocol) for name in names)
    keys = [one.key for one in found]
    if len(set(keys)) < len(keys):
        raise UsageError(f"--objective {text}: '{found[-1].name}' is named twice.")
    return found


def _objective(name: str, protocol: str) -> Objective:
    if name in _MEASURES:
        return Objective(name, *_MEASURES[name])
    clustering = "leiden" if protocol == "unsupervised" else "kmeans"
    key = name if "/" in name else f"{clustering}/{name}"
    where, _, metric_name = key.partition("/")
    metric = metrics().get(metric_name)
    if metric is None or ("/" not in name and name not in SHORT):
        known = [*SHORT, *(f"kmeans/{one}" for one in metrics())]
        raise UsageError(f"--objective: no objective '{name}'.{did_you_mean(name, known)}")
    if metric.higher_is_better is None:
        raise UsageError(f"--objective {name}: it has no better or worse.")
    if metric.kind == "paired":
        raise UsageError(
            f"--objective {name}: it is computed on the cells that the report uses too, which "
            "would be tuning on them; use another."
        )
    if protocol == "unsupervised" and (metric.kind != "partition" or where == "kmeans"):
        raise UsageError(
            f"--objective {name} needs labels, which --protocol unsupervised does not look at; "
            "use silhouette or loss, or another protocol."
        )
    own = {"embedding", "batch", "rare"}
    if (where == "embedding") != (metric.kind in own):
        right = "embedding" if metric.kind in own else "kmeans or leiden"
        raise UsageError(f"--objective {name}: '{metric_name}' is a metric of {right}.")
    return Objective(name, key, maximize=metric.higher_is_better)


def by_rank(objectives: Sequence[Objective]) -> bool:
    """Return whether the best trial is that of the best mean rank, see ``THINNED``."""
    return tuple(one.name for one in objectives) == THINNED


def values_of(objectives: Sequence[Objective], found: Mapping[str, float]) -> list[float] | str:
    """Return the values of the objectives, or why there are none.

    ``found`` holds the metrics and measures of a job.
    """
    for one in objectives:
        if one.key not in found:
            return f"{one.key} is missing"
    return [float(found[one.key]) for one in objectives]


def check_method(
    objectives: Sequence[Objective], method: Method, space: Space, info: DatasetInfo
) -> None:
    """Raise ``UsageError`` if a method cannot give an objective, or not a comparable one."""
    if any(one.name == "stability" for one in objectives) and "held_out" not in space.base:
        raise UsageError(
            f"--objective stability: {space.owner} does not compare fits of several seeds; use "
            "another objective for it."
        )
    if not any(one.name in THINNED for one in objectives):
        return
    measures = method.loss_measures
    if measures is None:
        raise UsageError(
            f"--objective loss: {space.owner} reports no loss on held-out cells; use another "
            "objective for it."
        )
    if not space.base.get("validation", True):
        raise UsageError(
            f"--objective loss: {space.owner} holds no cells out with validation=0; set it to a "
            "share such as 0.1."
        )
    if not space.base.get("held_out", True):
        raise UsageError(
            f"--objective {THINNED[0]} or {THINNED[1]}: {space.owner} holds no counts out with "
            "held_out=0; set it to a share such as 0.2."
        )
    for dimension in space.dimensions:
        if dimension.name in measures or _changes_recipe(dimension.name, method, space, info):
            raise UsageError(
                f"--objective loss: {space.owner}.{dimension.name} changes what the loss "
                "measures, so its values do not compare; fix it with --set or --space."
            )


def _changes_recipe(name: str, method: Method, space: Space, info: DatasetInfo) -> bool:
    """Return whether a parameter's values lead to different prepared data."""
    dimension = next(d for d in space.dimensions if d.name == name)
    s = dimension.search
    ends = s.choices if s.choices is not None else (s.low, s.high)
    recipes = set()
    for value in ends:
        try:
            whole = space.complete(space.base | {name: value})
        except UsageError:  # a value that needs others to change, too
            continue
        params = space.params.build(whole, owner=space.owner)
        recipes.add(repr(type(method)(params).recipe(info)))
    return len(recipes) > 1
