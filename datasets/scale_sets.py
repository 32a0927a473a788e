"""The seven chromatin sets that SCALE distributes, each one .h5ad file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.contract import ATAC, Card, RemoteFile, format_peak_names

from ._chromatin import assemble, column, raw
from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_README = "https://github.com/jsxlei/SCALE#data-availability"
_COLUMNS = (
    "https://github.com/jiatingyu-amss/SCARP/blob/3a7163b17fa2866a3a7ca9a93a4a35cdc8195acf/"
    "Exp1_Benchmark/S01_Data_Preprocessing.ipynb"
)
_SCALE = "as in SCALE: Xiong et al. 2019, Nature Communications 10:4576, "
_SCALE += "doi 10.1038/s41467-019-12630-7"


def _file(name: str) -> tuple[RemoteFile, ...]:
    """Return the file at the address in SCALE's README (http only, no checksum is given)."""
    return (RemoteFile(f"{name}.h5ad", f"http://zhanglab.net/SCALE_SOURCE_DATA/{name}.h5ad"),)


def _card(
    name: str,
    summary: str,
    *,
    sizes: tuple[int, int, int],
    organism: str,
    reference: str,
    labels_from: str,
    tags: tuple[str, ...],
) -> Card:
    """Return a card; ``sizes`` are cells, peaks and types."""
    return Card(
        modality=ATAC,
        summary=summary,
        label_key="cell_type",
        n_cells=sizes[0],
        n_features=sizes[1],
        n_types=sizes[2],
        organism=organism,
        reference=f"{reference}; {_SCALE}",
        url="https://github.com/jsxlei/SCALE",
        licence="none stated for the matrix (SCALE's code: MIT)",
        labels_from=labels_from,
        tags=("scale", *tags),
        files=_file(name),
        documented=f"{_README} (addresses); {_COLUMNS} (obs column celltype, sizes)",
    )


class ScaleSet(Published):
    """Base: cells × peaks in ``X``, types in ``obs["celltype"]``, peaks as ``chr1_100_200``."""

    without: ClassVar[tuple[str, ...]] = ()
    """Labels that are no type; their cells are left out and counted."""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the matrix (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        from bench.data.formats import read_counts

        (path,) = files.values()
        source = read_counts(path)
        return assemble(
            raw(source),
            cells=list(source.obs_names),
            features=format_peak_names(source.var_names),
            labels=column(source.obs, "celltype", f"{self.name}: {path}"),
            label_key=self.card.label_key,
            without=self.without,
            where=self.name,
        )


class Forebrain(ScaleSet):
    """Adult mouse forebrain nuclei by combinatorial indexing (GSE100033), open or closed.

    The values are 0 and 1: depth beyond the number of open peaks is lost. The types are the
    authors' clusters of the same data (three excitatory, two inhibitory, astrocytes,
    oligodendrocytes, microglia), so a method that resembles their clustering has an advantage.
    """

    name = "forebrain"
    card = _card(
        "Forebrain",
        "2,088 nuclei of mouse forebrain, binary, SCALE's selection of peaks",
        sizes=(2088, 11285, 8),
        organism="mouse",
        reference="Preissl et al. 2018, Nature Neuroscience 21:432, doi 10.1038/s41593-018-0079-3",
        labels_from="the authors' clustering of the same data, named by marker genes",
        tags=("brain", "binary"),
    )


class Leukemia(ScaleSet):
    """Blood progenitors, monocytes and the leukaemic cells of two patients (GSE74310).

    Sorted or taken from a patient, so the labels do not rest on the chromatin; but a label is also
    a sample: cells of one patient differ from those of the other by person and by experiment.
    The file is the copy of SCALE's set that the authors of SCARP keep in their repository.
    """

    name = "leukemia"
    card = Card(
        modality=ATAC,
        summary="391 sorted human blood and leukaemia cells (Fluidigm C1)",
        label_key="cell_type",
        n_cells=391,
        n_features=7602,
        n_types=6,
        organism="human",
        reference="Corces et al. 2016, Nature Genetics 48:1193, doi 10.1038/ng.3646; " + _SCALE,
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE74310",
        licence="MIT (repository Wu-Lab/SCARP)",
        labels_from="cell sorting and patient; type and sample are the same thing",
        tags=("scale", "blood"),
        files=(
            RemoteFile(
                "Leukemia.h5ad",
                "https://raw.githubusercontent.com/Wu-Lab/SCARP/"
                "48193a7120147981ebaddb8c45950b8965ad4227/Example_data/Leukemia.h5ad",
            ),
        ),
        documented="https://github.com/Wu-Lab/SCARP/blob/"
        "48193a7120147981ebaddb8c45950b8965ad4227/Vignettes/Example.ipynb",
    )


class InSilico(ScaleSet):
    """Six human cell lines measured apart and put together (GSE65360).

    The labels are certain, but every line is an experiment of its own: what separates the types
    separates the batches too, and methods reach nearly 1.
    """

    name = "insilico"
    card = _card(
        "InSilico",
        "828 cells of six human cell lines, put together afterwards",
        sizes=(828, 13668, 6),
        organism="human",
        reference="Buenrostro et al. 2015, Nature 523:486, doi 10.1038/nature14590",
        labels_from="the cell line that was measured; line and experiment are the same thing",
        tags=("lines",),
    )


class Gm12878Hek(ScaleSet):
    """A mixture of GM12878 and HEK293T in one experiment (combinatorial indexing, GSE67446).

    Labels come from reads that only one line's open regions have; cells marked Mixed hold both and
    are left out, as in the published comparisons (507 of 526 cells remain).
    """

    name = "gm12878_hek"
    without = ("Mixed", "mixed")
    card = _card(
        "GM12878vsHEK",
        "two human cell lines in one experiment: GM12878 and HEK293T",
        sizes=(507, 12938, 2),
        organism="human",
        reference="Cusanovich et al. 2015, Science 348:910, doi 10.1126/science.aab1601",
        labels_from="regions open in one line only; doublets are marked by the authors",
        tags=("lines",),
    )


class Gm12878Hl(ScaleSet):
    """A mixture of GM12878 and HL-60 in one experiment (combinatorial indexing, GSE67446).

    Labels come from reads that only one line's open regions have; cells marked Mixed hold both and
    are left out, as in the published comparisons (560 of 597 cells remain).
    """

    name = "gm12878_hl"
    without = ("Mixed", "mixed")
    card = _card(
        "GM12878vsHL",
        "two human cell lines in one experiment: GM12878 and HL-60",
        sizes=(560, 10431, 2),
        organism="human",
        reference="Cusanovich et al. 2015, Science 348:910, doi 10.1126/science.aab1601",
        labels_from="regions open in one line only; doublets are marked by the authors",
        tags=("lines",),
    )


class BreastTumor(ScaleSet):
    """Cells of mouse breast tumours, sorted by EpCAM (tumour) and CD45 (immune).

    Labels are the sorting gates, independent of the chromatin. SCARP makes four groups of them
    with a part of the cells' names; here the two gates are the types.
    """

    name = "breast_tumor"
    card = _card(
        "Breast_Tumor",
        "384 sorted cells of mouse breast tumours: EpCAM+ and CD45+",
        sizes=(384, 27884, 2),
        organism="mouse",
        reference="Chen et al. 2018, Nature Communications 9:4590, doi 10.1038/s41467-018-07115-y",
        labels_from="cell sorting by surface protein",
        tags=("tumour",),
    )


class Splenocyte(ScaleSet):
    """Cells of mouse spleen on plates, twelve groups (E-MTAB-6714).

    The types are the authors' clusters of the same data, named by marker genes: agreement with
    them is agreement with another clustering.
    """

    name = "splenocyte"
    card = _card(
        "Splenocyte",
        "3,166 cells of mouse spleen in twelve groups",
        sizes=(3166, 77453, 12),
        organism="mouse",
        reference="Chen et al. 2018, Nature Communications 9:5345, doi 10.1038/s41467-018-07771-0",
        labels_from="the authors' clustering of the same data, named by marker genes",
        tags=("spleen",),
    )
