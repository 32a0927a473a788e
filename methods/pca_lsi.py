"""PCA of the genes beside LSI of the peaks, the plain baseline for paired data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import Context, Fit

from ._paired_baseline import PairedProjection, unit_variance_factor

if TYPE_CHECKING:
    import numpy as np
    from mudata import MuData


class JointPCALSI(PairedProjection):
    """Scores of ``pca`` and ``lsi`` side by side, each block with a total variance of one.

    Both modalities have equal weight in distances. The blocks share no coordinates: there is no
    ``match``.
    """

    name = "pca_lsi"
    summary = "PCA of genes and LSI of peaks side by side, equal weights"
    reference = (
        "Luecken and Theis 2019, doi 10.15252/msb.20188746; Cusanovich et al. 2018, "
        "doi 10.1016/j.cell.2018.06.052; side by side: our own scheme"
    )

    def fit(self, data: MuData, context: Context) -> Fit:
        """Return both blocks, (cells, components of genes + components of peaks)."""
        import numpy as np

        rna, atac, n_parameters = self.fit_parts(data, context)
        factors = [unit_variance_factor(rna), unit_variance_factor(atac)]
        self._arrays = {"factors": np.array(factors)}
        return Fit(self._join(rna, atac), n_parameters=n_parameters + 2)

    def transform(self, data: MuData) -> np.ndarray:
        return self._join(*self.transform_parts(data))

    def _join(self, rna: np.ndarray, atac: np.ndarray) -> np.ndarray:
        import numpy as np

        factors = self._arrays["factors"]
        blocks = [rna * factors[0], atac * factors[1]]
        return np.concatenate(blocks, axis=1).astype(np.float32)
