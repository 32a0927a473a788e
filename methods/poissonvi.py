"""PoissonVI, by scvi-tools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.contract import ATAC, DatasetInfo, Recipe, accessible_peaks

from ._scvi import ScviMethod
from .peakvi import PeakVI


class PoissonVI(ScviMethod):
    """PeakVI for counts of fragments instead of open peaks (Martens et al. 2024).

    Counts of reads, where each fragment counts twice, are to be halved first; data that are
    binarised already are fitted as they are.
    """

    name = "poissonvi"
    summary = "variational autoencoder of fragment counts (PoissonVI)"
    reference = "Martens et al. 2024, Nature Methods 21:28, doi 10.1038/s41592-023-02112-6"
    modalities = frozenset({ATAC})
    model = "external.POISSONVI"
    least_cells = 100
    loss_measures = ("use_batch",)

    class Params(PeakVI.Params):
        """Parameters of ``peakvi``."""

    params: Params

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return the counts of peaks that are neither rare nor common."""
        return replace(accessible_peaks(), binarize=False)

    def options(self) -> dict[str, Any]:
        p = self.params
        return {
            "n_latent": p.n_latent or None, "n_hidden": p.n_hidden or None, "n_layers": p.n_layers
        }  # fmt: skip
