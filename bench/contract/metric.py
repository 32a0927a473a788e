"""What a metric is.

A metric is a pure function with a name and a version. Where it is computed depends on its kind:

=============  ==========================================================================
``clustering``  ``function(true, predicted)``: a clustering against the true types
``partition``   ``function(embedding, predicted, *, seed)``: a clustering on the embedding
``embedding``   ``function(embedding, true, *, seed)``: the true types on the embedding
``batch``       ``function(embedding, true, batch, *, seed)``: mixing of the batches
``rare``        ``function(embedding, task, *, seed)``: one rare type (:class:`RareTask`)
``paired``      ``function(tasks)``: both parts of unseen cells (:class:`PairedTasks`)
=============  ==========================================================================

``true``, ``predicted`` and ``batch`` are arrays of codes or names, shape (n_cells,), without gaps;
``embedding`` is cells × dimensions, finite. A function returns a float, or a float and the facts
worth recording beside it (such as the size of a sample), and raises :class:`Missing` with a
reason where the metric is not defined: never a zero or NaN in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

MetricFact = str | float
MetricResult = float | tuple[float, dict[str, MetricFact]]
Kind = Literal["clustering", "partition", "embedding", "batch", "rare", "paired"]


class UndefinedMetric(Exception):
    """Raised by a metric that is not defined for its input; the message is the reason."""


@dataclass(frozen=True)
class RareTask:
    """The rare type of a dataset, and the cells that the fit has not seen."""

    rare: np.ndarray
    """Mask of the cells of the rare type, shape (n_cells,)."""
    train: np.ndarray | None = None
    """Mask of the cells that the method was fitted on; ``None``: it was fitted on all."""
    no_held_out: str = ""
    """Why there are no held-out cells, in one line, where ``train`` is ``None``."""


@dataclass(frozen=True)
class Pairs:
    """Scores of pairs of an RNA and an ATAC profile, one entry a pair."""

    same: np.ndarray
    """Whether both profiles are of one cell."""
    score: np.ndarray
    """How likely the method holds that to be; more is likelier."""
    hard: np.ndarray | None = None
    """Whether the two cells are of one type; ``None``: no types are known."""
    easy: np.ndarray | None = None
    """Whether they are of two types; neither where a type is hidden."""


@dataclass(frozen=True)
class Translation:
    """Scores that a gene is detected, cells × genes, from the chromatin of unseen cells."""

    score: np.ndarray
    detected: np.ndarray
    """What is true, booleans."""
    rate: np.ndarray
    """Share of the training cells in which a gene is detected, shape (n_genes,)."""


@dataclass(frozen=True)
class Recovery:
    """Detected genes that were hidden from the method, and genes that are not detected."""

    cell: np.ndarray
    """Number of the cell of each entry."""
    hidden: np.ndarray
    """True for a hidden detected gene, false for one that is not detected."""
    score: np.ndarray
    rate: np.ndarray
    """Share of the training cells in which the gene is detected."""


@dataclass(frozen=True)
class PairedTasks:
    """What a method answered about cells that it was not fitted on; ``None``: nothing."""

    pairs: Pairs | None = None
    retrieval: np.ndarray | None = None
    """Score of each RNA profile (row) with each ATAC profile; the diagonal is true."""
    translation: Translation | None = None
    recovery: Recovery | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why a field is ``None``, in one line."""


@dataclass(frozen=True)
class Metric:
    """A metric with the facts that tables, reports and score keys need."""

    name: str
    """Lower case, as in the keys of the scores: ``kmeans/ari``."""
    kind: Kind
    version: int
    """Raised when the values change; finished fits are then scored again, not fitted."""
    higher_is_better: bool | None
    """``None`` for a description that has no better or worse."""
    bounds: tuple[float, float]
    """Smallest and largest possible value."""
    summary: str
    """One line for tables."""
    reference: str
    """Citation with DOI."""
    function: Callable[..., MetricResult]
