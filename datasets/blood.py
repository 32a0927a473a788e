"""Blood cells of 10x Genomics, sorted or not, and stimulated blood of eight donors."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.contract import RNA, Card, Parameters, RemoteFile
from bench.errors import DataError

from ._published import Published
from ._rna_tables import (
    GEO_LICENCE,
    TENX_LICENCE,
    find_member,
    geo,
    join,
    keep_cells,
    keep_labelled,
    need,
    stack,
    tenx,
)

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_ZHENG = "Zheng et al. 2017, Nature Communications 8:14049, doi 10.1038/ncomms14049"
_PAGES = "https://support.10xgenomics.com/single-cell-gene-expression/datasets"
_MATRIX = "filtered_gene_bc_matrices.tar.gz"


class _TenX(Published):
    """A dataset that 10x Genomics distributes as archives of Cell Ranger's output."""

    def matrix(self, archive: Path) -> AnnData:
        """Return cells × genes of the one matrix in the archive, genes named by their symbol."""
        from bench.data.formats import read_10x_mtx

        folders = {path.parent for path in self.unpack(archive) if path.name == "matrix.mtx"}
        if len(folders) != 1:
            raise DataError(
                f"{archive}: {len(folders)} files matrix.mtx, expected one; fetch it again."
            )
        return read_10x_mtx(folders.pop())


class Pbmc3k(_TenX):
    """2,638 blood cells of a healthy donor (10x v1 chemistry), named as in scanpy's tutorial.

    10x gives counts of 2,700 cells and no types. The types are the column louvain of the result
    of scanpy's tutorial (filters, Louvain clustering, marker genes), the file that
    ``scanpy.datasets.pbmc3k_processed`` fetches; the 62 cells that the tutorial filters out are
    dropped. So the labels are clusters of these same counts after a log-normalisation and PCA:
    a method close to that pipeline is favoured.
    """

    name = "pbmc3k"
    card = Card(
        modality=RNA,
        summary="human blood cells (10x), types from a tutorial's clustering",
        label_key="louvain",
        n_cells=2638,
        n_features=32738,
        n_types=8,
        organism="human",
        reference=_ZHENG,
        url=f"{_PAGES}/1.1.0/pbmc3k",
        licence=f"{TENX_LICENCE}; labels: MIT (cellxgene)",
        labels_from="Louvain clusters of the same counts, named by marker genes in a tutorial",
        tags=("blood", "labels-from-clusters"),
        files=(
            tenx("1.1.0", "pbmc3k", _MATRIX, size=7_621_991),
            RemoteFile(
                "pbmc3k_processed.h5ad",
                "https://raw.githubusercontent.com/chanzuckerberg/cellxgene/main/"
                "example-dataset/pbmc3k.h5ad",
            ),
        ),
        documented="https://scanpy.readthedocs.io/en/stable/generated/"
        "scanpy.datasets.pbmc3k_processed.html",
    )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts (2,638 × 32,738) with the tutorial's ``obs["louvain"]``."""
        import warnings

        from bench.data.formats import read_counts

        archive, processed = files.values()
        adata = self.matrix(archive)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # written by an early anndata
            tutorial = read_counts(processed)
        need(tutorial, processed, "louvain")
        types = tutorial.obs["louvain"].astype(str)
        adata.obs["louvain"] = types.reindex(adata.obs_names).to_numpy()
        kept = adata.obs["louvain"].notna().to_numpy()
        if not kept.any():
            raise DataError(
                f"{processed}: no barcode of {archive.name} is there (first one: "
                f"{adata.obs_names[0]}, there: {types.index[0]}); expected the same cells."
            )
        return keep_cells(adata, kept, "filtered out by the tutorial, so without a type")


class Pbmc4k(_TenX):
    """4,340 blood cells of a healthy donor (10x v2 chemistry), labelled by Cell Ranger's clusters.

    Counts are 10x's filtered matrix. There is no annotation by hand: the labels are the graph
    clusters that Cell Ranger computed from these same counts (``clusters.csv``, columns Barcode
    and Cluster), as in the papers that call a part of these cells "10X PBMC" (``pbmc_10x4k``).
    Agreement with them says how close a method comes to that pipeline, not to biology.
    """

    name = "pbmc4k"
    card = Card(
        modality=RNA,
        summary="human blood cells (10x), labelled by Cell Ranger's graph clusters",
        label_key="Cluster",
        n_cells=4340,
        n_features=33694,
        organism="human",
        reference=_ZHENG,
        url=f"{_PAGES}/2.1.0/pbmc4k",
        licence=TENX_LICENCE,
        labels_from="Cell Ranger's graph clustering of the same counts; no names of types",
        tags=("blood", "labels-from-clusters"),
        files=(
            tenx(
                "2.1.0",
                "pbmc4k",
                _MATRIX,
                "md5:f61f4deca423ef0fa82d63fdfa0497f7",
                about=18_000_000,
            ),
            tenx("2.1.0", "pbmc4k", "analysis.tar.gz"),
        ),
        documented="https://support.10xgenomics.com/single-cell-gene-expression/software/"
        "pipelines/2.0/output/analysis",
    )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts (4,340 × 33,694) with the clusters."""
        from bench.data.formats import read_labels

        archive, analysis = files.values()
        clusters = find_member(self.unpack(analysis), analysis, "graphclust/clusters.csv")
        table = read_labels(clusters)
        adata = join(self.matrix(archive), table, self.name)
        need(adata, clusters, "Cluster")
        return keep_labelled(adata, "Cluster")


_SORTED = {
    "b_cells": "CD19+ B", "cd14_monocytes": "CD14+ monocyte", "cd34": "CD34+",
    "cd4_t_helper": "CD4+ helper T", "regulatory_t": "CD4+/CD25+ regulatory T",
    "naive_t": "CD4+/CD45RA+/CD25- naive T", "memory_t": "CD4+/CD45RO+ memory T",
    "cd56_nk": "CD56+ NK", "cytotoxic_t": "CD8+ cytotoxic T",
    "naive_cytotoxic": "CD8+/CD45RA+ naive cytotoxic",
}  # fmt: skip
"""The ten samples and what they were sorted for."""


class ZhengSorted(_TenX):
    """94,655 blood cells of ten populations, each sorted by surface markers and run alone.

    The label is the population that was enriched with magnetic beads, so it does not come from
    the counts; the reported purity is above 90 % but for CD34+ cells (45 %). The four CD4+
    populations are near to each other. Every population is a run of its own: type and technical
    batch cannot be told apart.
    """

    name = "zheng_sorted"
    card = Card(
        modality=RNA,
        summary="ten sorted populations of human blood cells (10x)",
        label_key="population",
        n_cells=94655,
        n_features=32738,
        n_types=10,
        organism="human",
        reference=_ZHENG,
        url=f"{_PAGES}/1.1.0/b_cells",
        licence=TENX_LICENCE,
        labels_from="sorting by surface markers before sequencing, independent of the counts",
        tags=("blood", "sorted"),
        files=tuple(tenx("1.1.0", sample, _MATRIX) for sample in _SORTED),
        documented=f"{_PAGES}/1.1.0/b_cells",
    )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts (94,655 × 32,738) with ``obs["population"]``."""
        whole = stack(
            {name.removesuffix(f"_{_MATRIX}"): self.matrix(path) for name, path in files.items()},
            "sample",
        )
        whole.obs["population"] = whole.obs["sample"].map(_SORTED).to_numpy()
        return whole


_KANG_FILES = tuple(
    geo(name.split("_")[0], name, f"md5:{md5}", size)
    for name, md5, size in (
        ("GSM2560248_2.1.mtx.gz", "fbac682dfe89b625d08f35f1fb3d4f8c", 28_545_918),
        ("GSM2560248_barcodes.tsv.gz", "e9805aba1649174af49f5473aadeeadf", 52_904),
        ("GSM2560249_2.2.mtx.gz", "d27845a289fa51c58fb20574f307ecc7", 29_050_932),
        ("GSM2560249_barcodes.tsv.gz", "f3f0ecba22c2261148f412dd045f0446", 52_366),
        ("GSE96583_batch2.genes.tsv.gz", "464dcbb35efbda7dee8a8e59a09e049f", 277_054),
        ("GSE96583_batch2.total.tsne.df.tsv.gz", "080d02ff2f80606430cff33cffea644a", 756_342),
    )
)
"""Matrix and barcodes of both runs, then genes and annotation of both."""


class Kang(Published):
    """Blood cells of eight lupus patients, six hours with or without interferon beta.

    Both runs of GSE96583's second batch. Types are the authors' (column cell); cells that
    demuxlet does not call a singlet and cells without a type are dropped. Batch is the condition
    (``condition=both``, the default): a treatment that changes expression much, not only a
    technical difference. Within one condition (``ctrl``, ``stim``) the batch is the donor.
    """

    name = "kang"
    card = Card(
        modality=RNA,
        summary="human blood cells with and without interferon, 8 donors (10x)",
        label_key="cell",
        batch_key="batch",
        n_cells=24673,
        n_features=35635,
        n_types=8,
        organism="human",
        reference="Kang et al. 2018, Nature Biotechnology 36:89, doi 10.1038/nbt.4042",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE96583",
        licence=GEO_LICENCE,
        labels_from="the authors' clustering of the same counts, named by marker genes",
        tags=("blood", "batches"),
        files=_KANG_FILES,
        documented="https://github.com/marvinquiet/RefConstruction_supervisedCelltyping/blob/"
        "dff289aeb445db2af335a35a73149fa382ae092b/preprocess/load_PBMC_data.py",
    )

    class Params(Parameters):
        """Which of the two conditions."""

        condition: Literal["both", "ctrl", "stim"] = Field(
            "both", description="both: batch is the condition; one of them: batch is the donor"
        )

    params: Params

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.params.condition != "both":
            self.card = replace(self.card, n_cells=None)

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts over 35,635 genes."""
        from bench.data.formats import read_labels, read_market

        *runs, genes, facts = files.values()
        table = read_labels(facts)
        parts = {}
        for condition, matrix, barcodes in zip(
            ("ctrl", "stim"), runs[::2], runs[1::2], strict=True
        ):
            if self.params.condition in ("both", condition):
                part = read_market(matrix, barcodes, genes, orientation="genes")
                parts[condition] = self._annotated(part, table, condition, facts)
        whole = stack(parts, "condition")
        donor = whole.obs["ind"] if len(parts) == 1 else whole.obs["condition"]
        whole.obs["batch"] = donor.astype(str).to_numpy()
        return whole

    def _annotated(self, part: AnnData, table: Any, condition: str, facts: Path) -> AnnData:
        """Join the cells of one run, whose barcodes the table makes unique by a further 1."""
        own = table[table["stim"] == condition].copy()
        own.index = [re.sub(r"^([ACGT]+-1)1$", r"\1", barcode) for barcode in own.index]
        part = join(part, own, f"{self.name} ({condition})")
        need(part, facts, "cell", "multiplets", "ind")
        singlet = (part.obs["multiplets"] == "singlet").to_numpy()
        part = keep_cells(part, singlet, "no singlet by demuxlet")
        return keep_labelled(part, "cell")
