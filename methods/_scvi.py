"""Base of the models of scvi-tools: parameters, preparation, training, new cells, saved state."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from bench.contract import (
    RNA,
    Context,
    DatasetInfo,
    Fit,
    Method,
    PairedRecipe,
    Parameters,
    Recipe,
    Search,
)
from bench.contract.multiome import matrices_of

from ._fitted_arrays import check_features
from ._preparations import counts

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


class ScviParameters(Parameters):
    """Network and training; defaults of scvi-tools but for early stopping."""

    presets: ClassVar = {"quick": {"max_epochs": 50}, "faithful": {"early_stopping": False}}

    n_latent: Annotated[int, Search(5, 50, log=True)] = Field(
        10, ge=1, description="dimensions of the code, which is the embedding"
    )
    n_hidden: Annotated[int, Search(64, 256, log=True)] = Field(
        128, ge=1, description="units of a hidden layer"
    )
    n_layers: Annotated[int, Search(1, 3)] = Field(1, ge=1, description="hidden layers")
    learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(
        1e-3, gt=0, le=1, description="step size of Adam"
    )
    max_epochs: int = Field(
        400, ge=1, description="most epochs; in proportion fewer with more than 20,000 cells"
    )
    early_stopping: bool = Field(
        True,
        description="stop when the loss of held-out cells has not fallen for 45 epochs (peaks: "
        "50); the embedding is that of the last epoch",
    )
    use_batch: bool = Field(True, description="give the batch to the decoder, where there is one")


class ScviMethod(Method):
    """Base of the methods; a subclass names its model (``model``) and its options.

    The weights are those of the last epoch, as in scvi-tools, not those of the lowest held-out
    loss: on two chromatin sets these separated the types less well (docs/extras.md).
    """

    modalities = frozenset({RNA})
    family = "autoencoder"
    cost = "heavy"
    gpu = True
    requires = ("scvi",)
    install = "pip install 'aebench[scvi]'"

    model: ClassVar[str]
    """Its class in scvi-tools, such as ``model.SCVI``."""
    least_cells: ClassVar[int] = 1
    """What the model takes; fewer cells are repeated."""

    params: ScviParameters

    def may_use(self) -> frozenset[str]:
        return frozenset({"batch"}) if self.params.use_batch else frozenset()

    def recipe(self, info: DatasetInfo) -> Recipe | PairedRecipe:
        """Return the counts of variable genes, ranked in each batch, or binarised peaks."""
        n_top_genes = getattr(self.params, "n_top_genes", 0)
        return counts(info, n_top_genes, batch_aware=self.params.use_batch)

    def options(self) -> dict[str, Any]:
        """Return the arguments of the model."""
        p = self.params
        return {"n_latent": p.n_latent, "n_hidden": p.n_hidden, "n_layers": p.n_layers}

    def fit(self, data: Any, context: Context) -> Fit:
        """Return the mean of the code of each cell, (cells, n_latent)."""
        from ._scvi_models import embed, pack, train

        batch = context.knowledge.batch
        self._batches = ["none"] if batch is None else sorted(set(map(str, batch)))
        parts = matrices_of(data)
        self._features = [list(part.var_names) for part in parts]
        names = self._batches[0] if batch is None else batch
        cells = pack([part.X for part in parts], names, self.least_cells)
        self._model, epochs = train(self, cells, context)
        size = sum(one.numel() for one in self._model.module.parameters())
        codes = embed(self._model, cells)[: data.n_obs]
        return Fit(codes, n_parameters=size, notes={"epochs": epochs})

    def transform(self, data: Any) -> np.ndarray:
        """Return the code of new cells; the encoder does not see their batch."""
        from ._scvi_models import embed, pack

        parts = matrices_of(data)
        for features, part in zip(self._features, parts, strict=True):
            check_features(features, part, self.name)
        cells = pack([part.X for part in parts], self._batches[0], self.least_cells)
        return embed(self._model, cells)[: data.n_obs]

    def save(self, path: Path) -> None:
        self._model.save(str(path / self.name), overwrite=True)
        facts = {"batches": self._batches, "features": self._features}
        (path / f"{self.name}.json").write_text(json.dumps(facts))

    def load(self, path: Path) -> None:
        from ._scvi_models import load

        facts = json.loads((path / f"{self.name}.json").read_text())
        self._batches, self._features = facts["batches"], facts["features"]
        self._model = load(self, path / self.name, self._features, self._batches)
