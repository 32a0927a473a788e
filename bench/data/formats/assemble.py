"""Counts, cells and features put together, with names made sure to be unique."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from anndata import AnnData

from bench.errors import DataError
from bench.messages import log_note

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp


def assemble(
    path: Path, counts: sp.csr_matrix, obs: pd.DataFrame, var: pd.DataFrame, *, hint: str
) -> AnnData:
    """Return counts (CSR, cells × features) with their tables.

    Feature names that occur more than once get a suffix, which is said. Raises ``DataError`` for
    names of cells that do; ``hint`` then says what to do.
    """
    twice = obs.index[obs.index.duplicated()].unique()
    if len(twice):
        raise DataError(
            f"{path}: {len(twice)} names of cells occur more than once (first '{twice[0]}'); "
            f"expected different names; {hint}."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are not unique, dealt with below
        adata = AnnData(counts, obs=obs, var=var)
    unique_features(path, adata)
    return adata


def unique_features(path: Path, adata: AnnData) -> None:
    """Make feature names unique by a suffix and say how many were not."""
    names = adata.var_names
    twice = names[names.duplicated()].unique()
    if len(twice):
        shown = ", ".join(f"'{name}'" for name in twice[:3]) + (", ..." if len(twice) > 3 else "")
        log_note(
            f"{path}: {len(twice)} feature names occur more than once ({shown}); the later ones "
            "got a suffix (-1, -2, ...)"
        )
        adata.var_names_make_unique()
