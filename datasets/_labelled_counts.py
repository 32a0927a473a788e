"""Counts with labels out of the tables that authors publish: shared by the loaders."""

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

    Cells without a label, and those whose label is in ``without``, are dropped. Raises
    ``DataError`` if sizes do not agree.
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
    """Return the counts of an ``.h5ad`` file (its layer ``counts``, else ``X``) with labels.

    ``names`` are the columns of ``obs`` and ``var`` that hold the names of cells and features,
    empty for the index. ``peaks``: features are intervals, named ``chr1:100-200`` afterwards.
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
    """Return a column as strings, empty where the value is missing; raises ``DataError``."""
    require_columns(table, where, column)
    values = table[column]
    text = values.astype(str).to_numpy(dtype=object)
    return np.where(values.isna().to_numpy(), "", text)


def add_note(adata: AnnData, line: str) -> None:
    """Add a line to the notes that users see when the data are loaded."""
    adata.uns["bench_notes"] = [*adata.uns.get("bench_notes", []), line]


def keep_cells(adata: AnnData, mask: np.ndarray, reason: str) -> AnnData:
    """Return the cells where ``mask`` is true; a note counts the others with the reason."""
    n_dropped = int((~mask).sum())
    if not n_dropped:
        return adata
    selected = adata[mask].copy()
    add_note(selected, f"{n_dropped} of {adata.n_obs} cells dropped: {reason}")
    return selected


def keep_labelled(adata: AnnData, label_key: str, without: Sequence[str] = ()) -> AnnData:
    """Return the cells that have a label in ``obs[label_key]``, none of those in ``without``."""
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
    """Join a table by barcode; a note counts the cells that it lacks."""
    joined = join_labels(adata, table, where=where)
    n_lost = adata.n_obs - joined.n_obs
    if n_lost:
        add_note(
            joined, f"{n_lost} of {adata.n_obs} cells dropped: not in the authors' annotation"
        )
    return joined


def drop_spike_ins(adata: AnnData) -> AnnData:
    """Return the genes without spike-ins (ERCC) and reporter transcripts."""
    spike_ins = adata.var_names.str.startswith(_NOT_GENES)
    if not spike_ins.any():
        return adata
    genes = adata[:, ~spike_ins].copy()
    add_note(genes, f"{int(spike_ins.sum())} spike-in or reporter features dropped")
    return genes


def stack(parts: Mapping[str, AnnData], key: str) -> AnnData:
    """Return the cells of all parts over their common features; ``obs[key]`` names the part.

    Where names of cells repeat across parts, each gets the name of its part in front. A note
    counts the features that not all parts have.
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
    """Return the one file of an archive whose path ends so; raises ``DataError`` otherwise."""
    members = [path for path in paths if path.as_posix().endswith(f"/{ending}")]
    if len(members) != 1:
        raise DataError(
            f"{archive}: {len(members)} files {ending} in it, expected one; fetch it again.",
            code="missing_file",
        )
    return members[0]
