"""The data of a fit's result: the user's counts and columns with all that the fit gave."""

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
    """Return a copy of the cells that the method kept: counts in ``X``, all features, all columns.

    Paired data get the columns of their cells on top.
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
    """Add tables of cells to ``obsm`` and tables of features to ``varm``, NaN for those left out.

    A name that is taken ends like the other names of the fit.
    """
    for name, table in fit.tables.items():
        if table.index.equals(prepared.obs_names):
            place = name if name not in result.obsm else keys.column(name)
            result.obsm[place] = table.copy()  # AnnData renames its index
        elif not is_paired(result) and table.index.equals(prepared.var_names):
            place = name if name not in result.varm else keys.column(name)
            result.varm[place] = table.reindex(result.var_names)


def imputed_data(method: Method, prepared: Any) -> AnnData | None:
    """Return the imputed values of the method's features, ``None`` without any.

    ``X`` holds the expected values, the layer ``binary`` what the method takes for present, the
    layer ``mask`` 0 for zeros that stay, 1 for observed entries, 2 for zeros that were filled.
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
