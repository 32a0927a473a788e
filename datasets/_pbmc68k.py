"""Counts recovered from the blood cells that scanpy ships."""

from __future__ import annotations

import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

from bench.errors import DataError

_TOLERANCE = 0.1


def recover_counts(shape: tuple[int, int]) -> AnnData:
    """Return whole counts (CSR float32, cells × genes) with ``obs["bulk_labels"]``.

    Raises ``DataError`` if scanpy ships other data.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = sc.datasets.pbmc68k_reduced()
    release = f"scanpy {version('scanpy')}"
    source_shape = source.raw.shape if source.raw is not None else (0, 0)
    if source_shape != shape:
        raise DataError(
            f"pbmc68k: {release} ships {source_shape[0]} × {source_shape[1]} values (expected "
            f"{shape[0]} × {shape[1]}); install the pinned version.",
            code="size_mismatch",
        )
    values = sp.csr_matrix(source.raw.X, dtype=np.float64)
    totals = source.obs["n_counts"].to_numpy(dtype=np.float64)
    counts = sp.csr_matrix(sp.diags(totals / 1e4) @ values.expm1())
    deviation = float(np.abs(counts.data - np.rint(counts.data)).max())
    if not deviation <= _TOLERANCE:  # also true of NaN
        raise DataError(
            f"pbmc68k: counts recovered from {release} are off whole numbers by "
            f"{deviation:.2f} (expected below {_TOLERANCE}); install the pinned version.",
            code="not_counts",
        )
    counts.data = np.rint(counts.data).astype(np.float32)
    counts = counts.astype(np.float32)
    counts.eliminate_zeros()
    labels = source.obs["bulk_labels"].astype(str)
    return AnnData(
        counts,
        obs=pd.DataFrame({"bulk_labels": labels}, index=source.obs_names),
        var=pd.DataFrame(index=source.raw.var_names),
    )
