"""PCA of the genes beside LSI of the peaks, the plain baseline for paired data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import Context, Fit

from ._arrays import load_arrays, save_arrays
from ._paired_baseline import PairedBaseline, unit_variance_factor

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from mudata import MuData


class JointPCALSI(PairedBaseline):
    """The scores of ``pca`` and of ``lsi`` side by side, each block with a total variance of one.

    Both modalities so have the same weight in distances between cells, whatever their units and
    their numbers of features. The two blocks share no coordinates: there is no ``match``.
    """

    name = "pca_lsi"
    summary = "PCA of genes and LSI of peaks side by side, equal weights"
    reference = (
        "Luecken and Theis 2019, doi 10.15252/msb.20188746; Cusanovich et al. 2018, "
        "doi 10.1016/j.cell.2018.06.052; side by side: our own scheme"
    )

    def fit(self, data: MuData, context: Context) -> Fit:
        """Return both blocks, (cells, components of genes + components of peaks)."""
        self._blocks = self.pca_and_lsi()
        rna, atac, n_parameters = self._blocks.fit(data, context)
        self._factors = unit_variance_factor(rna), unit_variance_factor(atac)
        return Fit(self._join(rna, atac), n_parameters=n_parameters + 2)

    def transform(self, data: MuData) -> np.ndarray:
        """Return the embedding of new cells."""
        return self._join(*self._blocks.transform(data))

    def _join(self, rna: np.ndarray, atac: np.ndarray) -> np.ndarray:
        import numpy as np

        blocks = [rna * self._factors[0], atac * self._factors[1]]
        return np.concatenate(blocks, axis=1).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write the fitted state into the folder ``path``."""
        self._blocks.save(path)
        save_arrays(path / "pca_lsi.npz", {"factors": self._factors})

    def load(self, path: Path) -> None:
        """Read the fitted state from the folder ``path``."""
        self._blocks = self.pca_and_lsi()
        self._blocks.load(path)
        self._factors = tuple(load_arrays(path / "pca_lsi.npz")["factors"].tolist())
