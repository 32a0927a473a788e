"""Reduction of the share of variance that the batches explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import IntegrationTask, Metric, MetricResult, UndefinedMetric

from ._conditions import require_distinct_points

if TYPE_CHECKING:
    import numpy as np


def pcr_comparison(embedding: np.ndarray, task: IntegrationTask, *, seed: int) -> MetricResult:
    """Return (before - after) / before of the share of variance that the batches explain.

    The share is that of principal component regression, Σ_i Var(PC_i) R²(PC_i | batch) / Σ_i
    Var(PC_i) (Büttner et al. 2019; scaled as in Luecken et al. 2022): before, of the first 50
    components of the log-normalised counts; after, of all components of the embedding. 1: the
    batches explain nothing after; 0: as much as before, or more.

    Notes
    -----
    The share is computed as variance between batches / total variance, which is equal. Components
    before are of 10,000 counts a cell, log(1 + x), 2,000 variable genes, not scaled; for chromatin
    of binarised peaks in 1 % to 90 % of the cells, normalised in the same way. If the batches
    explain little before (fact ``before``), the score is mostly noise. Facts: ``before``,
    ``after``.

    Raises
    ------
    UndefinedMetric
        For one batch, if all points are equal, if the batches explain nothing before, or without
        the counts (paired data, ``bench fit`` and ``bench transform``).
    """
    from ._contingency import batch_codes
    from ._explained_share import explained_share

    batches = batch_codes(task.batch)
    if task.unintegrated is None:
        raise UndefinedMetric(task.no_unintegrated)
    require_distinct_points(embedding)
    before = explained_share(task.unintegrated, batches)
    if not before > 0:
        raise UndefinedMetric("the batches explain nothing of the variance before the fit")
    after = explained_share(embedding, batches)
    return max(0.0, (before - after) / before), {"before": before, "after": after}


METRIC = Metric(
    name="pcr_comparison",
    kind="integration",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Relative reduction of the share of variance that the batches explain",
    reference="Büttner et al. 2019, doi:10.1038/s41592-018-0254-1; "
    "Luecken et al. 2022, doi:10.1038/s41592-021-01336-8",
    function=pcr_comparison,
    scib_metrics="Equal to pcr_comparison with categorical=True for equal data before; there the "
    "user gives them.",
)
