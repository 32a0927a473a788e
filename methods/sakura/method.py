"""SAKURA and its unguided twin as methods of the harness."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.contract import ATAC, RNA, Context, DatasetInfo, Fit, Method, Recipe

from .params import GuidedParameters, SakuraParameters

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

    from .guidance import Guidance
    from .model import SakuraModel
    from .original_config.main_config import OriginalSetup


class SakuraUnguided(Method):
    """The autoencoder of SAKURA without guidance, the baseline of its guided twin.

    Linear layers with CELU, mean squared error of log-normalised variable genes; the code is the
    embedding. Differences of the default to the published demonstration, which
    ``preset=faithful`` restores: genes are centred (else most of the error is their mean, which
    takes hundreds of updates to learn), but not scaled; code and reconstruction are not bounded
    by an activation, no absolute error, no prior (its weight there is too small to act), Adam,
    2,000 genes, all cells train and a tenth stops training early.
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
    """Phenotype of ``guidance`` → values of the cells."""

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised counts of all genes, or TF-IDF of binarised peaks.

        The model itself selects variable genes, because it adds those of marker lists.
        """
        if info.modality == ATAC:
            return Recipe(min_cells=0.01, max_cells=0.9, binarize=True, tfidf=True)
        return Recipe(min_cells=2, target_sum=1e4, log1p=True)

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the code of each cell, (cells, dims)."""
        from .fitting import fit_sakura

        self._model, fit = fit_sakura(self, data, context)
        return fit

    def transform(self, data: AnnData) -> np.ndarray:
        """Return the code of new cells, prepared like the training cells, (cells, dims).

        Raises ``DataError`` if a feature of the model is missing.
        """
        return self._model.transform(data, getattr(self.params, "embedding", "main"))

    @property
    def model(self) -> SakuraModel:
        """The fitted model: predictions, reconstruction, further spaces."""
        return self._model

    def save(self, path: Path) -> None:
        """Write the model into the folder ``path``."""
        self._model.save(path / "sakura.pt")

    def load(self, path: Path) -> None:
        """Read the model of :meth:`save`."""
        from .fitting import SakuraModel

        self._model = SakuraModel.load(path / "sakura.pt")


class Sakura(SakuraUnguided):
    """Autoencoder whose code predicts marker genes, proteins or types, or forgets batches.

    Each marker list is a signature: a head predicts its genes from the code, and its error shapes
    the code beside the reconstruction, so that signals of few cells or genes survive. Proteins
    (log(1 + 10,000 x / depth)) and true types of a share of the cells guide as phenotypes.
    Batches are removed against an adversary or have dimensions of their own; that is our
    extension.

    The default differs from the published demonstration (``preset=faithful``) as that of
    ``sakura_unguided`` does, and in this. Guidance acts from the first epochs and reaches its
    full weight; in the demonstration it starts after more than half of the steps and ends at
    0.37. Targets have unit variance, so that no gene outweighs the others. The largest weight is
    that of the mean of a list's targets (``guide_score``), which is less noisy than single genes.
    Weights are relative to the first principal component of the inputs: 1 gives a list as much
    room in the code as the largest difference of the data. Both tasks learn on the same cells in
    one step; heads are linear. docs/sakura.md has the evidence.

    Limitation: the adversary (``batch=adversarial``) mixes batches but does not hide them. With
    the slope of its head held small, a logistic regression on the standardised code still
    separated two simulated batches (accuracy .95, without the adversary .96); without that
    penalty it did not, but types of a real set were lost.
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

        A ``.json`` is a main configuration of the original, whose settings replace the
        parameters; a ``.yaml`` has guides for these parameters. Unsupported settings and choices
        are logged. Raises ``UsageError`` or ``DataError`` that names file and key.
        """
        from .fitting import read_guidance, read_setup

        if path.suffix.lower() == ".json":
            return ConfiguredSakura(read_setup(path, adata))
        method = Sakura(self.params)
        method.guidance, method.values = read_guidance(path, adata, self.params.n_latent)
        return method

    def describe(self) -> list[str]:
        """Return one line for each guide of a file; nothing for guides of a dataset."""
        from .fitting import describe_guides

        return describe_guides(self.guidance) if self.guidance else []

    def uses(self) -> frozenset[str]:
        """Return the optional inputs that guide with these parameters."""
        p = self.params
        if self.guidance is not None:
            return frozenset()
        inputs = {
            "markers": p.markers, "proteins": p.proteins, "labels": p.label_share > 0,
            "batch": p.batch != "none",
        }  # fmt: skip
        return frozenset(name for name, used in inputs.items() if used)


class ConfiguredSakura(Sakura):
    """SAKURA with a configuration of the original."""

    def __init__(self, setup: OriginalSetup) -> None:
        super().__init__(Sakura.Params())
        self.setup, self.guidance, self.values = setup, setup.guidance, setup.values

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised counts of all genes, as in the original's tutorial."""
        return Recipe(target_sum=1e4, log1p=True)

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the main dimensions of each cell, and the tables of the story."""
        from .fitting import fit_setup

        self._model, fit = fit_setup(self.setup, data, context)
        return fit

    def describe(self) -> list[str]:
        """Return the whole configuration in lines: network, terms, splits, tasks, tables."""
        from .fitting import describe_setup

        return describe_setup(self.setup)
