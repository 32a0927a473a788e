"""Paired sets as the authors of GLUE prepared them: one .h5ad file a part, same cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.contract import RNA, Card, RemoteFile, format_peak_names

from ._chromatin import assemble, column, raw
from ._paired import Measured, Paired, Part

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_NOTEBOOKS = "https://github.com/gao-lab/GLUE/blob/master/data/collect/"
_GLUE = "as prepared by Cao and Gao 2022, Nature Biotechnology 40:1458, "
_GLUE += "doi 10.1038/s41587-022-01284-4"


def _part(name: str, n_features: int) -> Measured:
    """Return the file at the address in GLUE's documentation (http only, no checksum)."""
    file = RemoteFile(f"{name}.h5ad", f"http://download.gao-lab.org/GLUE/dataset/{name}.h5ad")
    return Measured(n_features, (file,))


def _documented(notebook: str) -> str:
    return (
        "https://scglue.readthedocs.io/en/latest/data.html (addresses); "
        f"{_NOTEBOOKS}{notebook}.ipynb (columns, what was left out)"
    )


class GlueSet(Paired):
    """Base: counts in ``X``, types in ``obs["cell_type"]``, peaks as ``chr1:100-200``."""

    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        from bench.data.formats import read_counts

        (path,) = (files[file.name] for file in self.parts[part].files)
        source = read_counts(path)
        names = source.var_names
        return assemble(
            raw(source),
            cells=list(source.obs_names),
            features=format_peak_names(names) if part == "atac" else list(names),
            labels=column(source.obs, "cell_type", f"{self.name}: {path}"),
            label_key=self.card.label_key,
            where=self.name,
        )


class PbmcMultiome(GlueSet):
    """Blood cells of one donor, expression and chromatin of each nucleus (10x Multiome, 10k).

    The file of 10x without the nuclei that were taken for doublets and without peaks in
    regions known for artefacts. The types come from a clustering of both parts together (weighted
    nearest neighbours), named by marker genes: they know both parts, and neighbouring T-cell
    types are hard to tell apart.
    """

    name = "pbmc_multiome"
    parts: ClassVar = {
        "rna": _part("10x-Multiome-Pbmc10k-RNA", 29095),
        "atac": _part("10x-Multiome-Pbmc10k-ATAC", 107194),
    }
    card = Card(
        modality=RNA,
        summary="9,631 human blood nuclei, paired expression and chromatin (10x Multiome)",
        label_key="cell_type",
        n_cells=9631,
        n_features=29095,
        n_types=19,
        organism="human",
        reference="10x Genomics, PBMC from a healthy donor, granulocytes removed, 10k; " + _GLUE,
        url="https://www.10xgenomics.com/datasets/pbmc-from-a-healthy-donor-granulocytes-"
        "removed-through-cell-sorting-10-k-1-standard-1-0-0",
        licence="CC BY 4.0 (10x Genomics)",
        labels_from="clustering of both parts together, named by marker genes",
        tags=("paired", "blood"),
        files=parts["rna"].files,
        documented=_documented("10x-Multiome-Pbmc10k"),
    )


class SnareSeq(GlueSet):
    """Nuclei of adult mouse cortex, expression and chromatin of each (SNARE-seq, GSE126074).

    The types are the authors' clusters of the expression, named by marker genes; nuclei they
    called Mis were left out by GLUE. The chromatin is sparse (SNARE-seq is an early protocol) and
    separates the neurons' layers much worse than the expression does.
    """

    name = "snare_seq"
    parts: ClassVar = {
        "rna": _part("Chen-2019-RNA", 28930),
        "atac": _part("Chen-2019-ATAC", 241757),
    }
    card = Card(
        modality=RNA,
        summary="9,190 nuclei of mouse cortex, paired expression and chromatin (SNARE-seq)",
        label_key="cell_type",
        n_cells=9190,
        n_features=28930,
        n_types=22,
        organism="mouse",
        reference="Chen, Lake and Zhang 2019, Nature Biotechnology 37:1452, "
        "doi 10.1038/s41587-019-0290-0; " + _GLUE,
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE126074",
        licence="none stated (GEO; labels by courtesy of the authors)",
        labels_from="the authors' clustering of the expression, named by marker genes",
        tags=("paired", "brain"),
        files=parts["rna"].files,
        documented=_documented("Chen-2019"),
    )
