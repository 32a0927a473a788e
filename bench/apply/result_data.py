"""The data of a fit's result: the user's counts and columns with all results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from bench.contract import cells_of, is_paired, select_cells

if TYPE_CHECKING:
    from bench.contract import Fit, Method

    from .result_keys import ResultKeys


def result_data(data: Any, prepared: Any) -> Any:
    """Return the cells that the method kept: a copy with counts, all features and all columns.

    For paired data, columns of the cells are also in ``obs`` of the ``MuData``.
    """
    cells = prepared.obs_names
    result = select_cells(data, data.obs_names.get_indexer(cells))
    if is_paired(result):
        columns = cells_of(data).obs
        for name in columns.columns:
            result.obs[name] = columns[name].reindex(cells)
    return result


def add_cells(
    result: Any, keys: ResultKeys, embedding: np.ndarray, clusters: dict[str, np.ndarray]
) -> None:
    """Add the embedding to ``obsm`` and clusterings to ``obs``."""
    result.obsm[keys.embedding] = np.asarray(embedding, dtype=np.float32)
    for name, labels in clusters.items():
        result.obs[keys.column(name)] = pd.Categorical(np.asarray(labels).astype(str))


def add_tables(result: Any, fit: Fit, prepared: Any, keys: ResultKeys) -> None:
    """Add tables of cells to ``obsm`` and of features to ``varm``, with NaN for left-out features.

    If a name is in use, the name of the fit is appended.
    """
    for name, table in fit.tables.items():
        if table.index.equals(prepared.obs_names):
            place = name if name not in result.obsm else keys.column(name)
            result.obsm[place] = table.copy()  # AnnData renames its index
        elif not is_paired(result) and table.index.equals(prepared.var_names):
            place = name if name not in result.varm else keys.column(name)
            # A file holds text with gaps only as a categorical.
            text = table.select_dtypes(object).columns
            result.varm[place] = table.astype(dict.fromkeys(text, "category")).reindex(
                result.var_names
            )


def imputed_data(method: Method, prepared: Any) -> AnnData | None:
    """Return the imputed values of the method's features, ``None`` if it does not impute.

    ``X`` holds the expected values. The layer ``binary`` marks entries that the method predicts as
    present. The layer ``mask`` is 0 for zeros that stay, 1 for observed entries, 2 for filled
    zeros.
    """
    if is_paired(prepared) or not hasattr(method, "impute"):
        return None
    imputed = AnnData(
        np.asarray(method.impute(prepared)), obs=pd.DataFrame(index=prepared.obs_names),
        var=pd.DataFrame(index=prepared.var_names),
    )  # fmt: skip
    if hasattr(method, "impute_binary"):
        imputed.layers["binary"] = method.impute_binary(prepared)
    if hasattr(method, "impute_mask"):
        imputed.layers["mask"] = method.impute_mask(prepared)
    return imputed
