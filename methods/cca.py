"""Canonical correlation of genes and peaks: the linear baseline for matching and translation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import Context, Fit, Search

from ._paired_baseline import PairedProjection

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from mudata import MuData

    from ._canonical_maps import CanonicalMaps


class CCA(PairedProjection):
    """Canonical correlation analysis of scores of ``pca`` (genes) and ``lsi`` (peaks).

    ``match``: cosine of canonical variates, each weighted by the root of its correlation, so that
    chance correlations count less. ``transform``: mean of both variates. ``translate``: linear
    regression of detection on scores of peaks (and of genes, to complete a profile). Of ridges
    from 0.001 to 10, 1 matched best and 10 translated best on three sets (``scicar_a549``,
    ``pairedtag``, ``sim_multiome``).
    """

    name = "cca"
    summary = "canonical correlation of PCA of genes and LSI of peaks"
    reference = (
        "Hotelling 1936, Biometrika 28:321, doi 10.1093/biomet/28.3-4.321; for cells: Stuart et "
        "al. 2019, Cell 177:1888, doi 10.1016/j.cell.2019.05.031"
    )

    class Params(PairedProjection.Params):
        """Parameters of the analysis."""

        n_canonical: Annotated[int, Search(5, 50, log=True)] = Field(
            20, ge=1, description="number of pairs of canonical variates"
        )
        ridge: Annotated[float, Search(1e-3, 10.0, log=True)] = Field(
            1.0, ge=0, description="added to the variances, in units of the mean variance"
        )
        translation_ridge: Annotated[float, Search(0.1, 100.0, log=True)] = Field(
            10.0, ge=0, description="ridge of translate, in units of the mean variance"
        )
        weighted: bool = Field(
            True, description="weight variates by the root of their correlation"
        )

    params: Params

    def fit(self, data: MuData, context: Context) -> Fit:
        """Return the mean of the two weighted variates of each cell, (cells, n_canonical)."""
        from ._canonical_maps import CanonicalMaps

        rna, atac, n_parameters = self.fit_parts(data, context)
        maps = CanonicalMaps.fit(rna, atac, data["rna"].layers["counts"], self.params)
        self._arrays = maps.arrays
        table = maps.correlation_table()
        return Fit(
            maps.embed(rna, atac),
            tables={"correlations": table},
            n_parameters=n_parameters + maps.n_parameters,
            notes={"largest correlation in training": f"{table['correlation'].iloc[0]:.3f}"},
        )

    @property
    def maps(self) -> CanonicalMaps:
        """The fitted maps of both parts to canonical variates."""
        from ._canonical_maps import CanonicalMaps

        return CanonicalMaps(self._arrays)

    def transform(self, data: MuData) -> np.ndarray:
        return self.maps.embed(*self.transform_parts(data))

    def match(self, data: MuData, rna_cells: np.ndarray, atac_cells: np.ndarray) -> np.ndarray:
        """Return the cosine of RNA ``rna_cells[i]`` and chromatin ``atac_cells[i]``, (pairs,)."""
        return self.maps.match(*self.transform_parts(data), rna_cells, atac_cells)

    def translate(self, data: AnnData, rna: AnnData | None = None) -> np.ndarray:
        """Return the expected detection of each gene, not cut to 0 … 1, (cells, genes)."""
        genes = None if rna is None else self.rna.transform(rna)
        return self.maps.translate(self.atac.transform(data), genes)
