"""Control for paired data: how deep a cell was sequenced, and how often a gene is detected."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.contract import MULTIOME, Context, DatasetInfo, Fit, Method, PairedRecipe, Parameters

from ._fitted_arrays import ArrayState
from .pca_lsi import JointPCALSI

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from mudata import MuData


class DetectionRate(ArrayState, Method):
    """Match by depth alone and translate by mean detection alone.

    Cells with a large depth in one modality tend to have one in the other. ``translate`` returns,
    for every cell, the share of training cells that detect a gene. Features are those of
    ``pca_lsi`` and ``cca``.
    """

    name = "detection_rate"
    summary = "control: depth of each modality, detection rate of each gene"
    reference = "none; a control"
    modalities = frozenset({MULTIOME})
    family = "control"
    exceptions: ClassVar = {"separates_clear_types": "depth does not separate types"}

    class Params(Parameters):
        """No parameters."""

    params: Params

    def recipe(self, info: DatasetInfo) -> PairedRecipe:
        """Return variable genes as for ``pca`` and peaks as for ``lsi``."""
        return JointPCALSI(JointPCALSI.Params()).recipe(info)

    def fit(self, data: MuData, context: Context) -> Fit:
        """Return the log depth in genes and in peaks, standardised, (cells, 2)."""
        import numpy as np

        depth = _log_depth(data)
        spread = depth.std(axis=0)
        detected = data["rna"].layers["counts"] > 0
        self._arrays = {
            "mean": depth.mean(axis=0),
            "spread": np.where(spread > 0, spread, 1.0),
            "rate": np.asarray(detected.mean(axis=0)).ravel(),
        }
        n_parameters = sum(one.size for one in self._arrays.values())
        return Fit(self.transform(data), n_parameters=n_parameters)

    def transform(self, data: MuData) -> np.ndarray:
        depth = (_log_depth(data) - self._arrays["mean"]) / self._arrays["spread"]
        return depth.astype("float32")

    def match(self, data: MuData, rna_cells: np.ndarray, atac_cells: np.ndarray) -> np.ndarray:
        """Return minus the difference of the two depths, (pairs,)."""
        depth = self.transform(data)
        score: np.ndarray = -abs(depth[rna_cells, 0] - depth[atac_cells, 1])
        return score

    def translate(self, data: AnnData, rna: AnnData | None = None) -> np.ndarray:
        """Return the detection rate of each gene for each cell, (cells, genes)."""
        return self._arrays["rate"][None, :].repeat(data.n_obs, axis=0)


def _log_depth(data: MuData) -> np.ndarray:
    """Return the log of the size factors of both modalities, (cells, 2)."""
    import numpy as np

    factors = [data[part].obs["size_factor"].to_numpy(np.float64) for part in ("rna", "atac")]
    return np.log(np.maximum(np.stack(factors, axis=1), 1e-6))
