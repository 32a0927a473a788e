"""PCA of the genes and LSI of the peaks, the start of the baselines for paired data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

from pydantic import Field

from bench.contract import (
    MULTIOME,
    DatasetInfo,
    Method,
    PairedInfo,
    PairedRecipe,
    Parameters,
    Search,
)

from ._fitted_arrays import ArrayState
from .lsi import LSI
from .pca import PrincipalComponents

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from mudata import MuData

    from bench.contract import Context


class PairedBaseline(Method):
    """Base of the baselines that start from ``pca`` of the genes and ``lsi`` of the peaks."""

    modalities = frozenset({MULTIOME})
    family = "baseline"

    class Params(Parameters):
        """Parameters of PCA and LSI."""

        n_components: Annotated[int, Search(10, 100, log=True)] = Field(
            50, ge=1, description="number of components of each modality"
        )
        n_top_genes: int = Field(2000, ge=10, description="number of variable genes")

    params: Params

    def new_parts(self) -> tuple[PrincipalComponents, LSI]:
        """Return the methods of genes and of peaks, not yet fitted."""
        n_components, n_genes = self.params.n_components, self.params.n_top_genes
        genes = PrincipalComponents.Params(n_components=n_components, n_top_genes=n_genes)
        return PrincipalComponents(genes), LSI(LSI.Params(n_components=n_components))

    def recipe(self, info: DatasetInfo) -> PairedRecipe:
        """Return variable genes as for ``pca`` and peaks as for ``lsi``."""
        parts = cast("PairedInfo", info).parts
        rna, atac = self.new_parts()
        return PairedRecipe(rna.recipe(parts["rna"]), atac.recipe(parts["atac"]))

    def fit_parts(self, data: MuData, context: Context) -> tuple[np.ndarray, np.ndarray, int]:
        """Return scores of genes and of peaks, (cells, components), and n_parameters."""
        self.rna, self.atac = self.new_parts()
        rna = self.rna.fit(data["rna"], context)
        atac = self.atac.fit(data["atac"], context)
        n_parameters = (rna.n_parameters or 0) + (atac.n_parameters or 0)
        return rna.embedding, atac.embedding, n_parameters


class PairedProjection(ArrayState, PairedBaseline):
    """A paired baseline that embeds new cells; ``fit`` sets ``_arrays``."""

    def transform_parts(self, data: MuData) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of genes and of peaks of new cells."""
        return self.rna.transform(data["rna"]), self.atac.transform(data["atac"])

    def save(self, path: Path) -> None:
        super().save(path)
        self.rna.save(path)
        self.atac.save(path)

    def load(self, path: Path) -> None:
        super().load(path)
        self.rna, self.atac = self.new_parts()
        self.rna.load(path)
        self.atac.load(path)


def unit_variance_factor(scores: np.ndarray) -> float:
    """Return the factor that makes the total variance of the columns one."""
    import numpy as np

    total = float(np.var(scores, axis=0, dtype=np.float64).sum())
    return 1.0 / np.sqrt(total) if total > 0 else 1.0
