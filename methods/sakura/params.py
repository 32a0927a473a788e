"""Parameters of SAKURA and of its autoencoder without guidance."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from bench.contract import Parameters, Search

FAITHFUL: dict[str, Any] = {
    "n_top_genes": 10_000,
    "center": False,
    "latent_activation": "celu",
    "output_activation": "relu",
    "l1_weight": 1.0,
    "prior": "uniform",
    "prior_weight": 1e-4,
    "schedule": "interleave",
    "optimizer": "rmsprop",
    "batch_size": 100,
    "max_epochs": 10_000,
    "max_ticks": 5000,
    "train_deciles": 5,
    "validation": 0.0,
}
"""Values of the published demonstration; its 5,000 steps count over all tasks."""

_PRIOR = (("prior", ("uniform", "gaussian_mixture")),)
_GUIDED = (("markers|proteins|label_share", ("on",)),)
_MARKED = (("markers", (True,)),)
_KNOWN = (("proteins|label_share", ("on",)),)


class SakuraParameters(Parameters):
    """Network, reconstruction, prior and training."""

    n_top_genes: Annotated[int, Search(2000, 10_000, log=True)] = Field(
        2000, ge=10, description="RNA: variable genes; those of marker lists are added"
    )
    scale: bool = Field(False, description="features have zero mean and unit variance")
    center: bool = Field(True, description="features have zero mean; scale implies it")
    n_latent: Annotated[int, Search(10, 100, log=True)] = Field(
        50, ge=1, le=1024, description="main dimensions: of the code and of the embedding"
    )
    hidden: Annotated[int, Search(64, 512, log=True)] = Field(
        200, ge=1, description="width of the hidden layers"
    )
    encoder_layers: Annotated[int, Search(2, 4)] = Field(
        2, ge=1, le=10, description="linear layers of the encoder before the code"
    )
    decoder_layers: Annotated[int, Search(2, 4)] = Field(
        3, ge=1, le=10, description="linear layers of the decoder, the output included"
    )
    latent_activation: Annotated[
        Literal["identity", "celu"], Search(choices=("identity", "celu"))
    ] = Field("identity", description="activation of the code; celu bounds it by -1 from below")
    output_activation: Literal["identity", "relu"] = Field(
        "identity", description="activation of the output; relu needs scale=false and center=false"
    )
    mse_weight: Annotated[float, Search(0.1, 2.0)] = Field(
        1.0, ge=0, description="weight of the squared error of reconstruction"
    )
    l1_weight: Annotated[float, Search(0.1, 2.0, zero=True)] = Field(
        0.0, ge=0, description="weight of the absolute error of reconstruction"
    )
    prior: Annotated[
        Literal["none", "uniform", "gaussian_mixture"],
        Search(choices=("none", "uniform", "gaussian_mixture")),
    ] = Field("none", description="distribution of the main dimensions")
    prior_bound: float = Field(10.0, gt=0, description="uniform: largest absolute coordinate")
    prior_components: int = Field(
        10, ge=1, description="gaussian_mixture: components in each pair of coordinates"
    )
    prior_weight: Annotated[float, Search(1e-5, 1.0, log=True, when=_PRIOR)] = Field(
        1e-3, ge=0, description="weight of the sliced Wasserstein distance to the prior"
    )
    prior_growth: Annotated[float, Search(1.0, 1.1, when=_PRIOR)] = Field(
        1.01, gt=0, description="factor on prior_weight every epoch"
    )
    prior_cap: Annotated[float, Search(0.1, 10.0, log=True, when=_PRIOR)] = Field(
        1.0, ge=0, description="largest weight of the distance to the prior"
    )
    n_projections: Annotated[int, Search(25, 200, log=True, when=_PRIOR)] = Field(
        50, ge=1, description="random directions of the sliced Wasserstein distance"
    )
    dropout_input: Annotated[float, Search(0.05, 0.5, zero=True)] = Field(
        0.0, ge=0, lt=1, description="share of inputs set to zero while training"
    )
    dropout_hidden: Annotated[float, Search(0.05, 0.5, zero=True)] = Field(
        0.0, ge=0, lt=1, description="share of hidden units set to zero while training"
    )
    schedule: Annotated[
        Literal["interleave", "sum", "joint"], Search(choices=("interleave", "sum", "joint"))
    ] = Field(
        "joint", description="guidance and reconstruction: in turn, on two batches, or on one"
    )
    optimizer: Annotated[Literal["adam", "rmsprop"], Search(choices=("adam", "rmsprop"))] = Field(
        "adam", description="adam, or rmsprop as published"
    )
    learning_rate: Annotated[float, Search(1e-4, 3e-3, log=True)] = Field(
        1e-3, gt=0, le=1, description="step size"
    )
    alpha: Annotated[float, Search(0.9, 0.99, when=(("optimizer", ("rmsprop",)),))] = Field(
        0.9, gt=0, lt=1, description="rmsprop: memory of squared gradients"
    )
    batch_size: Annotated[int, Search(64, 512, log=True)] = Field(
        128, ge=1, description="cells per update"
    )
    max_epochs: int = Field(
        100, ge=0, description="passes over the training cells; 0: an untrained network"
    )
    max_ticks: int = Field(0, ge=0, description="updates over all tasks; 0: no bound")
    train_deciles: int = Field(
        10, ge=1, le=10, description="tenths of the cells for training; all cells are embedded"
    )
    validation: float = Field(
        0.1, ge=0, le=0.5, description="share of cells held out to stop early; 0: never"
    )
    patience: int = Field(
        15, ge=1, description="epochs without a better held-out loss before stopping"
    )
    presets: ClassVar = {"quick": {"max_epochs": 40}, "faithful": FAITHFUL}

    @model_validator(mode="after")
    def _output_can_be_negative(self) -> Self:
        if (self.scale or self.center) and self.output_activation == "relu":
            raise ValueError(
                "output_activation=relu cannot reconstruct scaled or centred values: scale=false "
                "and center=false"
            )
        return self


class GuidedParameters(SakuraParameters):
    """Guidance and its weights."""

    markers: bool = Field(True, description="guided by the dataset's marker lists")
    proteins: bool = Field(False, description="guided by surface proteins")
    label_share: float = Field(
        0.0, ge=0, le=1, description="share of the cells whose true type guides; 0: none"
    )
    batch: Literal["none", "adversarial", "own"] = Field(
        "none", description="adversarial: an adversary removes it; own: it has own dimensions"
    )
    space: Annotated[Literal["main", "own"], Search(choices=("main", "own"), when=_GUIDED)] = (
        Field("main", description="guidance acts on the main dimensions, or on own dimensions")
    )
    own_dims: Annotated[int, Search(1, 16, log=True, when=(("space", ("own",)),))] = Field(
        4, ge=1, description="dimensions of each guide with own dimensions"
    )
    embedding: Literal["main", "all"] = Field(
        "main", description="main dimensions; all: also those of the guides"
    )
    relative_weights: bool = Field(
        True, description="weights are relative to the first principal component"
    )
    guide_score: Annotated[float, Search(0.1, 10.0, log=True, zero=True, when=_MARKED)] = Field(
        1.0, ge=0, description="final weight of the squared error of the mean of a list's genes"
    )
    guide_mse: Annotated[float, Search(0.01, 10.0, log=True, when=_MARKED)] = Field(
        0.1, ge=0, description="final weight of the marker genes' squared error"
    )
    guide_phenotypes: Annotated[float, Search(0.1, 10.0, log=True, when=_KNOWN)] = Field(
        1.0, gt=0, description="final weight of the proteins' squared error, of the types' NLL"
    )
    guide_l1: Annotated[float, Search(0.01, 10.0, log=True, zero=True, when=_GUIDED)] = Field(
        0.0, ge=0, description="final weight of the guides' absolute error"
    )
    guide_cosine: Annotated[float, Search(0.01, 10.0, log=True, zero=True, when=_GUIDED)] = Field(
        0.0, ge=0, description="final weight of the guides' 1 - cosine"
    )
    ramp_start: Annotated[int, Search(0, 50, when=_GUIDED)] = Field(
        0, ge=0, description="epoch in which guidance begins"
    )
    ramp_epochs: Annotated[int, Search(0, 100, when=_GUIDED)] = Field(
        5, ge=0, description="epochs in which the weights of guides rise to the final ones"
    )
    head: Annotated[Literal["linear", "mlp"], Search(choices=("linear", "mlp"), when=_GUIDED)] = (
        Field("linear", description="network that predicts the guides from the code")
    )
    head_hidden: Annotated[int, Search(4, 64, log=True, when=(("head", ("mlp",)),))] = Field(
        5, ge=1, description="mlp: width of the hidden layers"
    )
    head_layers: Annotated[int, Search(1, 3, when=(("head", ("mlp",)),))] = Field(
        3, ge=1, le=10, description="mlp: linear layers, the output included"
    )
    scale_targets: bool = Field(
        True, description="marker genes and proteins have unit variance as targets"
    )
    exclude_from_input: bool = Field(
        False, description="marker genes are neither input nor reconstructed"
    )
    adversary: Literal["confused", "reversed"] = Field(
        "confused", description="confused: loss for even guesses; reversed: gradient reversed"
    )
    adversarial_strength: Annotated[
        float, Search(0.1, 3.0, log=True, when=(("batch", ("adversarial",)),))
    ] = Field(1.0, ge=0, description="final weight with which the batch is removed")
    adversarial_epochs: Annotated[int, Search(0, 50, when=(("batch", ("adversarial",)),))] = Field(
        10, ge=0, description="epochs in which adversarial_strength rises to its value"
    )
    presets: ClassVar = {
        "quick": {"max_epochs": 40},
        "faithful": FAITHFUL
        | {
            "relative_weights": False,
            "guide_score": 0.0,
            "guide_mse": 1.0,
            "scale_targets": False,
            "guide_l1": 1.0,
            "guide_cosine": 1.0,
            "ramp_start": 50,
            "ramp_epochs": 100,
            "head": "mlp",
        },
    }

    @model_validator(mode="after")
    def _guides_have_terms(self) -> Self:
        if not (self.guide_score or self.guide_mse or self.guide_l1 or self.guide_cosine):
            raise ValueError(
                "guide_score, guide_mse, guide_l1 and guide_cosine are all 0: nothing guides"
            )
        return self
