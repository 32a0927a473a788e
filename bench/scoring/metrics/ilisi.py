"""Mixing of batches in the neighbourhoods of the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import Metric, MetricResult

if TYPE_CHECKING:
    import numpy as np


def ilisi(embedding: np.ndarray, true: Any, batch: Any, *, seed: int) -> MetricResult:
    """Return the median over cells of (LISI - 1) / (B - 1), B the number of batches.

    LISI = 1 / Σ_b p_b², p_b the weight of batch b among the 89 nearest other cells under a kernel
    exp(-beta d) of perplexity 30 (Korsunsky et al. 2019 and their code); scaled to 0 … 1 as in
    scIB (Luecken et al. 2022).

    Notes
    -----
    With fewer than 90 cells all other cells are neighbours, with perplexity n / 3. Even perfect
    mixing stays below 1 (about 0.85 for three equal batches), as the neighbours are a sample. The
    types are not used: different composition of the batches lowers it. Above 50,000 cells it is
    the median over a sample of 10,000, drawn with the seed. Facts: ``batches``, ``cells`` (of a
    sample).

    Raises
    ------
    UndefinedMetric
        For one batch, for fewer than 10 cells, or if all points are equal.
    """
    from ._contingency import batch_codes
    from ._lisi import median_lisi

    batches = batch_codes(batch)
    n_batches = batches.max() + 1
    lisi, facts = median_lisi(embedding, batches, seed=seed)
    return (lisi - 1.0) / (n_batches - 1.0), facts | {"batches": float(n_batches)}


METRIC = Metric(
    name="ilisi",
    kind="batch",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Effective number of batches near a cell, scaled to 0 … 1",
    reference="Korsunsky et al. 2019, doi:10.1038/s41592-019-0619-0",
    function=ilisi,
    scib_metrics="Equal to ilisi_knn on exact neighbours; its Benchmarker searches them "
    "approximately.",
    without_types=True,
)
