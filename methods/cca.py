"""Canonical correlation of genes and peaks: the linear baseline for matching and translation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import Context, Fit, Search

from ._arrays import load_arrays, save_arrays
from ._paired_baseline import PairedBaseline

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from anndata import AnnData
    from mudata import MuData


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
            20, ge=1, description="number of pairs of canonical variates"
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
        from ._canonical_maps import CanonicalMaps

        self._blocks = self.pca_and_lsi()
        rna, atac, n_parameters = self._blocks.fit(data, context)
        self._maps = CanonicalMaps.fit(rna, atac, data["rna"].layers["counts"], self.params)
        table = self._maps.correlation_table()
        return Fit(
            self._maps.embed(rna, atac),
            tables={"correlations": table},
            n_parameters=n_parameters + self._maps.n_parameters,
            notes={"largest correlation in training": f"{table['correlation'].iloc[0]:.3f}"},
        )

    def transform(self, data: MuData) -> np.ndarray:
        """Return the embedding of new cells, (cells, n_canonical)."""
        return self._maps.embed(*self._blocks.transform(data))

    def match(self, data: MuData, rna_cells: np.ndarray, atac_cells: np.ndarray) -> np.ndarray:
        """Return the cosine of RNA ``rna_cells[i]`` and chromatin ``atac_cells[i]``, (pairs,)."""
        return self._maps.match(*self._blocks.transform(data), rna_cells, atac_cells)

    def translate(self, data: AnnData, rna: AnnData | None = None) -> np.ndarray:
        """Return the expected detection of each gene, not cut to 0 … 1, (cells, genes)."""
        genes = None if rna is None else self._blocks.rna.transform(rna)
        return self._maps.translate(self._blocks.atac.transform(data), genes)

    def save(self, path: Path) -> None:
        """Write the fitted state into the folder ``path``."""
        self._blocks.save(path)
        save_arrays(path / "cca.npz", self._maps.arrays)

    def load(self, path: Path) -> None:
        """Read the fitted state from the folder ``path``."""
        from ._canonical_maps import CanonicalMaps

        self._blocks = self.pca_and_lsi()
        self._blocks.load(path)
        self._maps = CanonicalMaps(load_arrays(path / "cca.npz"))
