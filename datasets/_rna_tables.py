"""What the loaders of published RNA sets share: addresses, tables, and what is left out."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import RemoteFile
from bench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

GEO_LICENCE = "none stated; GEO itself sets no restriction"
TENX_LICENCE = "CC BY 4.0"
_NOT_GENES = ("ERCC-", "eGFP")


def geo(accession: str, name: str, checksum: str = "", size: int | None = None) -> RemoteFile:
    """Return a supplementary file of a GEO series (GSE…) or sample (GSM…)."""
    kind = "series" if accession.startswith("GSE") else "samples"
    folder = f"https://ftp.ncbi.nlm.nih.gov/geo/{kind}/{accession[:-3]}nnn/{accession}/suppl"
    return RemoteFile(name, f"{folder}/{name}", checksum, size)


def tenx(
    version: str,
    sample: str,
    ending: str,
    checksum: str = "",
    size: int | None = None,
    about: int | None = None,
) -> RemoteFile:
    """Return a file of a public 10x Genomics dataset, by Cell Ranger version and sample."""
    name = f"{sample}_{ending}"
    url = f"https://cf.10xgenomics.com/samples/cell-exp/{version}/{sample}/{name}"
    return RemoteFile(name, url, checksum, size, about)


def note(adata: AnnData, line: str) -> None:
    """Add a line to what is said about the data when they are loaded."""
    adata.uns["bench_notes"] = [*adata.uns.get("bench_notes", []), line]


def keep_cells(adata: AnnData, kept: np.ndarray, why: str) -> AnnData:
    """Return the cells with ``kept`` true; how many were dropped and ``why`` becomes a note."""
    dropped = int((~kept).sum())
    if not dropped:
        return adata
    rest = adata[kept].copy()
    note(rest, f"{dropped} of {adata.n_obs} cells dropped: {why}")
    return rest


def join(adata: AnnData, table: pd.DataFrame, where: str) -> AnnData:
    """Join metadata by barcode; how many cells are not in ``table`` becomes a note."""
    from bench.data.formats import join_labels

    joined = join_labels(adata, table, where=where)
    lost = adata.n_obs - joined.n_obs
    if lost:
        note(joined, f"{lost} of {adata.n_obs} cells dropped: not in the authors' annotation")
    return joined


def keep_labelled(adata: AnnData, key: str, no_type: tuple[str, ...] = ()) -> AnnData:
    """Drop the cells without a type in ``obs[key]``, and those whose label is in ``no_type``."""
    labels = adata.obs[key].astype("string").str.strip().fillna("")
    adata.obs[key] = labels.astype(object)
    names = ", ".join(f"'{name}'" for name in no_type)
    why = f"no type in '{key}'" + (f", or one of {names}" if no_type else "")
    return keep_cells(adata, ~labels.isin(["", "NA", "nan", *no_type]).to_numpy(), why)


def drop_spikes(adata: AnnData) -> AnnData:
    """Return the genes without spike-ins (ERCC) and reporter transcripts."""
    kept = ~adata.var_names.str.startswith(_NOT_GENES)
    if kept.all():
        return adata
    genes = adata[:, kept].copy()
    note(genes, f"{int((~kept).sum())} spike-in or reporter features dropped")
    return genes


def stack(parts: Mapping[str, AnnData], key: str) -> AnnData:
    """Return the cells of all parts over their common features; ``obs[key]`` names the part.

    Names of cells stay as they are if they differ across parts, else the part's name goes before
    them. Features lost because a part lacks them are counted in a note.
    """
    import anndata

    every = list(parts.values())
    names = [name for part in every for name in part.obs_names]
    if len(set(names)) < len(names):
        for name, part in parts.items():
            part.obs_names = [f"{name}_{cell}" for cell in part.obs_names]
    whole = anndata.concat(dict(parts), join="inner", label=key, merge="same")
    whole.obs[key] = whole.obs[key].astype(str)
    for name, part in parts.items():
        for line in part.uns.get("bench_notes", []):
            note(whole, f"{name}: {line}")
    most = max(part.n_vars for part in every)
    if whole.n_vars < most:
        note(whole, f"{whole.n_vars} features that all parts have are kept, of at most {most}")
    return whole


def lines_of(path: Path, sep: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of a delimited file, plain or gzip, never whole in memory.

    Raises ``DataError`` if the file is cut off or not text.
    """
    opened: Any = gzip.open(path) if path.suffix == ".gz" else path.open("rb")
    try:
        with opened, io.TextIOWrapper(opened, encoding="utf-8", newline="") as text:
            yield from enumerate(csv.reader(text, delimiter=sep), start=1)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as text ({error}); remove it and fetch it again."
        ) from None


class GeneRows:
    """Collects genes × cells, one gene at a time, and returns cells × genes."""

    def __init__(self, path: Path, n_cells: int) -> None:
        self.path, self.n_cells = path, n_cells
        self.genes: list[str] = []
        self._columns: list[np.ndarray] = []
        self._values: list[np.ndarray] = []

    def add(self, line: int, gene: str, fields: list[str]) -> None:
        """Add the values of one gene in all cells; raises ``DataError`` that names the line."""
        import numpy as np

        if len(fields) != self.n_cells:
            raise DataError(
                f"{self.path}: line {line} ({gene}) has {len(fields)} values, expected "
                f"{self.n_cells}, one a cell; the file is damaged or not the published one."
            )
        try:
            values = np.array(fields, dtype=np.float32)
        except ValueError as error:
            raise DataError(
                f"{self.path}: line {line} ({gene}): {error}; expected numbers only."
            ) from None
        found = np.flatnonzero(values)
        self.genes.append(gene)
        self._columns.append(found.astype(np.int32))
        self._values.append(values[found])

    def matrix(self) -> sp.csr_matrix:
        """Return cells × genes, CSR float32."""
        import numpy as np
        import scipy.sparse as sp

        ends = np.cumsum([0, *(len(column) for column in self._columns)])
        empty = [np.empty(0, dtype=np.float32)]
        by_gene = sp.csr_matrix(
            (np.concatenate(self._values or empty), np.concatenate(self._columns or empty), ends),
            shape=(len(self.genes), self.n_cells),
        )
        return sp.csr_matrix(by_gene.T)


def read_annotated(path: Path, *, sep: str, head: int, before: int, skip: int = 0) -> AnnData:
    """Read a table of genes × cells whose first ``head`` lines annotate the cells.

    The first ``before`` columns hold, in the head, the name of the annotation (in the last of
    them that is not empty; the line with the names of the cells may have none) and below the
    name of the gene (in the first). ``skip`` lines separate the two. Annotations become columns
    of ``obs`` in their order; the first nameless line is the column ``""``, later ones are left
    out. Raises ``DataError`` with the line that is wrong.
    """
    import pandas as pd
    from anndata import AnnData

    facts: dict[str, list[str]] = {}
    rows: GeneRows | None = None
    for line, fields in lines_of(path, sep):
        if line <= head:
            names = [field.strip() for field in fields[:before] if field.strip()]
            facts.setdefault(names[-1] if names else "", [f.strip() for f in fields[before:]])
            continue
        if line <= head + skip:
            continue
        if rows is None:
            rows = GeneRows(path, max(len(values) for values in facts.values()))
        if fields:  # the file may end with an empty line
            rows.add(line, fields[0], fields[before:])
    if rows is None or not rows.genes:
        raise DataError(f"{path}: no gene after {head} lines; the file is empty or cut off.")
    obs = {name: values for name, values in facts.items() if len(values) == rows.n_cells}
    return AnnData(
        rows.matrix(),
        obs=pd.DataFrame(obs, index=[f"cell{number}" for number in range(rows.n_cells)]),
        var=pd.DataFrame(index=rows.genes),
    )


def need(adata: AnnData, path: Path, *columns: str) -> None:
    """Raise ``DataError`` if a documented annotation of the cells is not in the file."""
    missing = [column for column in columns if column not in adata.obs]
    if missing:
        there = ", ".join(f"'{name}'" for name in adata.obs.columns) or "none"
        raise DataError(
            f"{path}: no annotation '{missing[0]}' of the cells; found: {there}; expected the "
            "file as its authors published it."
        )


def find_member(paths: list[Path], archive: Path, ending: str) -> Path:
    """Return the one file of an archive whose path ends so; raises ``DataError`` otherwise."""
    found = [path for path in paths if path.as_posix().endswith(f"/{ending}")]
    if len(found) != 1:
        raise DataError(f"{archive}: {len(found)} files {ending} in it, expected one.")
    return found[0]
