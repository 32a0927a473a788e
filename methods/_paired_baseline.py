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

from .lsi import LSI
from .pca import PrincipalComponents

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from mudata import MuData

    from bench.contract import Context


class PcaAndLsi:
    """The baselines ``pca`` (of the genes) and ``lsi`` (of the peaks), fitted separately."""

    def __init__(self, n_components: int, n_top_genes: int) -> None:
        genes = PrincipalComponents.Params(n_components=n_components, n_top_genes=n_top_genes)
        self.rna = PrincipalComponents(genes)
        self.atac = LSI(LSI.Params(n_components=n_components))

    def recipe(self, info: DatasetInfo) -> PairedRecipe:
        """Return the preparation of ``pca`` and of ``lsi``."""
        parts = cast("PairedInfo", info).parts
        return PairedRecipe(self.rna.recipe(parts["rna"]), self.atac.recipe(parts["atac"]))

    def fit(self, data: MuData, context: Context) -> tuple[np.ndarray, np.ndarray, int]:
        """Return the scores of genes and of peaks (cells × components), and n_parameters."""
        rna = self.rna.fit(data["rna"], context)
        atac = self.atac.fit(data["atac"], context)
        n_parameters = (rna.n_parameters or 0) + (atac.n_parameters or 0)
        return rna.embedding, atac.embedding, n_parameters

    def transform(self, data: MuData) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of genes and of peaks of new cells."""
        return self.rna.transform(data["rna"]), self.atac.transform(data["atac"])

    def save(self, path: Path) -> None:
        """Write the fitted state into the folder ``path``."""
        self.rna.save(path)
        self.atac.save(path)

    def load(self, path: Path) -> None:
        """Read the fitted state from the folder ``path``."""
        self.rna.load(path)
        self.atac.load(path)


class PairedBaseline(Method):
    """Base of the baselines of paired data that start from PCA and LSI."""

    modalities = frozenset({MULTIOME})
    family = "baseline"

    class Params(Parameters):
        """Parameters of PCA and LSI."""

        n_components: Annotated[int, Search(10, 100, log=True)] = Field(
            50, ge=1, description="number of components of each modality"
        )
        n_top_genes: int = Field(2000, ge=10, description="number of variable genes")

    params: Params

    def recipe(self, info: DatasetInfo) -> PairedRecipe:
        """Return variable genes as for ``pca`` and peaks as for ``lsi``."""
        return self.pca_and_lsi().recipe(info)

    def pca_and_lsi(self) -> PcaAndLsi:
        """Return PCA and LSI, not fitted."""
        return PcaAndLsi(self.params.n_components, self.params.n_top_genes)


def unit_variance_factor(scores: np.ndarray) -> float:
    """Return the factor that scales the total variance of a block of columns to one."""
    import numpy as np

    total = float(np.var(scores, axis=0, dtype=np.float64).sum())
    return 1.0 / np.sqrt(total) if total > 0 else 1.0
