"""Highly variable features from statistics of the features, as scanpy selects them.

Written for matrices that are read in blocks; tests compare with
``scanpy.pp.highly_variable_genes``. Sources: Satija et al. 2015 (``seurat``), Stuart et al. 2019
(``seurat_v3``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.errors import DataError, UsageError

from .moments import FeatureSums

if TYPE_CHECKING:
    import scipy.sparse as sp

N_BINS = 20
SPAN = 0.3
"""Share of the features in each local fit of ``seurat_v3``."""

_MIN_POINTS = 4

Counts = Callable[[], Iterator[tuple["sp.csr_matrix", "np.ndarray"]]]
"""Starts another pass over (block of counts, group number of each cell)."""


def seurat(sums: FeatureSums, n_top: int, *, by_group: bool) -> np.ndarray:
    """Return a mask of features by dispersion within bins of the mean.

    ``sums`` are of the depth-normalised values, not log-transformed. The ``n_top`` features of
    highest dispersion are selected, with all ties of the last one. With ``by_group`` features are
    ranked by the number of groups that select them, then by mean dispersion; groups of a single
    cell have no dispersion and are ignored.
    """
    means, variances = sums.mean_and_variance()
    if not by_group:
        normalized = _dispersions(means[0], variances[0])
        chosen = _highest(normalized, n_top)
        if not chosen.any():
            raise DataError(
                "no feature varies between the cells: none can be selected.", code="no_variance"
            )
        return chosen
    means, variances = means[sums.cells > 1], variances[sums.cells > 1]
    n_groups = np.zeros(means.shape[1], dtype=np.int64)
    per_group = np.zeros(means.shape)
    for mean, variance, row in zip(means, variances, per_group, strict=True):
        detected = mean > 0
        row[detected] = _dispersions(mean[detected], variance[detected])
        n_groups[detected] += _highest(row[detected], n_top)
    dispersion = pd.DataFrame(per_group).mean(axis=0)
    table = pd.DataFrame({"groups": n_groups, "dispersion": dispersion})
    order = table.sort_values(["groups", "dispersion"], ascending=False, na_position="last").index
    return np.isin(np.arange(len(n_groups)), order[:n_top])


def _dispersions(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return log(variance / mean), standardised within bins of log(1 + mean)."""
    mean = np.where(mean == 0, 1e-12, mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = variance / mean
        dispersion = np.log(np.where(ratio == 0, np.nan, ratio))
    table = pd.DataFrame({"dispersion": dispersion})
    bins = table.groupby(pd.cut(np.log1p(mean), bins=N_BINS), observed=True)["dispersion"]
    center, spread = bins.transform("mean"), bins.transform("std")
    # A feature alone in its bin gets the value one.
    alone = spread.isna()
    center, spread = center.mask(alone, 0.0), spread.mask(alone, center)
    return ((table["dispersion"] - center) / spread).to_numpy()


def _highest(values: np.ndarray, n_top: int) -> np.ndarray:
    """Return a mask of the ``n_top`` highest values and ties of the last, never NaN."""
    ascending = np.sort(values[~np.isnan(values)])
    if not len(ascending):
        return np.zeros(len(values), dtype=bool)
    return np.nan_to_num(values, nan=-np.inf) >= ascending[-min(n_top, len(ascending))]


def seurat_v3(sums: FeatureSums, counts: Counts, n_top: int) -> np.ndarray:
    """Return a mask of the ``n_top`` features with the highest standardised variance.

    ``sums`` are of the counts; ``counts`` makes another pass for the variance after clipping. With
    several groups features are ranked by median rank, then by the number of groups that rank them
    among the ``n_top``; groups of a single cell have no variance and are ignored. Raises
    ``UsageError`` if scikit-misc is missing, ``DataError`` if the curve cannot be fitted.
    """
    groups = np.flatnonzero(sums.cells > 1)
    if not len(groups):
        raise DataError(
            "flavor='seurat_v3' needs at least two cells (of one batch).", code="no_variance"
        )
    means, variances = sums.mean_and_variance()
    spread = np.ones_like(means)
    for group in groups:
        spread[group] = _expected_spread(means[group], variances[group])
    cells = sums.cells[:, None]
    clipped = _clipped_sums(counts, spread * np.sqrt(cells) + means)
    with np.errstate(divide="ignore", invalid="ignore"):
        normalized = (1 / ((cells - 1) * spread**2)) * (
            cells * means**2 + clipped.squares - 2 * clipped.sum * means
        )
    ranks = np.argsort(np.argsort(-normalized[groups], axis=1), axis=1).astype(np.float32)
    within = np.sum(ranks < n_top, axis=0)
    ranks[ranks >= n_top] = np.nan
    median = np.ma.median(np.ma.masked_invalid(ranks), axis=0).filled(np.nan)
    table = pd.DataFrame({"rank": median, "within": within})
    order = table.sort_values(["rank", "within"], ascending=[True, False], na_position="last")
    return np.isin(np.arange(len(median)), order.index[:n_top])


def _expected_spread(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the expected standard deviation, by loess of log variance on log mean."""
    try:
        from skmisc.loess import loess
    except ImportError:
        raise UsageError(
            "flavor='seurat_v3' needs the package scikit-misc, which is not installed: "
            "pip install scikit-misc, or choose flavor='seurat'.",
            code="missing_package",
        ) from None
    varies = variance > 0
    expected = np.zeros(len(mean))
    try:
        # With fewer the library does not raise but crashes.
        if np.count_nonzero(varies) < _MIN_POINTS:
            raise ValueError(b"too few")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = loess(np.log10(mean[varies]), np.log10(variance[varies]), span=SPAN, degree=2)
            model.fit()
            expected[varies] = model.outputs.fitted_values
    except ValueError as error:
        reason = error.args[0] if error.args else ""
        reason = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise DataError(
            f"flavor='seurat_v3' cannot fit its curve to {np.count_nonzero(varies)} features that "
            f"vary ({reason.strip(' .')}); choose flavor='seurat'.",
            code="no_variance",
        ) from None
    return np.sqrt(10**expected)


def _clipped_sums(counts: Counts, highest: np.ndarray) -> FeatureSums:
    """Return the sums of the counts after clipping at ``highest``, (groups, features)."""
    sums = FeatureSums(*highest.shape)
    for block, groups in counts():
        rows = np.repeat(groups, np.diff(block.indptr))
        sums.add(block, np.minimum(block.data, highest[rows, block.indices]), groups)
    return sums
