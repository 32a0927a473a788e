"""AnnData of counts and tables, with unique names."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from anndata import AnnData

from bench.errors import DataError
from bench.messages import log_note, quote_names

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp


def build_anndata(
    path: Path, counts: sp.csr_matrix, obs: pd.DataFrame, var: pd.DataFrame, *, hint: str
) -> AnnData:
    """Return counts (CSR, cells × features) with their tables; feature names become unique.

    Raises ``DataError`` for cell names that occur twice; ``hint`` is the fix in its message.
    """
    duplicates = obs.index[obs.index.duplicated()].unique()
    if len(duplicates):
        raise DataError(
            f"{path}: {len(duplicates)} names of cells occur more than once (first "
            f"'{duplicates[0]}'); expected different names; {hint}.",
            code="duplicate_names",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata warns of feature names that are not unique
        adata = AnnData(counts, obs=obs, var=var)
    make_features_unique(path, adata)
    return adata


def make_features_unique(path: Path, adata: AnnData) -> None:
    """Make feature names unique by a suffix; a note counts the duplicates."""
    names = adata.var_names
    duplicates = names[names.duplicated()].unique()
    if len(duplicates):
        log_note(
            f"{path}: {len(duplicates)} feature names occur more than once "
            f"({quote_names(list(duplicates))}); the later ones got a suffix (-1, -2, ...)"
        )
        adata.var_names_make_unique()
