"""Mouse brain: cortex and hippocampus, prefrontal cortex, hypothalamus."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.contract import RNA, Card, Parameters, RemoteFile

from ._published import Published
from ._rna_tables import GEO_LICENCE, geo, join, keep_cells, keep_labelled, need, read_annotated

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

ZEISEL_GROUPS = {
    "1": "interneurons", "2": "pyramidal SS", "3": "pyramidal CA1", "4": "oligodendrocytes",
    "5": "microglia", "6": "endothelial", "7": "astrocytes", "8": "ependymal", "9": "mural",
}  # fmt: skip
"""The nine groups that the line ``group #`` numbers."""


class Zeisel(Published):
    """3,005 cells of mouse cortex and hippocampus with the authors' annotation.

    The file of the authors begins with ten lines about the cells; a choice of three levels of
    types is made by ``level``: ``level1`` (the line level1class, 7 classes, the labels most
    papers use), ``groups`` (the line group #, the 9 clusters of the first round, in which
    endothelial and mural cells, and astrocytes and ependymal cells, are apart) and ``level2``
    (the line level2class, 47 subclasses; the 189 cells marked "(none)" are dropped). Types come
    from biclustering of the same counts and marker genes: good for the classes, a convention for
    the subclasses.
    """

    name = "zeisel"
    card = Card(
        modality=RNA,
        summary="mouse cortex and hippocampus, 7 classes (47 subclasses)",
        label_key="cell_type",
        n_cells=3005,
        n_features=19972,
        n_types=7,
        organism="mouse",
        reference="Zeisel et al. 2015, Science 347:1138, doi 10.1126/science.aaa1934",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE60361",
        licence=GEO_LICENCE,
        labels_from="the authors' biclustering of the same counts, named by marker genes",
        tags=("brain",),
        files=(
            RemoteFile(
                "expression_mRNA_17-Aug-2014.txt",
                "https://storage.googleapis.com/linnarsson-lab-www-blobs/blobs/cortex/"
                "expression_mRNA_17-Aug-2014.txt",
                "md5:6bb4c2a9ade87b16909d39004021849e",
            ),
        ),
        documented="https://github.com/scverse/scvi-tools/blob/"
        "3f0cb9e71f4ebab7c5df0f2a55c9011c10080c9c/scvi/data/_built_in_data/_cortex.py (lines of "
        "the file); https://github.com/hemberg-lab/scRNA.seq.datasets/blob/master/R/zeisel.R "
        "(names of the groups)",
    )

    class Params(Parameters):
        """Level of the annotation."""

        level: Literal["level1", "groups", "level2"] = Field(
            "level1", description="7 classes, 9 groups or 47 subclasses"
        )

    params: Params

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.params.level == "groups":
            self.card = replace(self.card, n_types=9)
        elif self.params.level == "level2":
            self.card = replace(self.card, n_cells=3005 - 189, n_types=47)

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts (3,005 × 19,972 in the published file)."""
        (path,) = files.values()
        adata = read_annotated(path, sep="\t", head=10, before=2, skip=1)
        need(adata, path, "group #", "cell_id", "level1class", "level2class")
        adata.obs_names = adata.obs["cell_id"].tolist()
        if self.params.level == "groups":
            adata.obs["cell_type"] = adata.obs["group #"].map(ZEISEL_GROUPS)
        else:
            adata.obs["cell_type"] = adata.obs[f"{self.params.level}class"]
        return keep_labelled(adata, "cell_type", no_type=("(none)",))


class Bhattacherjee(Published):
    """Cells of the mouse prefrontal cortex, adult or 21 days old.

    GEO's processed matrix holds 35,360 cells that the authors kept, of 8 classes; papers use the
    24,822 adult ones (``stage=adult``, the default). ``level=subtype`` takes the column
    L2_clusters in place of CellType. Types come from clustering of the same counts and known
    markers. Batch is the sample, and samples differ in treatment (saline, cocaine) too.
    """

    name = "bhattacherjee"
    card = Card(
        modality=RNA,
        summary="mouse prefrontal cortex, 8 classes, adult cells",
        label_key="cell_type",
        batch_key="Sample",
        n_cells=24822,
        n_features=21000,
        n_types=8,
        organism="mouse",
        reference="Bhattacherjee et al. 2019, Nature Communications 10:4169, "
        "doi 10.1038/s41467-019-12054-3",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE124952",
        licence=GEO_LICENCE,
        labels_from="the authors' clustering of the same counts, named by marker genes",
        tags=("brain", "batches"),
        files=(
            geo(
                "GSE124952", "GSE124952_expression_matrix.csv.gz",
                "md5:81de6c10e73e41e06ec91128bc2c16f7", 92_321_939,
            ),
            geo(
                "GSE124952", "GSE124952_meta_data.csv.gz",
                "md5:cde3dc48b47926ba753f0204c973a290", 881_812,
            ),
        ),
        documented="https://github.com/marvinquiet/RefConstruction_supervisedCelltyping/blob/"
        "a5f810ba625656db7ddcb76b1bc5795e5a37850f/preprocess/load_mouseFC_data.py",
    )  # fmt: skip

    class Params(Parameters):
        """Which cells, and which level of the annotation."""

        stage: Literal["adult", "P21", "all"] = Field("adult", description="age of the animals")
        level: Literal["class", "subtype"] = Field(
            "class", description="column CellType, or L2_clusters"
        )

    params: Params

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        cells = {"adult": 24822, "P21": 35360 - 24822, "all": 35360}[self.params.stage]
        if self.params.level == "class":
            self.card = replace(self.card, n_cells=cells)
        else:
            self.card = replace(self.card, n_cells=None, n_types=None)

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts of the cells asked for."""
        from bench.data.formats import read_labels, read_text

        matrix, facts = files.values()
        adata = read_text(matrix, orientation="genes")
        adata = join(adata, read_labels(facts), self.name)
        need(adata, facts, "CellType", "L2_clusters", "DevStage", "Sample")
        if self.params.stage != "all":
            stage = adata.obs["DevStage"].astype(str).str.lower()
            wanted = (stage == self.params.stage.lower()).to_numpy()
            adata = keep_cells(adata, wanted, f"not of stage {self.params.stage}")
        column = "CellType" if self.params.level == "class" else "L2_clusters"
        adata.obs["cell_type"] = adata.obs[column]
        return keep_labelled(adata, "cell_type")


class Romanov(Published):
    """2,881 cells of the mouse hypothalamus.

    Read is the copy of GEO's workbook as text that the Hemberg laboratory keeps; eleven lines
    about the cells lie between the names of the cells and the genes. ``level=level2`` keeps the
    neurons with a subclass (line "level2 class (neurons only)", without "uc", unclassified).
    Types come from clustering of the same counts.
    """

    name = "romanov"
    card = Card(
        modality=RNA,
        summary="mouse hypothalamus, 7 classes",
        label_key="cell_type",
        n_cells=2881,
        n_features=24341,
        n_types=7,
        organism="mouse",
        reference="Romanov et al. 2017, Nature Neuroscience 20:176, doi 10.1038/nn.4462",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE74672",
        licence=GEO_LICENCE,
        labels_from="the authors' clustering of the same counts, named by marker genes",
        tags=("brain", "deep-clustering"),
        files=(
            RemoteFile(
                "GSE74672_expressed_mols_with_classes.csv",
                "https://s3.amazonaws.com/scrnaseq-public-datasets/manual-data/romanov/"
                "GSE74672_expressed_mols_with_classes.csv",
            ),
        ),
        documented="https://github.com/hemberg-lab/scRNA.seq.datasets/blob/master/R/romanov.R",
    )

    class Params(Parameters):
        """Level of the annotation."""

        level: Literal["level1", "level2"] = Field(
            "level1", description="7 classes, or the subclasses of the neurons"
        )

    params: Params

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.params.level == "level2":
            self.card = replace(self.card, n_cells=None, n_types=None)

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts (2,881 × 24,341 in the published file at level1)."""
        (path,) = files.values()
        adata = read_annotated(path, sep=",", head=12, before=1)
        need(adata, path, "level1 class", "level2 class (neurons only)")
        cells = next(iter(adata.obs.columns))
        adata.obs_names = adata.obs[cells].tolist()
        if self.params.level == "level1":
            adata.obs["cell_type"] = adata.obs["level1 class"]
            return keep_labelled(adata, "cell_type")
        neurons = (adata.obs["level1 class"] == "neurons").to_numpy()
        adata = keep_cells(adata, neurons, "not neurons, so without a subclass")
        adata.obs["cell_type"] = adata.obs["level2 class (neurons only)"]
        return keep_labelled(adata, "cell_type", no_type=("uc",))
