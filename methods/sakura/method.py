"""SAKURA, and its autoencoder without guidance."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.contract import ATAC, RNA, Context, DatasetInfo, Fit, Method, Parameters, Recipe

from .params import GuidedParameters, SakuraParameters

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData

    from .guidance import Guidance
    from .model import SakuraModel
    from .original_config.main_config import OriginalSetup


@dataclass(frozen=True)
class TrainingRequest:
    """Options of one training beyond its parameters."""

    insert: Sequence[str] = ()
    """``PART=FIT[:PART][:frozen]``."""
    go_on: Path | None = None
    """Finished fit or kept state from which the training continues."""
    keep_every: int = 0
    """Epochs between two states that are kept; 0: none."""
    features: frozenset[str] = frozenset()
    """Features of the file, also those that its preparation filters out."""


class SakuraUnguided(Method):
    """Autoencoder of SAKURA without guidance, the baseline of the guided method.

    Linear layers with CELU reconstruct log-normalised variable genes by squared error. The default
    differs from the published demonstration, which ``preset=faithful`` restores. Genes are
    centred: otherwise their means are most of the error and take hundreds of updates. Code and
    output have no activation. There is no absolute error, and no prior: its published weight is
    too small to act. Adam trains on 2,000 genes. The loss on a tenth of the cells, held out, stops
    it early.
    """

    name = "sakura_unguided"
    summary = "autoencoder of SAKURA without guidance"
    reference = (
        "SAKURA, single-cell data analysis with knowledge inputs from user using regularized "
        "autoencoders, version 0.1.0, https://yip-sakura.readthedocs.io"
    )
    modalities = frozenset({RNA, ATAC})
    family = "autoencoder"
    gpu = True
    resumes = True
    loss_measures: ClassVar[tuple[str, ...] | None] = (
        "n_top_genes", "scale", "mse_weight", "l1_weight", "validation",
    )  # fmt: skip

    class Params(SakuraParameters):
        """Parameters of the autoencoder."""

    params: Any
    guidance: Guidance | None = None
    """Guides of a file; ``None``: those of the dataset."""
    values: Mapping[str, np.ndarray] | None = None
    """Values of the cells for each phenotype of ``guidance``."""
    request: TrainingRequest = TrainingRequest()
    """Where the training starts, and the states that it keeps."""
    _kept: Path | None = None
    """Folder with the states that the last fit kept."""

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised counts of all genes, or TF-IDF of binarised peaks.

        The model selects variable genes itself and adds those of marker lists.
        """
        if info.modality == ATAC:
            return Recipe(min_cells=0.01, max_cells=0.9, binarize=True, tfidf=True)
        return Recipe(min_cells=2, target_sum=1e4, log1p=True)

    def fit(self, data: AnnData, context: Context) -> Fit:
        from .fitting import fit_sakura

        self._model, fit = fit_sakura(self, data, context)
        self._kept = context.checkpoints and context.checkpoints / "kept"
        return fit

    def transform(self, data: AnnData) -> np.ndarray:
        """Return the code of new cells; raises ``DataError`` if a feature is missing."""
        return self._model.transform(data, getattr(self.params, "embedding", "main"))

    @property
    def model(self) -> SakuraModel:
        """The fitted model, with predictions, reconstruction and further spaces."""
        return self._model

    def prepare_training(
        self, insert: Sequence[str] = (), go_on: Path | None = None, keep_every: int = 0,
        features: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Set parts of other fits to insert, a fit to continue and states to keep.

        Parameters
        ----------
        insert
            ``PART=FIT[:PART][:frozen]``, with ``encoder``, ``decoder`` or ``head:GUIDE`` as part.
        go_on
            Folder of a finished fit, or the file of a kept state.
        keep_every
            Epochs between two states that are kept beside the model; 0: none.
        features
            Features of the file. Those that another fit reads and the preparation of this file
            filters out are 0; features that the file lacks are refused.
        """
        self.request = TrainingRequest(tuple(insert), go_on, keep_every, frozenset(features))

    def configuration(self) -> dict[str, Any]:
        """Return settings, guides, sizes and splits of the fitted model as plain values."""
        from .saved_files import configuration

        return configuration(self._model)

    def predictions(
        self, data: AnnData, split: str = "all", *, reconstruct: bool = True
    ) -> dict[str, pd.DataFrame]:
        """Return every latent space, every head's predictions and the reconstruction.

        ``split``: name of a split of the fit, whose cells are chosen by name. Raises
        ``UsageError`` and ``DataError``.
        """
        from .saved_files import predictions

        return predictions(self._model, data, split, reconstruct=reconstruct)

    def story_tables(self, data: AnnData, path: Path) -> dict[str, pd.DataFrame]:
        """Return the tables of an inference story of the original (a JSON file)."""
        from .saved_files import story_tables

        return story_tables(self._model, data, path)

    def predict_inputs(self, data: AnnData) -> dict[str, pd.DataFrame]:
        """Return the heads' predictions of ``labels`` and ``proteins``, if these guided."""
        from .saved_files import predicted_phenotype

        names = {"type": "labels", "proteins": "proteins"}
        guides = {one.name: one for one in self._model.guidance.phenotypes}
        tables = {
            what: predicted_phenotype(self._model, data, guides[name])
            for name, what in names.items()
            if name in guides and self.guidance is None
        }
        if "labels" in tables:
            tables["labels"] = tables["labels"].drop(columns="predicted")
        return tables

    def save(self, path: Path) -> None:
        """Write the model, and the states that the fit kept."""
        self._model.save(path / "sakura.pt")
        if self._kept is not None and self._kept.is_dir():
            shutil.copytree(self._kept, path, dirs_exist_ok=True)

    def load(self, path: Path) -> None:
        """Read the model in a folder, or the model of a kept state."""
        from .model import SakuraModel

        self._model = SakuraModel.load(path if path.is_file() else path / "sakura.pt")


class Sakura(SakuraUnguided):
    """Autoencoder whose code predicts marker genes, proteins or types, or forgets batches.

    Each marker list is a signature. A head predicts its genes from the code, so that signals of
    few cells or genes survive. Proteins, log(1 + 10,000 x / depth), and the types of a share of
    the cells guide as phenotypes. Our extension removes batches by an adversary or gives them
    dimensions of their own.

    The default differs from the published demonstration (``preset=faithful``) as
    ``sakura_unguided`` does, and in the guidance. It starts in the first epochs and reaches its
    full weight; the demonstration starts after half of the steps and ends at a weight of 0.37.
    Targets have unit variance. The largest weight is that of the mean of a list's genes
    (``guide_score``), which is less noisy than single genes. Weights are relative to the first
    principal component: 1 gives a list as much room in the code as the largest difference of the
    data. Guidance and reconstruction learn on the same cells in one step. Heads are linear. See
    docs/sakura.md for the evidence.

    The adversary mixes batches but does not hide them. A logistic regression on the code of two
    simulated batches had accuracy .95, and .96 without the adversary. Without the penalty on the
    head's slope the regression found no batch, but types of a real set were lost.
    """

    name = "sakura"
    summary = "autoencoder guided by marker genes, proteins or labels"
    loss_measures = (
        "n_top_genes", "scale", "mse_weight", "l1_weight", "validation", "markers", "proteins",
        "label_share", "batch", "relative_weights", "guide_score", "guide_mse",
        "guide_phenotypes", "guide_l1", "guide_cosine",
    )  # fmt: skip

    class Params(GuidedParameters):
        """Parameters of the autoencoder and of its guidance."""

    params: Any

    def from_config(self, path: Path, adata: AnnData) -> Sakura:
        """Return the method with the guides of a file.

        A ``.json`` is a main configuration of the original and replaces the parameters. A
        ``.yaml`` has guides for these parameters. Ignored settings are logged. Raises
        ``UsageError`` or ``DataError`` that names file and key.
        """
        from .guidance_file import read_guidance
        from .original_config.main_config import read_setup

        if path.suffix.lower() == ".json":
            return ConfiguredSakura(read_setup(path, adata))
        method = Sakura(self.params)
        method.guidance, method.values = read_guidance(path, adata, self.params.n_latent)
        return method

    def describe(self) -> list[str]:
        """Return one line for each guide of a file."""
        from .describe import describe_guides

        return describe_guides(self.guidance, self.values or {}) if self.guidance else []

    def needs(self) -> frozenset[str]:
        """Return the inputs that guide with these parameters."""
        p = self.params
        if self.guidance is not None:
            return frozenset()
        inputs = {"markers": p.markers, "proteins": p.proteins, "labels": p.label_share > 0}
        return frozenset(name for name, used in inputs.items() if used)

    def may_use(self) -> frozenset[str]:
        """Return the batch if it is to be removed or to have dimensions of its own."""
        guided = self.guidance is None and self.params.batch != "none"
        return frozenset({"batch"}) if guided else frozenset()


class ConfiguredSakura(Sakura):
    """SAKURA with a configuration of the original."""

    class Params(Parameters):
        """No parameters: the configuration sets everything."""

    def __init__(self, setup: OriginalSetup) -> None:
        super().__init__(self.Params())
        self.setup, self.guidance, self.values = setup, setup.guidance, setup.values

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised counts of all genes, as in the original's tutorial."""
        return Recipe(target_sum=1e4, log1p=True)

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the main dimensions of each cell, and the tables of the configuration."""
        from .fitting import fit_setup

        self._model, fit = fit_setup(self.setup, data, context, self.request)
        self._kept = context.checkpoints and context.checkpoints / "kept"
        return fit

    def describe(self) -> list[str]:
        """Return lines on network, terms, splits, tasks and tables."""
        from .describe import describe_setup

        return describe_setup(self.setup)
