"""Stacked autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from bench.contract import Layers, Search

from .nn.base import NetworkMethod
from .nn.params import HUANG

if TYPE_CHECKING:
    from .nn.likelihoods import Likelihood
    from .nn.models import Network


class StackedAE(NetworkMethod):
    """Deep autoencoder pretrained layer by layer, then fine-tuned as a whole.

    Each encoder layer trains with its own decoder on the codes of the layer before (Vincent et al.
    2010); these decoders, in reverse order, start the second half. ``preset=faithful`` keeps what
    Huang et al. 2021 published: layers 8192-2048-256; decoder layers pretrained as separate
    autoencoders with sigmoid decoders that are thrown away; plain gradient descent on a mean
    squared error; a misspelt attribute that freezes all layers but the last. Its code hardly
    differs from the untrained one.
    """

    name = "stacked_ae"
    summary = "deep autoencoder, pretrained layer by layer"
    reference = (
        "Vincent et al. 2010, JMLR 11:3371; "
        "Huang et al. 2021, Symmetry 13:1467, doi 10.3390/sym13081467"
    )

    exceptions: ClassVar = {
        "search_space_contains_presets": "the published layers (220 million weights on "
        "11,000 peaks) are too wide to be tried in every search"
    }

    class Params(NetworkMethod.Params):
        """Parameters of the stacked autoencoder."""

        hidden: Annotated[Layers, Search(choices=("256-64", "512-128-32", "1024-256-64"))] = Field(
            (512, 128, 32), description="widths of the layers before the code, mirrored after it"
        )
        pretrain_epochs: Annotated[int, Search(5, 50)] = Field(
            20, ge=0, description="passes over the cells for each layer before fine-tuning"
        )
        pretrain_learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(
            1e-3, gt=0, le=1, description="step size of the pretraining"
        )
        pretrain: Literal["mirrored", "chain"] = Field(
            "mirrored", description="encoder layers with their decoders; chain: as published"
        )
        fine_tune: Literal["all", "last"] = Field(
            "all", description="layers trained in fine-tuning; last: output layer, as published"
        )
        optimizer: Literal["adam", "sgd"] = Field("adam", description="sgd as published")

        presets: ClassVar = {
            "quick": {"hidden": "256-64", "pretrain_epochs": 5, "max_epochs": 60},
            "faithful": HUANG
            | {
                "hidden": "8192-2048-256",
                "output": "relu",
                "learning_rate": 0.01,
                "learning_rate_decay": 1.0,
                "pretrain_epochs": 100,
                "pretrain_learning_rate": 0.01,
                "max_epochs": 100,
                "batch_size": 32,
                "drop_last": True,
                "pretrain": "chain",
                "fine_tune": "last",
                "optimizer": "sgd",
            },
        }

    params: Params

    def build(self, facts: dict[str, Any], likelihood: Likelihood) -> Network:
        """Return the untrained network."""
        from .nn.stacked import StackedAutoencoder

        return StackedAutoencoder(len(facts["features"]), likelihood, self.params)
