"""Tables of clusters: their numbers of cells of each type, and their marker features."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd

from bench.reports.figures.figure_data import type_by_cluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

logger = logging.getLogger(__name__)
N_MARKERS = 100
"""Largest number of markers of a cluster."""
_TARGET_SUM = 1e4
_COLUMNS = {
    "group": "cluster", "names": "feature", "scores": "score",
    "logfoldchanges": "log2_fold_change", "pvals": "p_value", "pvals_adj": "p_value_adjusted",
    "pct_nz_group": "share_in", "pct_nz_reference": "share_outside",
}  # fmt: skip


def count_types(types: np.ndarray, clusters: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return clustering → table of numbers of cells, types × clusters.

    Clusters are ordered to put as many cells as possible on the diagonal. Cells without a type
    (empty text) are not counted; without any type the result is empty.
    """
    known = types != ""
    if not known.any():
        return {}
    return {
        name: type_by_cluster(pd.Series(types[known]), pd.Series(np.asarray(labels)[known]))
        for name, labels in clusters.items()
    }


def confusion_table(counts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one table of all clusterings: a row a clustering and type, a column a cluster."""
    return pd.concat(counts, names=["clustering", "type"]).astype("Int64")


def marker_table(counts: AnnData, clusters: Mapping[str, Any]) -> pd.DataFrame:
    """Return the features that are higher in each cluster than in all other cells.

    Scanpy's ``rank_genes_groups`` (t-test, p values by Benjamini and Hochberg) on counts that were
    divided by the total of their cell, multiplied by 10,000 and log-transformed (log1p). Clusters
    of one cell and clusterings with a single cluster have no markers.

    Parameters
    ----------
    counts
        Raw counts, cells × features.
    clusters
        Clustering → label of each cell.

    Returns
    -------
    DataFrame
        At most 100 rows a cluster, the highest score first: ``clustering``, ``cluster``,
        ``feature``, ``score``, ``log2_fold_change``, ``p_value``, ``p_value_adjusted``,
        ``share_in`` and ``share_outside`` (shares of cells with a count above zero).
    """
    # Numba reads the number of threads when it is loaded, so a fit sets it before.
    import scanpy as sc

    cells = anndata.AnnData(
        counts.X.astype(np.float32), obs=pd.DataFrame(index=counts.obs_names),
        var=pd.DataFrame(index=counts.var_names),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cells without counts
        sc.pp.normalize_total(cells, target_sum=_TARGET_SUM)
        sc.pp.log1p(cells)
        tables = {
            name: _rank(cells, pd.Series(np.asarray(labels).astype(str), cells.obs_names))
            for name, labels in clusters.items()
        }
    return pd.concat(tables, names=["clustering"]).reset_index("clustering")


def _rank(cells: AnnData, labels: pd.Series) -> pd.DataFrame:
    """Return the markers of one clustering."""
    import scanpy as sc

    sizes = labels.value_counts()
    groups = sorted(sizes.index[sizes > 1], key=lambda name: (len(name), name))
    if len(sizes) < 2 or not groups:
        return pd.DataFrame(columns=list(_COLUMNS.values()))
    cells.obs["cluster"] = labels.astype("category")
    sc.tl.rank_genes_groups(
        cells, "cluster", groups=groups, method="t-test", use_raw=False, pts=True,
        n_genes=min(N_MARKERS, cells.n_vars),
    )  # fmt: skip
    found = sc.get.rank_genes_groups_df(cells, groups)
    if "group" not in found:  # one group
        found.insert(0, "group", groups[0])
    found = found[found["scores"] > 0]
    return found.rename(columns=_COLUMNS)[list(_COLUMNS.values())]
