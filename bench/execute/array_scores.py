"""``bench.score``: scores of any embedding."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.errors import DataError
from bench.scoring import scorer
from bench.scoring.aggregates import aggregate_scores
from bench.scoring.holdout import VisibleLabels

from .rescore import choose_metrics

if TYPE_CHECKING:
    from bench.scoring.scorer import Scores

logger = logging.getLogger(__name__)


def score(
    embedding: Any,
    labels: Any,
    batch: Any = None,
    metrics: str | Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> pd.Series:
    """Score an embedding against true types, as a fit of ``bench run`` is scored.

    Parameters
    ----------
    embedding
        Array or table, shape (n_cells, n_dimensions), such as ``adata.obsm["X_pca"]``.
    labels
        True type of each cell, shape (n_cells,), such as ``adata.obs["cell_type"]``; ``None``
        gives the scores that need no types.
    batch
        Batch of each cell, shape (n_cells,); without it there are no scores of batches.
    metrics
        Names or globs of metrics, such as ``"ari,nmi"`` or ``["ari", "nmi"]``. Default: all.
    seed
        Seed of clusterings and samples.

    Returns
    -------
    Series
        Value by score, such as ``kmeans/ari``; NaN for an undefined score, with the reasons in
        ``attrs["missing"]``. ``bench.list_metrics()`` describes the metrics.

    Raises
    ------
    UsageError
        If a name or glob in ``metrics`` matches no metric.
    DataError
        If the embedding is not finite, if numbers of cells differ, or if some cells have no label.
    """
    text = metrics if metrics is None or isinstance(metrics, str) else ",".join(metrics)
    cells = embedding.index if isinstance(embedding, pd.DataFrame) else None
    types, batches = _aligned("labels", labels, cells), _aligned("batch", batch, cells)
    series = score_array(embedding, types, batches, text, seed=seed, where="bench.score")
    if series.attrs["missing"]:
        names = ", ".join(series.attrs["missing"])
        logger.info(f"undefined: {names}; the reasons are in attrs['missing']")
    return series


def score_array(
    embedding: Any, types: Any, batch: Any, metrics: str | None, *, seed: int = 0, where: str
) -> pd.Series:
    """Return the series of :func:`score`; error messages begin with ``where``."""
    chosen = choose_metrics(metrics, ())
    try:
        scores = scorer.score(
            embedding, VisibleLabels(types), seed=seed, batch=batch, chosen=chosen
        )
    except ValueError as error:
        raise DataError(f"{where}: {error}.", code="not_scorable") from None
    return _as_series(scores, with_means=metrics is None or metrics.strip() == "all")


def _as_series(scores: Scores, *, with_means: bool) -> pd.Series:
    """Return value by score; NaN for undefined scores, with the reasons in ``attrs``."""
    values, reasons = scores.values, scores.missing
    if with_means:
        means, without = aggregate_scores(values, reasons)
        values, reasons = values | means, reasons | without
    reasons = {name: reason for name, reason in reasons.items() if name not in values}
    series = pd.Series(values | dict.fromkeys(reasons, np.nan), name="value", dtype=float)
    series.attrs["missing"] = reasons
    return series


def _aligned(name: str, values: Any, cells: pd.Index | None) -> Any:
    """Return values in the order of ``cells``; values without names of cells are unchanged."""
    if cells is None or not isinstance(values, pd.Series) or values.index.equals(cells):
        return values
    missing = cells.difference(values.index)
    if len(missing) or not values.index.is_unique:
        raise DataError(
            f"bench.score: {name} has other names of cells than the embedding "
            f"({len(missing)} of {len(cells)} are missing, or some occur twice); give "
            f"{name}.to_numpy() if the order is the same.",
            code="other_cells",
        )
    return values.reindex(cells)
