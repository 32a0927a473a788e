"""Whether the batches near a cell have the composition of the whole data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import Metric, MetricResult, UndefinedMetric

from ._conditions import require_distinct_points

if TYPE_CHECKING:
    import numpy as np

FEWEST, MOST = 10, 70
ALPHA = 0.05


def kbet(embedding: np.ndarray, true: Any, batch: Any, *, seed: int) -> MetricResult:
    """Return 1 - the share of cells whose neighbourhood has a different batch composition.

    The neighbourhood of a cell is the cell and its nearest others, k in all: a quarter of the mean
    size of a batch, within 10 … 70 as in scIB (Luecken et al. 2022). It is rejected if Pearson's
    χ² = Σ_b (n_b - k f_b)² / (k f_b), f_b the share of batch b in the data, has a p-value below
    0.05 with B - 1 degrees of freedom, B the number of batches (Büttner et al. 2019).

    Notes
    -----
    Every cell is tested, above 50,000 cells a sample of 10,000, drawn with the seed. Even under
    perfect mixing a few per cent of the cells are rejected. The types are not used: different
    composition of the batches lowers it. Facts: ``batches``, ``neighbours`` (k), ``cells`` (of a
    sample).

    Raises
    ------
    UndefinedMetric
        For one batch, for fewer than 10 cells, or if all points are equal.
    """
    import numpy as np
    from scipy.stats import chi2

    from bench.scoring.clustering import sample_facts, sampled_neighbors

    from ._contingency import batch_codes

    batches = batch_codes(batch)
    sizes = np.bincount(batches)
    if len(batches) < FEWEST:
        raise UndefinedMetric(f"fewer than {FEWEST} cells")
    require_distinct_points(embedding)
    k = min(max(FEWEST, int(sizes.mean() / 4)), MOST)
    cells, others, _ = sampled_neighbors(embedding, k - 1, seed=seed)
    near = batches[np.column_stack((cells, others))]
    expected = k * sizes / len(batches)
    statistic = sum(
        ((near == number).sum(axis=1) - expected[number]) ** 2 / expected[number]
        for number in range(len(sizes))
    )
    rejected = chi2.sf(statistic, len(sizes) - 1) < ALPHA
    accepted = 1.0 - float(np.mean(rejected))
    facts = sample_facts(cells, len(batches))
    return accepted, facts | {"batches": float(len(sizes)), "neighbours": float(k)}


METRIC = Metric(
    name="kbet",
    kind="batch",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Share of cells whose neighbourhood has the batch composition of the data",
    reference="Büttner et al. 2019, doi:10.1038/s41592-018-0254-1",
    function=kbet,
    scib_metrics="Equal to kbet on exact neighbours. Its Benchmarker uses kbet_per_label, within "
    "each type and on neighbours of a diffusion map, which unequal types do not lower.",
    without_types=True,
)
