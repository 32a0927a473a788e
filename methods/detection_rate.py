"""Control for paired data: how deep a cell was sequenced, and how often a gene is detected."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.contract import MULTIOME, Context, Fit, Method, Parameters

from ._paired_baseline import Halves

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import DatasetInfo, PairedRecipe


class DetectionRate(Method):
    """What is known without looking at any gene or peak of an unseen cell.

    ``match``: cells deep in one modality tend to be deep in the other, so profiles of like depth
    are held to be of one cell. ``translate``: the share of the training cells in which a gene is
    detected, the same for every cell. Features are those of ``pca_lsi`` and ``cca``.
    """

    name = "detection_rate"
    summary = "control: depth of each modality, detection rate of each gene"
    reference = "none; a control"
    modalities = frozenset({MULTIOME})
    family = "control"
    exceptions: ClassVar = {"beats_the_negative_control": "depth is not to tell types apart"}

    class Params(Parameters):
        """No parameters."""

    params: Params

    def recipe(self, info: DatasetInfo) -> PairedRecipe:
        """Return variable genes as for ``pca`` and peaks as for ``lsi``."""
        return Halves(50, 2000).recipe(info)

    def fit(self, data: MuData, context: Context) -> Fit:
        """Return the log depth in genes and in peaks, standardised, (cells, 2)."""
        import numpy as np

        depth = _log_depth(data)
        spread = depth.std(axis=0)
        detected = data["rna"].layers["counts"] > 0
        self._state = {
            "mean": depth.mean(axis=0),
            "spread": np.where(spread > 0, spread, 1.0),
            "rate": np.asarray(detected.mean(axis=0)).ravel(),
        }
        return Fit(
            self.transform(data), n_parameters=sum(one.size for one in self._state.values())
        )

    def transform(self, data: MuData) -> np.ndarray:
        """Return the embedding of new cells, prepared alike, (cells, 2)."""
        import numpy as np

        found = (_log_depth(data) - self._state["mean"]) / self._state["spread"]
        return np.asarray(found, dtype=np.float32)

    def match(self, data: MuData, rna_cells: np.ndarray, atac_cells: np.ndarray) -> np.ndarray:
        """Return minus the difference of the two depths, (pairs,)."""
        depth = self.transform(data)
        found: np.ndarray = -abs(depth[rna_cells, 0] - depth[atac_cells, 1])
        return found

    def translate(self, data: AnnData, rna: AnnData | None = None) -> np.ndarray:
        """Return the detection rate of each gene for each cell, (cells, genes)."""
        import numpy as np

        return np.tile(self._state["rate"], (data.n_obs, 1))

    def save(self, path: Path) -> None:
        """Write depths and rates into the folder ``path``."""
        import numpy as np

        np.savez(path / "detection_rate.npz", **self._state)

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        import numpy as np

        with np.load(path / "detection_rate.npz") as kept:
            self._state = {name: kept[name] for name in kept.files}


def _log_depth(data: MuData) -> np.ndarray:
    """Return the log of the depth factors of both modalities, (cells, 2)."""
    import numpy as np

    factors = [data[part].obs["size_factor"].to_numpy(np.float64) for part in ("rna", "atac")]
    return np.log(np.maximum(np.stack(factors, axis=1), 1e-6))
