"""Readers of the sets of mouse brain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.formats import read_labels, read_text

from ._annotated_tables import read_annotated
from ._labelled_counts import join_annotation, keep_cells, keep_labelled, require_columns

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_ZEISEL_GROUPS = {
    "1": "interneurons", "2": "pyramidal SS", "3": "pyramidal CA1", "4": "oligodendrocytes",
    "5": "microglia", "6": "endothelial", "7": "astrocytes", "8": "ependymal", "9": "mural",
}  # fmt: skip
"""The nine groups that the line ``group #`` numbers."""


def read_zeisel(path: Path, level: str) -> AnnData:
    """Return the counts with the types of a level of the annotation."""
    adata = read_annotated(path, sep="\t", head=10, before=2, skip=1)
    require_columns(adata.obs, path, "group #", "cell_id", "level1class", "level2class")
    adata.obs_names = adata.obs["cell_id"].tolist()
    if level == "groups":
        adata.obs["cell_type"] = adata.obs["group #"].map(_ZEISEL_GROUPS)
    else:
        adata.obs["cell_type"] = adata.obs[f"{level}class"]
    return keep_labelled(adata, "cell_type", without=("(none)",))


def read_bhattacherjee(matrix: Path, annotation: Path, stage: str, level: str) -> AnnData:
    """Return the counts of the cells of a stage (or ``all``) with the types of a level."""
    adata = read_text(matrix, orientation="genes")
    adata = join_annotation(adata, read_labels(annotation), "bhattacherjee")
    require_columns(adata.obs, annotation, "CellType", "L2_clusters", "DevStage", "Sample")
    if stage != "all":
        own_stage = adata.obs["DevStage"].astype(str).str.lower() == stage.lower()
        adata = keep_cells(adata, own_stage.to_numpy(), f"not of stage {stage}")
    adata.obs["cell_type"] = adata.obs["CellType" if level == "class" else "L2_clusters"]
    return keep_labelled(adata, "cell_type")


def read_romanov(path: Path, level: str) -> AnnData:
    """Return the counts with the classes, or the neurons with their subclasses."""
    adata = read_annotated(path, sep=",", head=12, before=1)
    require_columns(adata.obs, path, "level1 class", "level2 class (neurons only)")
    adata.obs_names = adata.obs.iloc[:, 0].tolist()
    if level == "level1":
        adata.obs["cell_type"] = adata.obs["level1 class"]
        return keep_labelled(adata, "cell_type")
    neurons = (adata.obs["level1 class"] == "neurons").to_numpy()
    adata = keep_cells(adata, neurons, "not neurons, so without a subclass")
    adata.obs["cell_type"] = adata.obs["level2 class (neurons only)"]
    return keep_labelled(adata, "cell_type", without=("uc",))
