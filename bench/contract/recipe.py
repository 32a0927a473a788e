"""What a method wants done to the counts before it sees them.

A :class:`Recipe` is pure data: two methods with equal recipes share one prepared, cached matrix.
The steps run in the order of the fields; ``bench.prepare`` carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

RNA, ATAC, MULTIOME = "rna", "atac", "multiome"
"""The modalities a dataset can have and a method can declare."""


@dataclass(frozen=True)
class DatasetInfo:
    """The facts about a dataset that a recipe may depend on; none of them needs a label."""

    name: str
    modality: str
    n_cells: int
    n_features: int
    binary: bool
    """True if every stored value is 0 or 1 (chromatin that was binarised by its authors)."""
    integer: bool
    """True if the matrix holds whole numbers, that is counts."""
    has_batch: bool
    mean_counts: float
    """Mean of the total counts of a cell."""
    density: float
    """Share of the entries that are not zero."""


@dataclass(frozen=True)
class Recipe:
    """Preparation of a matrix of counts, cells × features; steps run in this order."""

    min_features: int = 0
    """Cells with fewer detected features are left out (scored cells and coverage then say so)."""
    min_cells: float = 0
    """Features must be detected in more than this many cells; below 1: more than this share."""
    max_cells: float = 1.0
    """Features must be detected in less than this share of the cells; 1.0: no bound."""
    binarize: bool = False
    """Counts above zero become one."""
    tfidf: bool = False
    """Term frequency × inverse document frequency, log(1 + tf · idf · 1e4)."""
    target_sum: float | None = None
    """Depth normalisation: each cell is scaled to this many counts over all kept features."""
    log1p: bool = False
    n_top_features: int | None = None
    """Keep this many highly variable features (ranked on the log-normalised matrix)."""
    flavor: Literal["seurat", "seurat_v3"] = "seurat"
    """How variability is measured; ``seurat_v3`` reads the counts."""
    batch_aware: bool = False
    """Rank features within each batch and merge the ranks; the method must use ``batch``."""
    max_abs: bool = False
    """Divide each feature by its largest absolute value; keeps zeros."""
    scale: bool = False
    """Zero mean and unit variance per feature; the result is dense."""
    max_value: float | None = None
    """Clip scaled values to ± this many standard deviations."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)


def log_normalized(info: DatasetInfo, *, n_top_genes: int = 2000, scale: bool = True) -> Recipe:
    """Return the standard RNA recipe: 10,000 counts, log1p, variable genes, scaled to ± 10."""
    return Recipe(
        min_cells=2,
        target_sum=1e4,
        log1p=True,
        n_top_features=n_top_genes if info.n_features > n_top_genes else None,
        scale=scale,
        max_value=10.0 if scale else None,
    )


def accessible_peaks(*, low: float = 0.01, high: float = 0.9, min_peaks: int = 0) -> Recipe:
    """Return the chromatin recipe: binarised, peaks open in more than ``low`` of the cells.

    Source of the two filters: SCALE (Xiong et al. 2019) and Huang et al. 2021.
    """
    return Recipe(min_features=min_peaks, min_cells=low, max_cells=high, binarize=True)


# Pairs of recipes: ``bench.digests.preparation_digest`` ends above this line, because a part of
# paired data is prepared by its own recipe exactly as data of one modality are.


@dataclass(frozen=True)
class PairedInfo(DatasetInfo):
    """The facts about paired data; counts of genes and of peaks of the same cells.

    ``n_features``, ``mean_counts`` and ``density`` are of both together.
    """

    parts: dict[str, DatasetInfo]
    """The facts about each modality, by ``rna`` and ``atac``."""


@dataclass(frozen=True)
class PairedRecipe:
    """Preparation of both modalities of paired data; cells must be kept by both."""

    rna: Recipe
    atac: Recipe

    @property
    def batch_aware(self) -> bool:
        """True if either part ranks features within each batch."""
        return self.rna.batch_aware or self.atac.batch_aware

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)


def recipe_from_dict(values: dict[str, Any]) -> Recipe | PairedRecipe:
    """Return the recipe, of one modality or paired, that ``as_dict`` gave these values of."""
    if values.keys() == {RNA, ATAC}:
        return PairedRecipe(**{part: Recipe(**steps) for part, steps in values.items()})
    return Recipe(**values)


def dataset_info_from_dict(values: Mapping[str, Any]) -> DatasetInfo:
    """Return the facts about a dataset, of paired data with their parts, from plain values."""
    own = dict(values)
    parts = own.pop("parts", None)
    if parts is None:
        return DatasetInfo(**own)
    return PairedInfo(**own, parts={name: DatasetInfo(**part) for name, part in parts.items()})


def combine_infos(parts: Mapping[str, DatasetInfo], name: str, modality: str) -> PairedInfo:
    """Return the facts about both parts together."""
    ones = list(parts.values())
    n_features = sum(one.n_features for one in ones)
    stored = sum(one.density * one.n_features for one in ones)
    return PairedInfo(
        name=name,
        modality=modality,
        n_cells=ones[0].n_cells,
        n_features=n_features,
        binary=all(one.binary for one in ones),
        integer=all(one.integer for one in ones),
        has_batch=ones[0].has_batch,
        mean_counts=sum(one.mean_counts for one in ones),
        density=stored / n_features,
        parts=dict(parts),
    )
