"""The preparation of counts that a method needs.

A :class:`Recipe` is pure data: two methods with equal recipes share one prepared, cached matrix.
``bench.prepare`` carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

RNA, ATAC, MULTIOME = "rna", "atac", "multiome"
"""The modalities a dataset can have and a method can declare."""


@dataclass(frozen=True)
class DatasetInfo:
    """The facts about a dataset that a recipe may depend on; none of them needs a label.

    Parameters
    ----------
    name
        Name of the dataset.
    modality
        ``RNA``, ``ATAC`` or ``MULTIOME``.
    n_cells, n_features
        Shape of the counts.
    binary
        Whether every stored value is 1 (chromatin that its authors binarised).
    integer
        Whether all values are whole numbers, that is counts.
    has_batch
        Whether the batch of each cell is known.
    mean_counts
        Mean total count of the cells.
    density
        Share of the entries that are not zero.
    """

    name: str
    modality: str
    n_cells: int
    n_features: int
    binary: bool
    integer: bool
    has_batch: bool
    mean_counts: float
    density: float


@dataclass(frozen=True)
class Recipe:
    """Preparation of a matrix of counts, cells × features; steps run in this order.

    Parameters
    ----------
    min_features
        Cells with fewer detected features are removed (scored cells and coverage show it).
    min_cells
        Features must be detected in more than this many cells; below 1: more than this share.
    max_cells
        Features must be detected in less than this share of the cells; 1.0: no bound.
    binarize
        Counts above zero become one.
    tfidf
        Term frequency × inverse document frequency, log(1 + tf · idf · 1e4).
    target_sum
        Depth normalisation: each cell is scaled to this total over all filtered features.
    log1p
        Logarithm of one plus the value.
    n_top_features
        Number of highly variable features (ranked on the log-normalised matrix); ``None``: all.
    flavor
        How variability is measured; ``seurat_v3`` reads the counts.
    batch_aware
        Rank features within each batch and merge the ranks; the method must use ``batch``.
    max_abs
        Divide each feature by its largest absolute value; zeros stay.
    scale
        Zero mean and unit variance of each feature; the result is dense.
    max_value
        Clip scaled values to ± this many standard deviations.
    """

    min_features: int = 0
    min_cells: float = 0
    max_cells: float = 1.0
    binarize: bool = False
    tfidf: bool = False
    target_sum: float | None = None
    log1p: bool = False
    n_top_features: int | None = None
    flavor: Literal["seurat", "seurat_v3"] = "seurat"
    batch_aware: bool = False
    max_abs: bool = False
    scale: bool = False
    max_value: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)


def log_normalized(info: DatasetInfo, *, n_top_genes: int = 2000, scale: bool = True) -> Recipe:
    """Return the standard RNA recipe: 10,000 counts, log1p, variable genes, scaled to ± 10.

    Parameters
    ----------
    info
        Facts about the dataset.
    n_top_genes
        Number of highly variable genes; if the data have no more, none is removed.
    scale
        Whether genes are scaled to zero mean and unit variance.
    """
    return Recipe(
        min_cells=2,
        target_sum=1e4,
        log1p=True,
        n_top_features=n_top_genes if info.n_features > n_top_genes else None,
        scale=scale,
        max_value=10.0 if scale else None,
    )


def accessible_peaks(*, low: float = 0.01, high: float = 0.9, min_peaks: int = 0) -> Recipe:
    """Return the chromatin recipe: binarised counts of peaks that are neither rare nor common.

    Source of the two filters: SCALE (Xiong et al. 2019) and Huang et al. 2021.

    Parameters
    ----------
    low, high
        A peak must be open in more than ``low`` and less than ``high`` of the cells (shares).
    min_peaks
        Cells with fewer open peaks are removed.
    """
    return Recipe(min_features=min_peaks, min_cells=low, max_cells=high, binarize=True)


@dataclass(frozen=True)
class PairedInfo(DatasetInfo):
    """The facts about paired data: counts of genes and of peaks of the same cells.

    Parameters
    ----------
    parts
        The facts about each modality, by ``rna`` and ``atac``. The object's own ``n_features``,
        ``mean_counts`` and ``density`` describe both together.
    """

    parts: dict[str, DatasetInfo]


@dataclass(frozen=True)
class PairedRecipe:
    """Preparation of both modalities of paired data; a cell must pass the filters of both.

    Parameters
    ----------
    rna, atac
        The recipe of each modality.
    """

    rna: Recipe
    atac: Recipe

    @property
    def batch_aware(self) -> bool:
        """Whether either part ranks features within each batch."""
        return self.rna.batch_aware or self.atac.batch_aware

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe | PairedRecipe:
    """Return the recipe with the values that ``as_dict`` returned, of one modality or paired."""
    if values.keys() == {RNA, ATAC}:
        return PairedRecipe(**{part: Recipe(**steps) for part, steps in values.items()})
    return Recipe(**values)


def dataset_info_from_dict(values: Mapping[str, Any]) -> DatasetInfo:
    """Return the facts about a dataset, of paired data with their parts, from plain values."""
    if "parts" not in values:
        return DatasetInfo(**values)
    parts = {name: DatasetInfo(**part) for name, part in values["parts"].items()}
    return PairedInfo(**{**values, "parts": parts})


def combine_infos(parts: Mapping[str, DatasetInfo], name: str, modality: str) -> PairedInfo:
    """Return the facts about both parts together."""
    infos = list(parts.values())
    n_features = sum(info.n_features for info in infos)
    stored = sum(info.density * info.n_features for info in infos)
    return PairedInfo(
        name=name,
        modality=modality,
        n_cells=infos[0].n_cells,
        n_features=n_features,
        binary=all(info.binary for info in infos),
        integer=all(info.integer for info in infos),
        has_batch=infos[0].has_batch,
        mean_counts=sum(info.mean_counts for info in infos),
        density=stored / n_features,
        parts=dict(parts),
    )
