"""What a metric is: a pure function with a name and a version.

Its kind decides its arguments:

===============  =========================================================================
``clustering``   ``function(true, predicted)``: a clustering against the true types
``partition``    ``function(embedding, predicted, *, seed)``: a clustering on the embedding
``embedding``    ``function(embedding, true, *, seed)``: the true types on the embedding
``batch``        ``function(embedding, true, batch, *, seed)``: mixing of the batches
``integration``  ``function(embedding, task, *, seed)``: batches before and after
                 (:class:`IntegrationTask`)
``counts``       ``function(embedding, task, *, seed)``: neighbours in the counts, for data
                 without labels (:class:`CountsTask`)
``rare``         ``function(embedding, task, *, seed)``: one rare type (:class:`RareTask`)
``paired``       ``function(tasks)``: both parts of unseen cells (:class:`PairedTasks`)
``predicted``    ``function(task)``: inputs predicted for held-out cells
                 (:class:`PredictedInputs`)
``aggregate``    ``function(scores)``: a mean of other scores of a run; the harness's own only
===============  =========================================================================

``true``, ``predicted`` and ``batch`` are arrays of codes or names, shape (n_cells,), without gaps;
``embedding`` has shape (n_cells, n_dimensions) and is finite. A function returns a float, or a
float and facts to record beside it (such as the size of a sample). Where the metric is not defined
it raises :class:`UndefinedMetric`; it never returns zero or NaN instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

MetricFact = str | float
MetricResult = float | tuple[float, dict[str, MetricFact]]
Kind = Literal[
    "clustering",
    "partition",
    "embedding",
    "batch",
    "integration",
    "counts",
    "rare",
    "paired",
    "predicted",
    "aggregate",
]


class UndefinedMetric(Exception):
    """Raised by a metric that is not defined for its input; the message is the reason."""


@dataclass(frozen=True)
class CountsTask:
    """The counts as a metric of data without labels sees them.

    Parameters
    ----------
    components
        Principal components of the log-normalised counts, shape (n_cells, n_components).
    no_components
        The reason why there are none, in one line, where ``components`` is ``None``.
    """

    components: np.ndarray | None = None
    no_components: str = ""


@dataclass(frozen=True)
class RareTask:
    """The rare type of a dataset, and the cells that the fit has not seen.

    Parameters
    ----------
    rare
        Mask of the cells of the rare type, shape (n_cells,).
    train
        Mask of the cells that the method was fitted on, shape (n_cells,); ``None``: all cells.
    no_held_out
        The reason why no cells are held out, in one line, where ``train`` is ``None``.
    """

    rare: np.ndarray
    train: np.ndarray | None = None
    no_held_out: str = ""


@dataclass(frozen=True)
class IntegrationTask:
    """The batches of the cells, and the data before a method integrated them.

    Parameters
    ----------
    batch
        Batch of each cell, shape (n_cells,).
    unintegrated
        Principal components of the log-normalised counts, shape (n_cells, n_components).
    no_unintegrated
        The reason why there are none, in one line, where ``unintegrated`` is ``None``.
    """

    batch: np.ndarray
    unintegrated: np.ndarray | None = None
    no_unintegrated: str = "the counts before the fit are not available"


@dataclass(frozen=True)
class PairScores:
    """Scores of pairs of an RNA and an ATAC profile; all arrays have shape (n_pairs,).

    Parameters
    ----------
    same
        Whether both profiles are of one cell.
    score
        How likely both profiles are of one cell, according to the method; higher is likelier.
    hard
        Whether the two cells are of one type; ``None``: types are unknown.
    easy
        Whether the two cells are of different types. Both masks are false where a type is hidden.
    """

    same: np.ndarray
    score: np.ndarray
    hard: np.ndarray | None = None
    easy: np.ndarray | None = None


@dataclass(frozen=True)
class TranslationScores:
    """Predicted detection of genes in unseen cells, from their chromatin.

    Parameters
    ----------
    score
        Predicted score of each gene in each cell, shape (n_cells, n_genes).
    detected
        Whether the gene is detected in the cell, booleans of the same shape.
    rate
        Share of the training cells in which a gene is detected, shape (n_genes,).
    """

    score: np.ndarray
    detected: np.ndarray
    rate: np.ndarray


@dataclass(frozen=True)
class RecoveryScores:
    """Scores of detected genes that were hidden from the method, and of undetected genes.

    All arrays have shape (n_entries,).

    Parameters
    ----------
    cell
        Number of the cell.
    hidden
        True for a hidden detected gene, false for one that is not detected.
    score
        How likely the gene is detected according to the method.
    rate
        Share of the training cells in which the gene is detected.
    """

    cell: np.ndarray
    hidden: np.ndarray
    score: np.ndarray
    rate: np.ndarray


@dataclass(frozen=True)
class PairedTasks:
    """Predictions of a method for cells that it was not fitted on.

    Parameters
    ----------
    pairs
        Scores of pairs of profiles.
    retrieval
        Score of each RNA profile (row) with each ATAC profile; the diagonal is true.
    translation
        Scores of genes predicted from chromatin.
    recovery
        Scores of hidden genes.
    missing
        Name of a field that is ``None`` → the reason, in one line.
    """

    pairs: PairScores | None = None
    retrieval: np.ndarray | None = None
    translation: TranslationScores | None = None
    recovery: RecoveryScores | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TypeScores:
    """Predicted types of held-out cells.

    Parameters
    ----------
    true
        True type of each cell, shape (n_cells,).
    probabilities
        Probability of each class, shape (n_cells, n_classes).
    classes
        Names of the classes, in the order of the columns.
    """

    true: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ProteinScores:
    """Predicted surface proteins of held-out cells, both of shape (n_cells, n_proteins).

    Parameters
    ----------
    true
        log(1 + 10,000 x / depth) of the counts.
    predicted
        In any unit.
    """

    true: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class PredictedInputs:
    """Optional inputs that a method predicts for cells held out of its fit.

    Parameters
    ----------
    types, proteins
        Predictions and truth; ``None`` if there are none.
    missing
        ``labels`` or ``proteins`` → the reason why there are none, in one line.
    """

    types: TypeScores | None = None
    proteins: ProteinScores | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A metric with the facts that tables, reports and score keys need.

    Parameters
    ----------
    name
        Lower case, as in the keys of the scores: ``kmeans/ari``.
    kind
        Decides the arguments of the function.
    version
        Raised when the values change; finished fits are then scored again, not fitted.
    higher_is_better
        ``None`` for a description without a direction.
    bounds
        Smallest and largest possible value.
    summary
        One line for tables.
    reference
        Citation with DOI.
    function
        Returns a float, or a float and a dictionary of facts to record. Its docstring is the
        definition that ``bench metrics`` shows: first what it returns, under *Notes* its
        conventions, under *Raises* where it is not defined.
    scib_metrics
        How it differs from the function of the package scib-metrics; empty if that has none.
    without_types
        Whether the value does not depend on the types. It is then also computed for data without
        labels, with one type for all cells. Metrics of the kinds ``partition``, ``integration``,
        ``counts``, ``paired`` and ``predicted`` get no types.
    """

    name: str
    kind: Kind
    version: int
    higher_is_better: bool | None
    bounds: tuple[float, float]
    summary: str
    reference: str
    function: Callable[..., MetricResult]
    scib_metrics: str = ""
    without_types: bool = False
