"""Islets of the pancreas: single studies, and three of them as batches of one set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import RNA, Card, RemoteFile
from bench.errors import DataError

from ._published import Published
from ._rna_tables import (
    GEO_LICENCE,
    GeneRows,
    drop_spikes,
    geo,
    join,
    keep_labelled,
    lines_of,
    need,
    note,
    stack,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from anndata import AnnData

_BARON = "Baron et al. 2016, Cell Systems 3:346, doi 10.1016/j.cels.2016.08.011"
_BARON_URL = "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE84133"
_BARON_DOCUMENTED = (
    "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSM2230757&targ=self&form=text&view=full"
)
_BARON_LABELS = "the authors' iterative clustering of the same counts, named by marker genes"
_HUMAN = tuple(
    geo(f"GSM{2230756 + number}", f"GSM{2230756 + number}_human{number}_umifm_counts.csv.gz",
        size=size)
    for number, size in ((1, 5_670_823), (2, None), (3, None), (4, None))
)  # fmt: skip


def _read_baron(files: dict[str, Path]) -> AnnData:
    """Read tables of cells × genes with the columns id, barcode and assigned_cluster first."""
    from bench.data.formats import read_text

    parts = {}
    for name, path in files.items():
        part = read_text(path, orientation="cells", obs_columns=("barcode", "assigned_cluster"))
        need(part, path, "assigned_cluster")
        parts[name.split("_")[1]] = part
    return keep_labelled(stack(parts, "donor"), "assigned_cluster")


class Baron(Published):
    """8,569 cells of the islets of four human donors (inDrop), UMI counts.

    The column assigned_cluster of GEO's tables is the authors' annotation; 14 types from 7 (T
    cells) to 2,525 cells (beta). Types come from clustering of the same counts and known
    markers; the hormone-producing ones are beyond doubt. Batch is the donor.
    """

    name = "baron"
    card = Card(
        modality=RNA,
        summary="human pancreatic islets, 4 donors (inDrop)",
        label_key="assigned_cluster",
        batch_key="donor",
        n_cells=8569,
        n_features=20125,
        n_types=14,
        organism="human",
        reference=_BARON,
        url=_BARON_URL,
        licence=GEO_LICENCE,
        labels_from=_BARON_LABELS,
        tags=("pancreas", "batches"),
        files=_HUMAN,
        documented=_BARON_DOCUMENTED,
    )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts (8,569 × 20,125)."""
        return _read_baron(files)


class BaronMouse(Published):
    """1,886 cells of the islets of two mice (inDrop), UMI counts.

    Annotated as the human cells of the same study: 13 types, from 6 (schwann) to 894 cells
    (beta). Batch is the animal; the two are of different strains.
    """

    name = "baron_mouse"
    card = Card(
        modality=RNA,
        summary="mouse pancreatic islets, 2 animals (inDrop)",
        label_key="assigned_cluster",
        batch_key="donor",
        n_cells=1886,
        n_features=14878,
        n_types=13,
        organism="mouse",
        reference=_BARON,
        url=_BARON_URL,
        licence=GEO_LICENCE,
        labels_from=_BARON_LABELS,
        tags=("pancreas", "batches"),
        files=(
            geo(
                "GSM2230761", "GSM2230761_mouse1_umifm_counts.csv.gz",
                "sha256:7641c807e7681110e06eafa961ade7374516c7464a80a133df2ebcbb355d85fe",
                1_511_726,
            ),
            geo(
                "GSM2230762", "GSM2230762_mouse2_umifm_counts.csv.gz",
                "sha256:c4aaa64e3d4f3fe66a044a9519420576e55a01c5c0ca9c50bf842bb5dfea1375",
                2_342_542,
            ),
        ),
        documented=_BARON_DOCUMENTED,
        verified=True,
    )  # fmt: skip

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts (1,886 × 14,878)."""
        return _read_baron(files)


_MURARO_FILES = (
    geo(
        "GSE85241", "GSE85241_cellsystems_dataset_4donors_updated.csv.gz",
        "sha256:2f253ffb1f6d54f6bb259e862195f5c20ea3f13e00471b9864ff92773658f513", 17_005_498,
    ),
    RemoteFile(
        "cell_type_annotation_Cels2016.csv",
        "https://s3.amazonaws.com/scrnaseq-public-datasets/manual-data/muraro/"
        "cell_type_annotation_Cels2016.csv",
    ),
)  # fmt: skip


def _read_muraro(files: dict[str, Path]) -> AnnData:
    """Read genes × cells (tabs, whatever the name says), and types by the names of the cells."""
    import numpy as np

    from bench.data.formats import read_labels, read_text

    matrix, types = files.values()
    adata = read_text(matrix, orientation="genes", sep="\t")
    adata.X.data = umis(adata.X.data, matrix)
    adata = drop_spikes(adata)
    symbols = adata.var_names.str.split("__").str[0]
    shared = symbols.duplicated(keep=False)
    adata.var_names = np.where(shared, adata.var_names, symbols).astype(object)
    table = read_labels(types)
    # R wrote the table after it had turned the hyphens of "D28-1_1" into dots.
    table.index = table.index.astype(str).str.replace(".", "-", regex=False)
    if table.shape[1] != 1:
        raise DataError(
            f"{types}: {table.shape[1]} columns beside the names of the cells, expected one."
        )
    table.columns = ["cell_type"]
    adata = join(adata, table, "muraro")
    adata.obs["donor"] = adata.obs_names.str.split("-").str[0]
    return keep_labelled(adata, "cell_type", no_type=("unclear",))


def umis(values: np.ndarray, path: Path) -> np.ndarray:
    """Return whole UMI counts of values corrected for UMIs used twice.

    GEO's values are n = -K · ln(1 - u / K) for u of K = 4^length barcodes seen (Grün, Kester and
    van Oudenaarden 2014, doi 10.1038/nmeth.2930, eq. 1); K is the one of 4^4 and 4^6 that makes
    all u whole. A gene that used all barcodes has u = K - 0.5 in that formula, here K. Raises
    ``DataError`` if neither fits.
    """
    import numpy as np

    exact = values.astype(np.float64)
    if np.array_equal(exact, np.rint(exact)):
        return exact.astype(np.float32)
    worst = np.inf
    for barcodes in (4**4, 4**6):
        seen = -barcodes * np.expm1(-exact / barcodes)
        seen[seen > barcodes - 0.75] = barcodes
        whole = np.rint(seen)
        # float32 on the way: relative 6e-8, amplified where the formula is steep.
        wrong = np.abs(seen - whole) > 0.01
        if not wrong.any():
            return whole.astype(np.float32)
        worst = min(worst, float(np.abs(seen - whole).max()))
    raise DataError(
        f"{path}: values are no UMI counts corrected for 4^4 or 4^6 barcodes (off whole "
        f"numbers by {worst:.2f}); expected the file of GSE85241."
    )


class Muraro(Published):
    """2,122 cells of the islets of four human donors (CEL-Seq2).

    GEO holds transcripts corrected for UMIs that two molecules share; the whole UMI counts are
    recovered by inverting that formula, which is checked. Types are the authors', handed on by
    the Hemberg laboratory; cells without one and the four "unclear" ones are dropped, spike-ins
    too. Genes are named by their symbol, with the chromosome where two share it. Types come from
    clustering of the same counts. Batch is the donor.
    """

    name = "muraro"
    card = Card(
        modality=RNA,
        summary="human pancreatic islets, 4 donors (CEL-Seq2)",
        label_key="cell_type",
        batch_key="donor",
        n_cells=2122,
        n_features=19059,
        n_types=9,
        organism="human",
        reference="Muraro et al. 2016, Cell Systems 3:385, doi 10.1016/j.cels.2016.09.002",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE85241",
        licence=GEO_LICENCE,
        labels_from="the authors' clustering (StemID) of the same counts, named by marker genes",
        tags=("pancreas", "batches", "deep-clustering"),
        files=_MURARO_FILES,
        documented="https://github.com/hemberg-lab/scRNA.seq.datasets/blob/master/R/muraro.R",
    )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts (2,122 × 19,059)."""
        return _read_muraro(files)


_SEGERSTOLPE = "https://www.ebi.ac.uk/biostudies/files/E-MTAB-5061/"
_SEGERSTOLPE_FILES = tuple(
    RemoteFile(name, _SEGERSTOLPE + name)
    for name in ("pancreas_refseq_rpkms_counts_3514sc.txt", "E-MTAB-5061.sdrf.txt")
)


def _read_segerstolpe(files: dict[str, Path]) -> AnnData:
    """Read a table with, for each gene, symbol, accession, RPKM and then counts of all cells."""
    import pandas as pd
    from anndata import AnnData

    matrix, facts = files.values()
    lines = lines_of(matrix, "\t")
    cells = next(lines, (0, [""]))[1][1:]
    rows = GeneRows(matrix, len(cells))
    known: set[str] = set()
    double = 0
    for line, fields in lines:
        if fields and fields[0] in known:
            double += 1
        elif fields:
            known.add(fields[0])
            rows.add(line, fields[0], fields[2 + len(cells) :])
    adata = AnnData(
        rows.matrix(), obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=rows.genes)
    )
    if double:
        note(adata, f"{double} features dropped whose symbol occurs before")
    table = pd.read_csv(facts, sep="\t", dtype=str).drop_duplicates("Source Name")
    table = table.set_index("Source Name")
    adata.obs["cell_type"] = table["Characteristics[cell type]"].reindex(cells).to_numpy()
    return keep_labelled(drop_spikes(adata), "cell_type", no_type=_NO_TYPE)


_NO_TYPE = (
    "not applicable", "unclassified cell", "unclassified endocrine cell", "co-expression cell",
)  # fmt: skip
_SAME = {
    "duct": "ductal", "pp": "gamma", "t_cell": "T cell", "PSC cell": "stellate",
    "mesenchymal": "stellate", "activated_stellate": "stellate",
    "quiescent_stellate": "stellate", "MHC class II cell": "macrophage",
}  # fmt: skip
"""Names that the three studies use for what is counted as one type."""


class Pancreas(Published):
    """Human islets by three protocols, a set for the correction of batches.

    The studies ``baron`` (inDrop, UMIs), ``muraro`` (CEL-Seq2, UMIs) and Segerstolpe et al.
    (Smart-seq2, reads) over the gene symbols that all three have. Batch is the protocol, with
    which laboratory and donors change too. Types are those of the authors, with one name where
    names differ: duct is ductal, pp gamma; activated and quiescent stellate, mesenchymal and PSC
    cells are stellate; MHC class II cells are macrophage. Segerstolpe's unclassified and
    co-expressing cells, and cells of low quality, are dropped. Each study's types come from
    clustering of its own counts.
    """

    name = "pancreas"
    card = Card(
        modality=RNA,
        summary="human pancreatic islets by 3 protocols (batches)",
        label_key="cell_type",
        batch_key="protocol",
        n_types=13,
        organism="human",
        reference=f"{_BARON}; Muraro et al. 2016, doi 10.1016/j.cels.2016.09.002; Segerstolpe et "
        "al. 2016, Cell Metabolism 24:593, doi 10.1016/j.cmet.2016.08.020",
        url="https://www.ebi.ac.uk/biostudies/arrayexpress/studies/E-MTAB-5061",
        licence=f"{GEO_LICENCE}; ArrayExpress: terms of use of EMBL-EBI",
        labels_from="each study's own clustering, named by marker genes; names made the same here",
        tags=("pancreas", "batches"),
        files=(*_HUMAN, *_MURARO_FILES, *_SEGERSTOLPE_FILES),
        documented="https://github.com/hemberg-lab/scRNA.seq.datasets/blob/master/R/segerstolpe.R",
    )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return counts over the symbols in common; UMIs or, for Smart-seq2, reads."""

        def of(group: tuple[RemoteFile, ...]) -> dict[str, Path]:
            return {file.name: files[file.name] for file in group}

        baron = _read_baron(of(_HUMAN))
        baron.obs["cell_type"] = baron.obs["assigned_cluster"]
        parts = {
            "inDrop": baron,
            "CEL-Seq2": _read_muraro(of(_MURARO_FILES)),
            "Smart-seq2": _read_segerstolpe(of(_SEGERSTOLPE_FILES)),
        }
        whole = stack(parts, "protocol")
        names = whole.obs["cell_type"].astype(str).replace(_SAME)
        whole.obs["cell_type"] = names.str.replace(" cell$", "", regex=True).to_numpy()
        note(whole, "types of the three studies have the same names where they mean the same")
        return whole
