"""Data, training and loading of the models of scvi-tools."""

from __future__ import annotations

import warnings
from inspect import signature
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import scvi
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from mudata import MuData

from bench.seeds import derive_seed

from ._global_generators import seed_global_generators

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.contract import Context

    from ._scvi import ScviMethod

_MOST_UPDATED_CELLS = 20_000
"""With more cells scvi-tools takes fewer epochs, in proportion."""
_CURVES = {"loss": "elbo_train", "held_out_loss": "elbo_validation"}
"""Reported name → name in scvi-tools; all a cell, reconstruction plus unweighted KL."""


class ReportEpochs(Callback):
    """Pass the losses of each epoch to ``context.report``."""

    def __init__(self, context: Context, n_epochs: int) -> None:
        self._report, self._n_epochs = context.report, n_epochs
        self._held_out_losses: list[float] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        found = trainer.callback_metrics
        values = {name: float(found[key]) for name, key in _CURVES.items() if key in found}
        self._held_out_losses.append(values.get("held_out_loss", np.inf))
        self._report(trainer.current_epoch + 1, self._n_epochs, **values)

    @property
    def note(self) -> str:
        """How many epochs there were, and after which the held-out loss was lowest."""
        lowest = int(np.argmin(self._held_out_losses)) + 1
        return f"{len(self._held_out_losses)}, held-out loss lowest after {lowest}"


def pack(blocks: Sequence[sp.csr_matrix], batch: Any, least: int) -> AnnData | MuData:
    """Return counts as scvi-tools takes them: AnnData of one block, MuData of genes and peaks.

    Fewer cells than ``least`` are repeated.
    """
    n_cells = blocks[0].shape[0]
    rows = np.resize(np.arange(n_cells), max(n_cells, least))
    batch = pd.Categorical(np.broadcast_to(np.asarray(batch, str), n_cells)[rows])
    parts = [AnnData(sp.csr_matrix(block, dtype=np.float32)[rows]) for block in blocks]
    for name, part in zip("gp", parts, strict=False):
        part.obs["batch"] = batch
        part.var_names = [f"{name}{number}" for number in range(part.n_vars)]
    if len(parts) == 1:
        return parts[0]
    with seed_global_generators(0), warnings.catch_warnings():  # mudata draws names of columns
        warnings.simplefilter("ignore", FutureWarning)
        cells = MuData({"rna": parts[0], "atac": parts[1]})
    cells.obs["_indices"] = np.arange(cells.n_obs)
    return cells


def train(method: ScviMethod, cells: AnnData | MuData, context: Context) -> tuple[Any, str]:
    """Return the model with the weights of the last epoch, and a note on the epochs."""
    p = method.params
    n_epochs = min(p.max_epochs, max(1, round(p.max_epochs * _MOST_UPDATED_CELLS / cells.n_obs)))
    seed = derive_seed(context.seed, method.name)
    with seed_global_generators(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scvi.settings.seed = seed  # of the split into training and held-out cells
        model = _new_model(method, cells)
        epochs = ReportEpochs(context, n_epochs)
        own = "lr" in signature(model.train).parameters
        step = {"lr": p.learning_rate}
        model.train(
            max_epochs=n_epochs, accelerator="gpu" if context.device == "cuda" else "cpu",
            devices=1, early_stopping=p.early_stopping, check_val_every_n_epoch=1,
            callbacks=[epochs], enable_progress_bar=False,
            default_root_dir=str(context.scratch), **(step if own else {"plan_kwargs": step}),
        )  # fmt: skip
    return model, epochs.note


def _new_model(method: ScviMethod, cells: AnnData | MuData) -> Any:
    model_class = _class(method)
    if isinstance(cells, MuData):
        parts = {"rna_layer": "rna", "atac_layer": "atac", "batch_key": "rna"}
        model_class.setup_mudata(cells, batch_key="batch", modalities=parts)
    else:
        model_class.setup_anndata(cells, batch_key="batch")
    return model_class(cells, **method.options())


def _class(method: ScviMethod) -> Any:
    return attrgetter(method.model)(scvi)


def embed(model: Any, cells: AnnData | MuData) -> np.ndarray:
    """Return the mean of the code of each cell, float32."""
    with seed_global_generators(0):  # it draws codes, too, which are not used
        codes = model.get_latent_representation(cells)
    return np.asarray(codes, dtype=np.float32)


def load(method: ScviMethod, folder: Path, features: list[list[str]], batches: list[str]) -> Any:
    """Return a saved model, on the CPU; it asks for cells of each batch, which count nothing."""
    blocks = [sp.csr_matrix(np.ones((len(batches), len(names)))) for names in features]
    cells = pack(blocks, batches, method.least_cells)
    with seed_global_generators(0):
        return _class(method).load(str(folder), adata=cells, accelerator="cpu")
