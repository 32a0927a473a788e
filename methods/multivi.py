"""MultiVI, by scvi-tools."""

from __future__ import annotations

from typing import Any, cast

from pydantic import Field

from bench.contract import MULTIOME, DatasetInfo, PairedInfo, PairedRecipe

from ._preparations import counts
from ._scvi import ScviMethod
from .peakvi import PeakVI


class MultiVI(ScviMethod):
    """Variational autoencoder of genes and peaks of the same cells (Ashuach et al. 2023).

    The code of a cell is the mean of those of its genes and its peaks.
    """

    name = "multivi"
    summary = "variational autoencoder of genes and peaks (MultiVI)"
    reference = "Ashuach et al. 2023, Nature Methods 20:1222, doi 10.1038/s41592-023-01909-9"
    modalities = frozenset({MULTIOME})
    model = "model.MULTIVI"
    loss_measures = ("n_top_genes", "use_batch")

    class Params(PeakVI.Params):
        """Parameters of network and training."""

        n_top_genes: int = Field(2000, ge=10, description="number of variable genes")

    params: Params

    def recipe(self, info: DatasetInfo) -> PairedRecipe:
        """Return the counts of variable genes and binarised peaks."""
        parts, p = cast("PairedInfo", info).parts, self.params
        rna, atac = (
            counts(parts[part], p.n_top_genes, batch_aware=p.use_batch) for part in ("rna", "atac")
        )
        return PairedRecipe(rna, atac)

    def options(self) -> dict[str, Any]:
        p = self.params
        return {
            "n_latent": p.n_latent or None, "n_hidden": p.n_hidden or None,
            "n_layers_encoder": p.n_layers, "n_layers_decoder": p.n_layers, "fully_paired": True,
        }  # fmt: skip
