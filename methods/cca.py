"""Canonical correlation of genes and peaks: the linear baseline for matching and translation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from bench.contract import Context, Fit, Search

from ._paired_baseline import PairedBaseline, unit_variance

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from anndata import AnnData
    from mudata import MuData


class Canonical(NamedTuple):
    """Pairs of directions of two blocks whose scores correlate most, the strongest first."""

    first: np.ndarray
    """Columns of the first block × pairs; its variates have unit variance (without a ridge)."""
    second: np.ndarray
    correlation: np.ndarray
    """Of each pair, descending, 0 to 1."""


def canonical(first: np.ndarray, second: np.ndarray, n: int, *, ridge: float) -> Canonical:
    """Return at most ``n`` canonical pairs of two centred blocks, cells × columns.

    Singular vectors of Cxx^-1/2 Cxy Cyy^-1/2 (Hotelling 1936), where ``ridge`` times the mean
    variance of a block is added to its variances (Vinod 1976, doi:10.1016/0304-4076(76)90010-5).
    """
    import numpy as np

    whiten = [_inverse_root(block.T @ block / len(block), ridge) for block in (first, second)]
    cross = whiten[0] @ (first.T @ second / len(first)) @ whiten[1]
    left, values, right = np.linalg.svd(cross, full_matrices=False)
    # A singular vector has no sign of its own: the largest entry of the first one is positive.
    peak = np.abs(left).argmax(axis=0)
    sign = np.where(left[peak, np.arange(len(values))] < 0, -1.0, 1.0)
    return Canonical(
        (whiten[0] @ left * sign)[:, :n],
        (whiten[1] @ right.T * sign)[:, :n],
        np.clip(values[:n], 0.0, 1.0),
    )


def _inverse_root(covariance: np.ndarray, ridge: float) -> np.ndarray:
    """Return (C + ridge · mean variance · I)^-1/2; directions without variance are left out."""
    import numpy as np

    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0.0) + ridge * float(np.trace(covariance)) / len(covariance)
    kept = values > 1e-10 * max(values.max(), 1e-300)
    return (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T


def regression(scores: np.ndarray, detected: np.ndarray, ridge: float) -> np.ndarray:
    """Return the coefficients of a ridge regression on centred scores, columns × genes.

    ``detected`` (cells × genes, dense or sparse) need not be centred: the columns of ``scores``
    sum to zero. ``ridge`` is in units of the mean variance of a column.
    """
    import numpy as np

    gram = scores.T @ scores
    gram[np.diag_indices_from(gram)] += ridge * np.trace(gram) / len(gram) + 1e-12
    return np.linalg.solve(gram, np.asarray((detected.T @ scores).T))


class CCA(PairedBaseline):
    """Canonical correlation analysis of the scores of ``pca`` (genes) and ``lsi`` (peaks).

    ``match``: cosine of a cell's RNA and another's chromatin in the space of the canonical
    variates, each weighted by the root of its correlation, so that a product of two weighted
    variates is the covariance expected of a true pair; unweighted, chance correlations count as
    much as real ones. ``transform``: the mean of both variates. ``translate``: linear regression
    of the detection of each gene on the scores of the peaks (and, to complete a profile, of the
    genes), on top of its detection rate. Of ridges of 0.001 to 10, 1 matched best and 10
    translated best on three sets (``scicar_a549``, ``pairedtag``, ``sim_multiome``).
    """

    name = "cca"
    summary = "canonical correlation of PCA of genes and LSI of peaks"
    reference = (
        "Hotelling 1936, Biometrika 28:321, doi 10.1093/biomet/28.3-4.321; for cells: Stuart et "
        "al. 2019, Cell 177:1888, doi 10.1016/j.cell.2019.05.031"
    )

    class Params(PairedBaseline.Params):
        """Parameters of the analysis."""

        n_canonical: Annotated[int, Search(5, 50, log=True)] = Field(
            20, ge=1, description="pairs of canonical variates kept"
        )
        ridge: Annotated[float, Search(1e-3, 10.0, log=True)] = Field(
            1.0, ge=0, description="added to the variances, in units of their mean"
        )
        translation_ridge: Annotated[float, Search(0.1, 100.0, log=True)] = Field(
            10.0, ge=0, description="the same for the regressions of genes"
        )
        weighted: bool = Field(
            True, description="weight variates by the root of their correlation"
        )

    params: Params

    def fit(self, data: MuData, context: Context) -> Fit:
        """Return the mean of the two weighted variates of each cell, (cells, n_canonical)."""
        import numpy as np
        import pandas as pd

        self._halves = self.new_halves()
        rna, atac, n_parameters = self._halves.fit(data, context)
        self._state = {
            "rna_mean": rna.mean(axis=0, dtype=np.float64),
            "atac_mean": atac.mean(axis=0, dtype=np.float64),
            "rna_scale": np.asarray(unit_variance(rna)),
            "atac_scale": np.asarray(unit_variance(atac)),
        }
        blocks = self._scaled("rna", rna), self._scaled("atac", atac)
        found = canonical(*blocks, self.params.n_canonical, ridge=self.params.ridge)
        weights = np.sqrt(found.correlation) if self.params.weighted else 1.0
        ridge = self.params.translation_ridge
        detected = (data["rna"].layers["counts"] > 0).astype(np.float64)
        self._state |= {
            "rna_map": found.first * weights,
            "atac_map": found.second * weights,
            "rate": np.asarray(detected.mean(axis=0)).ravel(),
            "from_atac": regression(blocks[1], detected, ridge),
            "from_both": regression(np.hstack(blocks), detected, ridge),
        }
        names = [f"CC{number}" for number in range(1, len(found.correlation) + 1)]
        return Fit(
            self._mean(*blocks),
            tables={"correlations": pd.DataFrame({"correlation": found.correlation}, names)},
            n_parameters=n_parameters + sum(one.size for one in self._state.values()),
            notes={"largest correlation in training": f"{found.correlation[0]:.3f}"},
        )

    def _scaled(self, part: str, scores: np.ndarray) -> np.ndarray:
        """Return scores centred on the training cells, with a total variance of one there."""
        import numpy as np

        centred = np.asarray(scores, dtype=np.float64) - self._state[f"{part}_mean"]
        return centred * self._state[f"{part}_scale"]

    def _mean(self, rna: np.ndarray, atac: np.ndarray) -> np.ndarray:
        import numpy as np

        both = rna @ self._state["rna_map"] + atac @ self._state["atac_map"]
        return (both / 2).astype(np.float32)

    def transform(self, data: MuData) -> np.ndarray:
        """Return the embedding of new cells, prepared alike, (cells, n_canonical)."""
        rna, atac = self._halves.transform(data)
        return self._mean(self._scaled("rna", rna), self._scaled("atac", atac))

    def match(self, data: MuData, rna_cells: np.ndarray, atac_cells: np.ndarray) -> np.ndarray:
        """Return the cosine of RNA ``rna_cells[i]`` and chromatin ``atac_cells[i]``, (pairs,)."""
        from sklearn.preprocessing import normalize

        rna, atac = self._halves.transform(data)
        first = normalize(self._scaled("rna", rna) @ self._state["rna_map"])
        second = normalize(self._scaled("atac", atac) @ self._state["atac_map"])
        found: np.ndarray = (first[rna_cells] * second[atac_cells]).sum(axis=1)
        return found

    def translate(self, data: AnnData, rna: AnnData | None = None) -> np.ndarray:
        """Return the expected detection of each gene, not cut to 0 … 1, (cells, genes)."""
        import numpy as np

        scores = self._scaled("atac", self._halves.atac.transform(data))
        if rna is None:
            return np.asarray(self._state["rate"] + scores @ self._state["from_atac"])
        genes = self._scaled("rna", self._halves.rna.transform(rna))
        both = np.hstack([genes, scores])
        return np.asarray(self._state["rate"] + both @ self._state["from_both"])

    def save(self, path: Path) -> None:
        """Write both halves and the maps between them into the folder ``path``."""
        import numpy as np

        self._halves.save(path)
        np.savez(path / "cca.npz", **self._state)

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        import numpy as np

        self._halves = self.new_halves()
        self._halves.load(path)
        with np.load(path / "cca.npz") as kept:
            self._state = {name: kept[name] for name in kept.files}
