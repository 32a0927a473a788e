"""Counts held out by data thinning, for a score without labels.

A binomial part of every count is held out. For Poisson counts both parts are independent. Source:
Neufeld et al. 2024, JMLR 25:57.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from bench.errors import DataError
from bench.seeds import derive_seed


def thin_counts(
    data: AnnData, share: float, seed: int, *, owner: str
) -> tuple[AnnData, sp.csr_matrix]:
    """Return data without a binomial ``share`` of the counts, and these counts, cells × genes.

    ``data.X`` is sparse and log-normalised. Raises ``DataError`` if counts are not whole.
    """
    counts, values = sp.csr_matrix(data.layers["counts"]), sp.csr_matrix(data.X)
    if (counts.data != np.rint(counts.data)).any():
        raise DataError(
            f"{owner}: held_out needs whole counts, but some are not, such as "
            f"{counts.data[counts.data != np.rint(counts.data)][0]:g}; use held_out=0.",
            code="not_counts",
        )
    rng = np.random.default_rng(derive_seed(seed, "held-out counts"))
    rest = counts.copy()
    rest.data = rng.binomial(counts.data.astype(np.int64), 1.0 - share).astype(np.float32)
    held_out = sp.csr_matrix(counts - rest)
    # The factor of a cell's normalisation, which depends also on genes that are not in the data.
    factor = _row_sums(values.expm1()) / np.maximum(_row_sums(counts), 1.0)
    logs = sp.csr_matrix((sp.diags(factor / (1.0 - share)) @ rest).log1p(), dtype=np.float32)
    for matrix in (rest, held_out, logs):
        matrix.eliminate_zeros()
    thinned = AnnData(logs, obs=data.obs.copy(), var=data.var.copy())
    thinned.layers["counts"] = rest
    return thinned, held_out


def held_out_loss(expected: np.ndarray, held_out: sp.csr_matrix) -> float:
    """Return the mean -log probability of a held-out count, in nats.

    ``expected``: cells × genes; the probabilities are the proportions of each cell.
    """
    totals = np.maximum(expected.sum(axis=1, dtype=np.float64), 1e-12)
    entries = held_out.tocoo()
    share = np.maximum(expected[entries.row, entries.col] / totals[entries.row], 1e-12)
    return float(-(entries.data * np.log(share)).sum() / max(entries.data.sum(), 1.0))


def _row_sums(matrix: sp.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
