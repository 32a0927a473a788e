"""PCA of the genes beside LSI of the peaks, the plain baseline for paired data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import Context, Fit

from ._paired_baseline import PairedBaseline, unit_variance

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
        self._halves = self.new_halves()
        rna, atac, n_parameters = self._halves.fit(data, context)
        self._weights = (unit_variance(rna), unit_variance(atac))
        return Fit(self._joined(rna, atac), n_parameters=n_parameters + 2)

    def transform(self, data: MuData) -> np.ndarray:
        """Return the embedding of new cells, prepared alike."""
        return self._joined(*self._halves.transform(data))

    def _joined(self, rna: np.ndarray, atac: np.ndarray) -> np.ndarray:
        import numpy as np

        blocks = [rna * self._weights[0], atac * self._weights[1]]
        return np.concatenate(blocks, axis=1).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write both halves and their weights into the folder ``path``."""
        import numpy as np

        self._halves.save(path)
        np.save(path / "weights.npy", np.asarray(self._weights))

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        import numpy as np

        self._halves = self.new_halves()
        self._halves.load(path)
        rna, atac = np.load(path / "weights.npy").tolist()
        self._weights = (rna, atac)
