"""Purity of types in the neighbourhoods of the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import Metric, MetricResult, UndefinedMetric

if TYPE_CHECKING:
    import numpy as np


def clisi(embedding: np.ndarray, true: Any, *, seed: int) -> MetricResult:
    """Return the median over cells of (K - LISI) / (K - 1), K the number of types.

    LISI = 1 / Σ_t p_t², p_t the weight of type t among the 89 nearest other cells under a kernel
    exp(-beta d) of perplexity 30 (Korsunsky et al. 2019 and their code); scaled to 0 … 1 as in
    scIB (Luecken et al. 2022). 1: the cells near a cell are all of one type.

    Notes
    -----
    With fewer than 90 cells all other cells are neighbours, with perplexity n / 3. The median
    hides small types, and with many types every sensible embedding is near 1: compare the third
    digit, or ``knn_purity``. Above 50,000 cells it is the median over a sample of 10,000, drawn
    with the seed. Facts: ``types``, ``cells`` (of a sample).

    Raises
    ------
    UndefinedMetric
        For one type, for fewer than 10 cells, or if all points are equal.
    """
    from ._contingency import label_codes
    from ._lisi import median_lisi

    types = label_codes(true)
    n_types = types.max() + 1
    if n_types < 2:
        raise UndefinedMetric("all cells have the same true type")
    lisi, facts = median_lisi(embedding, types, seed=seed)
    return (n_types - lisi) / (n_types - 1.0), facts | {"types": float(n_types)}


METRIC = Metric(
    name="clisi",
    kind="embedding",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Effective number of types near a cell, scaled: 1 for a single type",
    reference="Korsunsky et al. 2019, doi:10.1038/s41592-019-0619-0",
    function=clisi,
    scib_metrics="Equal to clisi_knn on exact neighbours; its Benchmarker searches them "
    "approximately.",
)
