"""Silhouette of the types that few batches share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import Metric, MetricResult, UndefinedMetric

if TYPE_CHECKING:
    import numpy as np


def isolated_silhouette(
    embedding: np.ndarray, true: Any, batch: Any, *, seed: int
) -> MetricResult:
    """Return the mean silhouette of the isolated types: those found in the fewest batches.

    The silhouette (b - a) / max(a, b) of ``silhouette_types``, a mean over the cells of each
    isolated type, then over these types (Luecken et al. 2022, isolated label silhouette).

    Notes
    -----
    If all types are found in the same number of batches, all are isolated. Above 10,000 cells it
    is computed on the sample of ``silhouette``; a type without sampled cells is left out. Facts:
    ``types``, the number of isolated types, and ``batches``, the number of batches in which each
    is found.

    Raises
    ------
    UndefinedMetric
        For one batch, for one type, or if all points are equal.
    """
    import numpy as np

    from ._contingency import contingency, label_codes
    from ._silhouettes import cell_silhouettes

    table = contingency(true, batch)
    if table.shape[1] < 2:
        raise UndefinedMetric("only one batch")
    n_batches = (table > 0).sum(axis=1)
    types = label_codes(true)
    widths, sample = cell_silhouettes(embedding, types, seed=seed)
    sampled = types[sample]
    means = [
        widths[sampled == number].mean()
        for number in np.flatnonzero(n_batches == n_batches.min())
        if (sampled == number).any()
    ]
    if not means:
        raise UndefinedMetric("no cell of an isolated type is in the sample")
    facts: dict[str, str | float] = {
        "types": float(len(means)), "batches": float(n_batches.min()),
    }  # fmt: skip
    return float(np.mean(means)), facts


METRIC = Metric(
    name="isolated_silhouette",
    kind="batch",
    version=1,
    higher_is_better=True,
    bounds=(-1.0, 1.0),
    summary="Mean silhouette of the types that are found in the fewest batches",
    reference="Luecken et al. 2022, doi:10.1038/s41592-021-01336-8",
    function=isolated_silhouette,
    scib_metrics="isolated_labels returns (s + 1) / 2, 0 to 1, of the same s, and takes no "
    "sample.",
)
