"""The sets that papers on deep clustering share, as files with X (counts) and Y (labels)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.contract import RNA, Card, Parameters, RemoteFile

from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_COMMIT = "84f29c345b2b6b0d61131f733fb6180fa0b6e56e"
_FOLDER = f"https://raw.githubusercontent.com/ttgump/scDCC/{_COMMIT}/data/Small_Datasets/"
_PAPERS = (
    "Tian et al. 2021, Nature Communications 12:1873, doi 10.1038/s41467-021-22008-3 (this file)"
)


def _card(**facts: Any) -> Card:
    return Card(
        modality=RNA,
        label_key="cell_type",
        licence="Apache-2.0 (repository scDCC)",
        documented="https://github.com/ttgump/scDCC/blob/"
        "11e5e596c082ace8bd02fa60ff18dace2c6312b1/scDCC_pairwise.py",
        **facts,
    )


class _XY(Published):
    """One of the files of the repository scDCC: 2,000 most variable genes, without names."""

    stems: ClassVar[dict[str, str]]
    """Start of the file's name for each choice of cells."""
    seen: ClassVar[dict[str, str]] = {}
    """Checksums of the files that were read here."""

    class Params(Parameters):
        """Which of the two files of a set."""

        cells: Literal["all", "2100"] = Field(
            "all",
            description="all cells, or the 2,100 drawn at random for the comparisons of scDCC",
        )

    params: Params

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.params.cells == "2100":
            file = self.file("2100")
            self.card = replace(
                self.card, files=(file,), n_cells=2100, verified=bool(file.checksum)
            )

    @classmethod
    def file(cls, cells: str) -> RemoteFile:
        """Return the file for a choice of cells."""
        name = f"{cls.stems[cells]}_top2000.h5"
        return RemoteFile(name, _FOLDER + name, cls.seen.get(cells, ""))

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts with the labels, whose numbers have no names."""
        from bench.data.formats import read_xy_h5

        (path,) = files.values()
        return read_xy_h5(path)


class Pbmc10x4k(_XY):
    """4,271 of the cells of ``pbmc4k``, the "10X PBMC" of the papers on deep clustering.

    The labels are graph clusters that Cell Ranger computed from the same counts, 8 of them from
    135 to 1,292 cells: agreement says how close a method comes to that pipeline.
    """

    name = "pbmc_10x4k"
    stems: ClassVar[dict[str, str]] = {"all": "10X_PBMC", "2100": "10X_PBMC_select_2100"}
    seen: ClassVar[dict[str, str]] = {
        "2100": "sha256:96af3385b2f9e3c059cc51b724319dd62c4ef713be3667632a10012de272af09"
    }
    card = _card(
        summary="human blood cells, the '10X PBMC' of papers (8 graph clusters)",
        n_cells=4271,
        n_features=2000,
        n_types=8,
        organism="human",
        reference="Zheng et al. 2017, doi 10.1038/ncomms14049; " + _PAPERS,
        url="https://support.10xgenomics.com/single-cell-gene-expression/datasets/2.1.0/pbmc4k",
        labels_from="Cell Ranger's graph clustering of the same counts",
        tags=("blood", "deep-clustering", "labels-from-clusters"),
        files=(RemoteFile("10X_PBMC_top2000.h5", _FOLDER + "10X_PBMC_top2000.h5"),),
    )


class MouseBladder(_XY):
    """2,746 cells of the mouse bladder out of the Mouse Cell Atlas (Microwell-seq).

    The 16 types are the atlas' annotation, numbered, from 13 to 717 cells: clusters of the same
    counts named by marker genes.
    """

    name = "mouse_bladder"
    stems: ClassVar[dict[str, str]] = {
        "all": "mouse_bladder_cell",
        "2100": "mouse_bladder_cell_select_2100",
    }
    card = _card(
        summary="mouse bladder of the Mouse Cell Atlas (16 types)",
        n_cells=2746,
        n_features=2003,
        n_types=16,
        organism="mouse",
        reference="Han et al. 2018, Cell 172:1091, doi 10.1016/j.cell.2018.02.001; " + _PAPERS,
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE108097",
        labels_from="the atlas' clustering of the same counts, named by marker genes",
        tags=("bladder", "deep-clustering"),
        files=(
            RemoteFile("mouse_bladder_cell_top2000.h5", _FOLDER + "mouse_bladder_cell_top2000.h5"),
        ),
    )


class WormNeuron(_XY):
    """4,186 neurons of the worm *C. elegans* at the L2 stage (sci-RNA-seq).

    The 10 kinds of neurons are the authors' annotation, numbered: clusters of the same counts
    named by marker genes. Very sparse, and hard for every method.
    """

    name = "worm_neuron"
    stems: ClassVar[dict[str, str]] = {
        "all": "worm_neuron_cell",
        "2100": "worm_neuron_cell_select_2100",
    }
    card = _card(
        summary="neurons of C. elegans (10 types)",
        n_cells=4186,
        n_features=None,
        n_types=10,
        organism="worm",
        reference="Cao et al. 2017, Science 357:661, doi 10.1126/science.aam8940; " + _PAPERS,
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE98561",
        labels_from="the authors' clustering of the same counts, named by marker genes",
        tags=("worm", "deep-clustering"),
        files=(
            RemoteFile("worm_neuron_cell_top2000.h5", _FOLDER + "worm_neuron_cell_top2000.h5"),
        ),
    )


class HumanKidney(_XY):
    """5,685 cells of the human kidney (10x); the set that other papers call "Young".

    The 11 types are the authors' annotation, numbered, from 60 to 1,498 cells: clusters of the
    same counts named by marker genes.
    """

    name = "human_kidney"
    stems: ClassVar[dict[str, str]] = {
        "all": "human_kidney_counts",
        "2100": "human_kidney_select_2100",
    }
    card = _card(
        summary="human kidney, also called 'Young' (11 types)",
        n_cells=5685,
        n_features=None,
        n_types=11,
        organism="human",
        reference="Young et al. 2018, Science 361:594, doi 10.1126/science.aat1699; " + _PAPERS,
        url="https://www.science.org/doi/10.1126/science.aat1699",
        labels_from="the authors' clustering of the same counts, named by marker genes",
        tags=("kidney", "deep-clustering"),
        files=(
            RemoteFile(
                "human_kidney_counts_top2000.h5", _FOLDER + "human_kidney_counts_top2000.h5"
            ),
        ),
    )
