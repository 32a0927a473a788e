"""Counts and labels of published tables, shared by the readers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import format_peak_names
from bench.data.formats import join_labels, read_counts
from bench.data.formats.delimited import open_rows
from bench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ._published import Published

_MISSING = ("", "nan", "NA", "None", "<NA>")
_NOT_GENES = ("ERCC-", "eGFP")
_SHOWN = 12


def labelled_counts(
    counts: Any,
    *,
    cells: Sequence[str],
    features: Sequence[str],
    labels: np.ndarray,
    label_key: str,
    batch: tuple[str, np.ndarray] | None = None,
    without: Sequence[str] = (),
    where: str,
) -> AnnData:
    """Return counts (CSR float32, cells × features) with labels and batch in ``obs``.

    Cells without a label, or with one in ``without``, are dropped. Raises ``DataError`` if sizes
    differ.
    """
    shape = (len(cells), len(features))
    if counts.shape != shape or len(labels) != shape[0]:
        raise DataError(
            f"{where}: counts of {counts.shape[0]} × {counts.shape[1]}, {shape[0]} cell names, "
            f"{shape[1]} feature names, {len(labels)} labels: these do not belong together; "
            "fetch the files again.",
            code="size_mismatch",
        )
    obs = pd.DataFrame({label_key: labels}, index=np.asarray(cells, dtype=object))
    if batch is not None:
        obs[batch[0]] = np.asarray(batch[1], dtype=object).astype(str)
    matrix = sp.csr_matrix(counts, dtype=np.float32)
    matrix.eliminate_zeros()
    adata = AnnData(matrix, obs=obs, var=pd.DataFrame(index=np.asarray(features, dtype=object)))
    return keep_labelled(adata, label_key, without)


def read_labelled_file(
    path: Path,
    label_column: str,
    dataset: Published,
    *,
    peaks: bool,
    names: tuple[str, str] = ("", ""),
    without: Sequence[str] = (),
) -> AnnData:
    """Return the counts of an ``.h5ad`` file (layer ``counts``, else ``X``) with labels.

    ``names``: columns of ``obs`` and ``var`` with the names of cells and features, empty for the
    index. ``peaks`` get names like ``chr1:100-200``.
    """
    source, where = read_counts(path), f"{dataset.name}: {path}"
    cells, features = (
        list(text_column(table, column, where) if column else table.index)
        for table, column in zip((source.obs, source.var), names, strict=True)
    )
    return labelled_counts(
        source.layers.get("counts", source.X),
        cells=cells,
        features=format_peak_names(features) if peaks else features,
        labels=text_column(source.obs, label_column, where),
        label_key=dataset.card.label_key,
        without=without,
        where=dataset.name,
    )


def require_columns(table: pd.DataFrame, where: Path | str, *columns: str) -> None:
    """Raise ``DataError`` if a documented column is missing."""
    missing = [column for column in columns if column not in table]
    if missing:
        names = ", ".join(f"'{name}'" for name in table.columns[:_SHOWN]) or "none"
        raise DataError(
            f"{where}: no column '{missing[0]}' (columns: {names}); expected the file as its "
            "authors published it, fetch it again.",
            code="missing_column",
        )


def text_column(table: pd.DataFrame, column: str, where: Path | str) -> np.ndarray:
    """Return a column as strings, missing values empty; raises ``DataError`` without it."""
    require_columns(table, where, column)
    values = table[column]
    text = values.astype(str).to_numpy(dtype=object)
    return np.where(values.isna().to_numpy(), "", text)


def add_note(adata: AnnData, line: str) -> None:
    """Add a line to the notes that users see."""
    adata.uns["bench_notes"] = [*adata.uns.get("bench_notes", []), line]


def keep_cells(adata: AnnData, mask: np.ndarray, reason: str) -> AnnData:
    """Return the cells of a mask; a note counts the dropped cells."""
    n_dropped = int((~mask).sum())
    if not n_dropped:
        return adata
    selected = adata[mask].copy()
    add_note(selected, f"{n_dropped} of {adata.n_obs} cells dropped: {reason}")
    return selected


def keep_labelled(adata: AnnData, label_key: str, without: Sequence[str] = ()) -> AnnData:
    """Return the cells with a label in ``obs[label_key]`` that is not in ``without``."""
    labels = adata.obs[label_key].astype("string").str.strip().fillna("")
    adata.obs[label_key] = labels.astype(object)
    mask = ~labels.isin([*_MISSING, *without]).to_numpy()
    reasons = Counter(
        "without a label" if label in _MISSING else f"labelled '{label}'"
        for label in labels[~mask]
    )
    text = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return keep_cells(adata, mask, f"{text} in '{label_key}'")


def join_annotation(adata: AnnData, table: pd.DataFrame, where: str) -> AnnData:
    """Join a table by barcode; a note counts the cells without a row, which are dropped."""
    joined = join_labels(adata, table, where=where)
    n_lost = adata.n_obs - joined.n_obs
    if n_lost:
        add_note(
            joined, f"{n_lost} of {adata.n_obs} cells dropped: not in the authors' annotation"
        )
    return joined


def drop_spike_ins(adata: AnnData) -> AnnData:
    """Return the genes without spike-ins (ERCC) and reporters."""
    spike_ins = adata.var_names.str.startswith(_NOT_GENES)
    if not spike_ins.any():
        return adata
    genes = adata[:, ~spike_ins].copy()
    add_note(genes, f"{int(spike_ins.sum())} spike-in or reporter features dropped")
    return genes


def stack(parts: Mapping[str, AnnData], key: str) -> AnnData:
    """Return the cells of all parts over their common features; ``obs[key]`` names the part.

    Repeated cell names get the name of their part in front. A note counts the common features.
    """
    names = [name for part in parts.values() for name in part.obs_names]
    if len(set(names)) < len(names):
        for name, part in parts.items():
            part.obs_names = [f"{name}_{cell}" for cell in part.obs_names]
    stacked = anndata.concat(dict(parts), join="inner", label=key, merge="same")
    stacked.obs[key] = stacked.obs[key].astype(str)
    for name, part in parts.items():
        for line in part.uns.get("bench_notes", []):
            add_note(stacked, f"{name}: {line}")
    most = max(part.n_vars for part in parts.values())
    if stacked.n_vars < most:
        add_note(
            stacked, f"{stacked.n_vars} features that all parts have are kept, of at most {most}"
        )
    return stacked


def find_member(paths: Sequence[Path], archive: Path, ending: str) -> Path:
    """Return the one file of an archive with this ending; raises ``DataError`` otherwise."""
    members = [path for path in paths if path.as_posix().endswith(f"/{ending}")]
    if len(members) != 1:
        raise DataError(
            f"{archive}: contains {len(members)} {ending} files, expected one; fetch it again.",
            code="missing_file",
        )
    return members[0]


class GeneRows:
    """Counts of genes × cells, collected gene by gene."""

    def __init__(self, path: Path, n_cells: int) -> None:
        self.path, self.n_cells = path, n_cells
        self.genes: list[str] = []
        self._rows: list[sp.csr_matrix] = []

    def add(self, line: int, gene: str, fields: list[str]) -> None:
        """Add the values of one gene; raises ``DataError`` that names the line."""
        if len(fields) != self.n_cells:
            raise DataError(
                f"{self.path}: line {line} ({gene}) has {len(fields)} values, expected "
                f"{self.n_cells}, one a cell; the file is damaged or not the published one.",
                code="invalid_line",
            )
        try:
            values = np.array(fields, dtype=np.float32)
        except ValueError as error:
            raise DataError(
                f"{self.path}: line {line} ({gene}): {error}; expected numbers only.",
                code="not_a_number",
            ) from None
        self.genes.append(gene)
        self._rows.append(sp.csr_matrix(values))

    def matrix(self) -> sp.csr_matrix:
        """Return cells × genes, CSR float32; raises ``DataError`` without a gene."""
        if not self._rows:
            raise DataError(f"{self.path}: no genes; the file is cut off.", code="empty_file")
        return sp.vstack(self._rows, format="csr").T.tocsr()


def read_annotated(path: Path, *, sep: str, head: int, before: int, skip: int = 0) -> AnnData:
    """Read a table of genes × cells whose first ``head`` lines annotate the cells.

    The name of an annotation is the last text in the first ``before`` columns. Below the head,
    after ``skip`` lines, the first column names the gene. Annotations become columns of ``obs``;
    the first line without a name is the column ``""``. Raises ``DataError`` that names the
    line at fault.
    """
    facts: dict[str, list[str]] = {}
    genes: GeneRows | None = None
    with open_rows(path, sep) as lines:
        for line, fields in lines:
            if line <= head:
                names = [field.strip() for field in fields[:before] if field.strip()]
                values = [field.strip() for field in fields[before:]]
                facts.setdefault(names[-1] if names else "", values)
            elif line > head + skip:
                genes = genes or GeneRows(path, max(len(values) for values in facts.values()))
                genes.add(line, fields[0], fields[before:])
    if genes is None:
        raise DataError(
            f"{path}: no gene after {head} lines; the file is empty or cut off.", code="empty_file"
        )
    obs = {name: values for name, values in facts.items() if len(values) == genes.n_cells}
    return AnnData(
        genes.matrix(),
        obs=pd.DataFrame(obs, index=[f"cell{number}" for number in range(genes.n_cells)]),
        var=pd.DataFrame(index=genes.genes),
    )
