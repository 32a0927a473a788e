"""Parameters of scSMD and DeepScena."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bench.contract import Layers, Search

from ..nn.params import ClusterParameters

_DILATED = (("attention", ("mdsab",)),)


class ScSMDParams(ClusterParameters):
    """Parameters of scSMD."""

    n_top_genes: int = Field(
        784, ge=10, le=10_000, description="variable genes; square numbers need no padding"
    )
    read_counts: bool = Field(
        False,
        description="full-length reads: genes by variance-stabilised counts, rounded log values",
    )
    center: bool = Field(
        True, description="subtract each gene's mean before the network and add it afterwards"
    )
    n_latent: Annotated[int, Search(8, 32, log=True)] = Field(
        10, ge=1, le=1024, description="dimensions of the code, which is the embedding"
    )
    attention: Annotated[Literal["mdsab", "none"], Search(choices=("mdsab", "none"))] = Field(
        "mdsab", description="multi-dilated gate, or none as in DeepScena"
    )
    dilations: Annotated[Layers, Search(choices=("1-2", "1-2-4", "2-4-6-8"), when=_DILATED)] = (
        Field((2, 4, 6, 8), min_length=1, description="dilations of the gate's branches")
    )
    batch_size: Annotated[int, Search(32, 1024, log=True)] = Field(
        100, ge=2, description="cells per update"
    )
    pretrain_epochs: Annotated[int, Search(5, 200, log=True)] = Field(
        20, ge=0, description="passes in phase 1, reconstruction"
    )
    learning_rate: Annotated[float, Search(1e-4, 3e-3, log=True)] = Field(
        1e-3, gt=0, le=1, description="step size of Adam in phase 1"
    )
    max_epochs: Annotated[int, Search(2, 100, log=True)] = Field(
        20, ge=0, description="passes in phase 2, fuzzy clusters, at most"
    )
    cluster_learning_rate: Annotated[float, Search(1e-5, 1e-3, log=True)] = Field(
        1e-4, gt=0, le=1, description="step size of phase 2, on the mean over a batch"
    )
    update: Literal["joint", "sequential"] = Field(
        "joint", description="phase 2: one step for all clusters, or one for each in turn"
    )
    max_gradient: float = Field(50.0, ge=0, description="largest gradient norm, phase 2; 0: none")
    fuzziness: Annotated[float, Search(1.1, 2.5)] = Field(
        1.5, gt=1, le=10, description="exponent m of the memberships"
    )
    centering: Annotated[float, Search(0.01, 1.0, log=True)] = Field(
        0.2, ge=0, description="weight of the distances to the centres"
    )
    count_weight: Annotated[float, Search(0.01, 1.0, log=True, zero=True)] = Field(
        0.1, ge=0, description="weight of the negative binomial in phase 2"
    )
    count_target: Literal["counts", "rounded_lognorm"] = Field(
        "counts", description="target of the negative binomial; rounded_lognorm as published"
    )
    centre_interval: Annotated[int, Search(1, 5)] = Field(
        2, ge=1, description="epochs of phase 2 between updates of the centres"
    )
    first_centres: int = Field(
        0, ge=0, description="phase 2: first epoch, from 0, with an update of the centres"
    )
    pair_epochs: Annotated[int, Search(5, 50, log=True)] = Field(
        20, ge=0, description="passes in phase 3, pairs of cells, at most"
    )
    trust_epochs: Annotated[int, Search(0, 10)] = Field(
        1, ge=0, description="phase 3: last epoch, from 0, with pairs by memberships"
    )
    similar: Annotated[float, Search(0.6, 0.95)] = Field(
        0.8, gt=0.5, lt=1, description="threshold ζ of similar pairs; dissimilar below 1 - ζ"
    )
    assign_learning_rate: Annotated[float, Search(1e-4, 3e-3, log=True)] = Field(
        1e-3, gt=0, le=1, description="step size of the assignment network"
    )
    encoder_learning_rate: Annotated[float, Search(1e-7, 1e-4, log=True, zero=True)] = Field(
        0.0, ge=0, le=1, description="step size of the encoder in phase 3; 0: not trained"
    )
    balance_weight: float = Field(
        0.0, ge=0, description="phase 3: weight of a penalty on unequal clusters"
    )
    input_dropout: Annotated[float, Search(0.05, 0.3, zero=True)] = Field(
        0.0, ge=0, lt=1, description="share of inputs set to zero while training (denoising)"
    )
    frozen_norms: bool = Field(True, description="after phase 1, batch norms keep its statistics")
    tolerance: float = Field(
        1e-3,
        ge=0,
        le=1,
        description="phases 2 and 3 end below this share of changed labels; 0: never",
    )
    output_name: str = Field(
        "",
        pattern=r"^([\w-][\w.-]*)?$",
        description="bench fit: NAME of NAME_uspace.csv and NAME_clusters.csv; empty: the file's",
    )
    keep_genes: bool = Field(
        False, description="also return the inputs of the network as a table, cells × genes"
    )

    presets: ClassVar = {
        "quick": {
            "batch_size": 32,
            "pretrain_epochs": 5,
            "max_epochs": 2,
            "pair_epochs": 5,
        },
        "faithful": {
            "center": False,
            "update": "sequential",
            "count_target": "rounded_lognorm",
            "first_centres": 1,
            "encoder_learning_rate": 1e-6,
            "frozen_norms": False,
            "max_gradient": 0.0,
            "tolerance": 0.0,
        },
    }

    @property
    def models_counts(self) -> bool:
        """Whether the negative binomial explains counts."""
        return self.count_target == "counts" and self.count_weight > 0


class DeepScenaParams(ScSMDParams):
    """Parameters of DeepScena."""

    attention: Literal["none"] = Field("none", description="none: without the gate")
    dilations: Layers = Field((), description="none: without the gate")
