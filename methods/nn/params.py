"""Parameters that several neural methods share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bench.contract import Layers, Parameters, Search


class ClusterParameters(Parameters):
    """The number of clusters and its source."""

    n_clusters: int = Field(
        0, ge=0, description="number of clusters (k_from=leiden: about this number); 0: see k_from"
    )
    k_from: Literal["truth", "leiden", "eigengap"] = Field(
        "truth",
        description="source of the number: true types, Leiden communities, or largest eigengap",
    )
    resolution: float = Field(
        1.0, gt=0, le=100, description="resolution of k_from=leiden, unless n_clusters is set"
    )

    def optional_inputs(self) -> frozenset[str]:
        """Return ``{"n_clusters"}`` if the number of true types is used."""
        from_truth = self.k_from == "truth" and self.n_clusters == 0
        return frozenset({"n_clusters"}) if from_truth else frozenset()

    def count_origin(self) -> str:
        """Return where the number of clusters comes from, for the notes of a fit."""
        if self.n_clusters:
            return "as asked" + (", by leiden" if self.k_from == "leiden" else "")
        if self.k_from == "leiden" and self.resolution != 1.0:
            return f"leiden at resolution {self.resolution:g}"
        return "the number of true types" if self.k_from == "truth" else self.k_from


class NetworkParameters(Parameters):
    """Architecture, likelihood, training and preparation of an autoencoder."""

    n_latent: Annotated[int, Search(8, 128, log=True)] = Field(
        10, ge=1, le=1024, description="dimensions of the code, which is the embedding"
    )
    hidden: Annotated[Layers, Search(choices=("128", "512-64", "1024-128"))] = Field(
        (128,), description="widths of the encoder's hidden layers"
    )
    code_activation: Literal["linear", "sigmoid", "relu"] = Field(
        "linear", description="activation of the code; relu leaves units dead"
    )
    likelihood: Literal["auto", "bernoulli", "gaussian", "nb"] = Field(
        "auto", description="auto: bernoulli for chromatin, nb (vae) or gaussian (others) for RNA"
    )
    output: Literal["linear", "sigmoid", "relu"] = Field(
        "linear", description="activation of a gaussian reconstruction"
    )
    reduction: Literal["sum", "mean"] = Field(
        "sum", description="over the features of a cell; mean as published, sum is a likelihood"
    )
    adjust_depth: bool = Field(
        True, description="expected values grow with depth, and binary inputs are divided by it"
    )
    learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(
        1e-3, gt=0, le=1, description="step size of Adam"
    )
    learning_rate_decay: float = Field(
        1.0, gt=0, le=1, description="factor on the step size every 10 updates; 1: constant"
    )
    learning_rate_floor: float = Field(0.0, ge=0, description="smallest step size of the decay")
    weight_decay: Annotated[float, Search(1e-6, 1e-3, log=True, zero=True)] = Field(
        0.0, ge=0, description="L2 penalty on weights (not on a prior or a dispersion)"
    )
    input_dropout: Annotated[float, Search(0.05, 0.5, zero=True)] = Field(
        0.0, ge=0, lt=1, description="share of inputs set to zero while training (denoising)"
    )
    batch_size: Annotated[int, Search(32, 512, log=True)] = Field(
        64, ge=1, description="cells per update"
    )
    shuffle: bool = Field(True, description="new order of the cells in every epoch")
    drop_last: bool = Field(False, description="leave out an incomplete last batch")
    max_epochs: int = Field(
        200,
        ge=0,
        description="passes over the training cells, or 100,000 of them; 0: untrained",
    )
    patience: int = Field(
        20, ge=1, description="epochs without a better loss on held-out cells before stopping"
    )
    validation: float = Field(
        0.1, ge=0, le=0.5, description="share of cells held out to stop early; 0: training loss"
    )
    n_top_genes: int = Field(2000, ge=10, description="RNA: number of variable genes")
    binarize: bool = Field(True, description="chromatin: counts above zero become one")
    low: float = Field(0.01, ge=0, lt=1, description="chromatin: peaks open in over this share")
    high: float = Field(0.9, gt=0, le=1, description="chromatin: peaks open in under this share")
    min_peaks: int = Field(0, ge=0, description="chromatin: cells with fewer peaks are removed")


HUANG = {
    "n_latent": 10,
    "hidden": "1024-128",
    "code_activation": "relu",
    "likelihood": "gaussian",
    "reduction": "mean",
    "adjust_depth": False,
    "learning_rate_decay": 0.9,
    "learning_rate_floor": 2e-5,
    "max_epochs": 300,
    "patience": 100,
    "validation": 0.0,
    "binarize": False,
    "min_peaks": 100,
}
"""Values that the published autoencoders of Huang et al. 2021 share."""

HUANG_VAE = HUANG | {
    "likelihood": "bernoulli",
    "reduction": "sum",
    "learning_rate": 2e-3,
    "learning_rate_floor": 2e-4,
    "weight_decay": 5e-4,
    "batch_size": 32,
    "drop_last": True,
}
"""Values that the published variational autoencoders share."""
