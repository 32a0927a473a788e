"""What a fit is worth without any label: counts it has not seen, and the same clusters again.

Data thinning (Neufeld et al. 2024, JMLR 25:57): a binomial part of every count is held out; for
Poisson counts both parts are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from bench.errors import DataError
from bench.seeds import derive_seed


@dataclass(frozen=True)
class Thinned:
    """Data without the counts that are held out."""

    data: AnnData
    held_out: sp.csr_matrix
    """Counts, cells × genes."""


def thin_counts(data: AnnData, share: float, seed: int, *, owner: str) -> Thinned:
    """Hold out a binomial ``share`` of the counts; log values are made anew of what is left.

    ``data`` has sparse log-normalised ``X``. Raises ``DataError`` if counts are not whole.
    """
    counts, values = sp.csr_matrix(data.layers["counts"]), sp.csr_matrix(data.X)
    if (counts.data != np.rint(counts.data)).any():
        raise DataError(
            f"{owner}: held_out needs whole counts, but there are others such as "
            f"{counts.data[counts.data != np.rint(counts.data)][0]:g}; use held_out=0.",
            code="not_counts",
        )
    rng = np.random.default_rng(derive_seed(seed, "held-out counts"))
    rest = counts.copy()
    rest.data = rng.binomial(counts.data.astype(np.int64), 1.0 - share).astype(np.float32)
    held_out = sp.csr_matrix(counts - rest)
    # The factor of a cell's normalisation, which knows its other genes, too.
    factor = _row_sums(values.expm1()) / np.maximum(_row_sums(counts), 1.0)
    thinned = sp.csr_matrix((sp.diags(factor / (1.0 - share)) @ rest).log1p(), dtype=np.float32)
    for one in (rest, held_out, thinned):
        one.eliminate_zeros()
    found = AnnData(thinned, obs=data.obs.copy(), var=data.var.copy())
    found.layers["counts"] = rest
    return Thinned(found, held_out)


def held_out_loss(expected: np.ndarray, held_out: sp.csr_matrix) -> float:
    """Return the nats of a held-out count under each cell's expected proportions of genes."""
    totals = np.maximum(expected.sum(axis=1, dtype=np.float64), 1e-12)
    found = held_out.tocoo()
    share = np.maximum(expected[found.row, found.col] / totals[found.row], 1e-12)
    return float(-(found.data * np.log(share)).sum() / max(found.data.sum(), 1.0))


def _row_sums(matrix: sp.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
