"""Counts, labels and card of a user's file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contract import (
    ATAC,
    MULTIOME,
    PARTS,
    RNA,
    Card,
    check_cells,
    format_peak_names,
    pair_data,
)
from bench.errors import DataError, UsageError
from bench.messages import log_note, option_hint, verb_options

from . import formats
from .count_layers import choose_counts
from .name_patterns import DEFAULT_LABEL_KEY, is_interval
from .values import missing_values

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from .file_dataset import FileDataset

LABEL_GUESSES = (
    "cell_type", "celltype", "cell_types", "CellType", "cell_ontology_class", "label", "labels",
    "bulk_labels", "cluster", "clusters", "louvain", "leiden",
)  # fmt: skip
"""Columns proposed, in this order, when the label column is missing."""


def read_file(file: FileDataset) -> tuple[AnnData | MuData, Card]:
    """Return counts with labels and batch, and the facts of the file.

    A file of paired data gives both parts. Raises ``DataError`` for an unreadable file, for labels
    without a common barcode, and for a missing column.
    """
    params = file.params
    pair = file.paired and (
        params.part == "both"
        or bool(params.atac)
        or formats.list_modalities(file.path) >= set(PARTS)
    )
    if not pair:
        return _complete(_read_part(file, file.path, params.part), file)
    if params.transpose is not None or params.modality or params.layer:
        raise UsageError(
            f"{file.path}: transpose, modality and layer are for a single part: choose one with "
            f"{option_hint(file.path, part='rna')} or {option_hint(file.path, part='atac')}.",
            code="invalid_value",
        )
    part = None if params.atac else RNA
    rna = _read_part(file, file.path, part)
    atac = _read_part(file, Path(params.atac or file.path).expanduser(), part and ATAC)
    check_cells(rna, atac, str(file.path))
    others = sorted(formats.list_modalities(file.path) - set(PARTS)) if part else []
    if others:
        log_note(f"{file.path}: took rna with atac; left out: {', '.join(others)}")
    rna, card = _complete(rna, file, RNA)
    if rna.n_obs < atac.n_obs:  # cells without a label were dropped, with a note
        atac = atac[rna.obs_names].copy()
    atac.var_names = format_peak_names(atac.var_names)
    return pair_data(rna, atac), replace(card, modality=MULTIOME)


def _read_part(file: FileDataset, path: Path, part: str | None) -> AnnData:
    columns = [key for key in (file.params.label_key, file.params.batch_key) if key]
    adata = formats.read_counts(
        path, transpose=file.params.transpose, part=part, obs_columns=columns
    )
    return choose_counts(adata, str(path), file.params.layer)


def _complete(
    adata: AnnData, file: FileDataset, modality: str | None = None
) -> tuple[AnnData, Card]:
    """Join the labels, find the columns, and return the data with their card."""
    params = file.params
    label_key, labels_from = params.label_key, "the file"
    if params.labels:
        path = Path(params.labels).expanduser()
        adata, label_key = _join_labels(adata, path, file)
        labels_from = path.name
    elif params.labels_by_position:
        raise UsageError(
            f"{file.path}: labels by position need {option_hint(file.path, labels='FILE')}.",
            code="missing_value",
        )
    needed = file.labels_needed and (params.labels or not _is_unlabelled(adata, file))
    if label_key or needed or DEFAULT_LABEL_KEY in adata.obs:
        label_key = _find_column(adata, file.path, label_key or DEFAULT_LABEL_KEY, "label")
    batch_key = None
    if params.batch_key:
        batch_key = _find_column(adata, file.path, params.batch_key, "batch")
    elif _has_batches(adata, str(file.path)):
        batch_key = "batch"
    modality = modality or params.modality or guess_modality(adata, str(file.path))
    if modality == ATAC:
        adata.var_names = format_peak_names(adata.var_names)
    return adata, Card(
        modality=modality,
        summary=f"file {file.path.name}",
        label_key=label_key or "",
        batch_key=batch_key,
        reference=str(adata.uns.get("source", "")),
        licence=str(adata.uns.get("licence", "")),
        organism=str(adata.uns.get("organism", "")),
        labels_from=f"column {label_key} of {labels_from}" if label_key else "",
    )


def _is_unlabelled(adata: AnnData, file: FileDataset) -> bool:
    """Return whether no column of ``obs`` can hold labels; a note reports it.

    A column of labels has a usual name, or text with at least one repeated and two different
    values.
    """
    known = {name.lower() for name in LABEL_GUESSES}
    rest = adata.obs.drop(columns=["batch", file.params.batch_key], errors="ignore")
    for name, column in rest.items():
        is_text = column.dtype.kind not in "biufcmM"
        if str(name).lower() in known or (is_text and 1 < column.nunique() < len(column)):
            return False
    columns = f" (columns: {', '.join(map(str, rest))})" if len(rest.columns) else ""
    log_note(
        f"{file.path}: the cells have no labels{columns}: only scores that need none are "
        "computed; --labels FILE or --label-key COLUMN gives labels"
    )
    return True


def _has_batches(adata: AnnData, where: str) -> bool:
    """Return whether a column ``batch`` has no missing values and at least two batches."""
    if "batch" not in adata.obs or adata.obs["batch"].nunique() < 2:
        return False
    gaps = missing_values(adata.obs["batch"])
    if gaps:
        log_note(
            f"{where}: {gaps} of {adata.n_obs} cells have no value in column 'batch': it is not "
            "used; --batch-key names another one"
        )
    return not gaps


def _join_labels(adata: AnnData, path: Path, file: FileDataset) -> tuple[AnnData, str | None]:
    """Add the columns of the second file and drop the cells without a label there.

    If labels are not needed, all cells stay.
    """
    key = file.params.label_key
    if file.params.labels_by_position:
        table = formats.read_labels_by_position(path, adata.obs_names)
    else:
        table = formats.read_cell_table(path)
        table = formats.index_by_cell(adata.obs_names, table, str(path))
    if key is None and DEFAULT_LABEL_KEY not in table and len(table.columns) == 1:
        key = str(table.columns[0])
    all_cells = not file.labels_needed
    adata = formats.join_labels(adata, table, where=str(path), all_cells=all_cells)
    column = key or DEFAULT_LABEL_KEY
    if column in table and file.labels_needed:
        unlabelled = adata.obs[column].isna().to_numpy()
        if unlabelled.any():
            log_note(
                f"{path}: {unlabelled.sum()} of {adata.n_obs} cells have no value in column "
                f"'{column}' and were dropped"
            )
            adata = adata[~unlabelled].copy()
    return adata, key


def _find_column(adata: AnnData, path: Path, key: str, what: str) -> str:
    """Return the column ``key``; raises ``DataError`` with a proposal if it is missing."""
    if key in adata.obs:
        return key
    guesses = [name for name in LABEL_GUESSES if name in adata.obs]
    others = [str(name) for name in adata.obs.columns if name not in guesses]
    if not guesses and not others:
        fix = (
            f"the cells have none at all; give them in a second file: "
            f"{option_hint(path, labels='FILE', **{f'{what}_key': 'COLUMN'})}"
        )
        raise DataError(f"{path}: no column '{key}', {fix}.", code="missing_column")
    may_lack = what == "label" and (not verb_options() or "no_labels" in verb_options())
    raise DataError(
        f"{path}: no column '{key}' in obs; its columns: {', '.join([*guesses, *others])}; name "
        f"one with {option_hint(path, **{f'{what}_key': 'COLUMN'})}."
        + f" For cells without labels: {option_hint('', no_labels=True)}."
        * may_lack,
        code="missing_column",
    )


def guess_modality(adata: AnnData, where: str = "") -> str:
    """Return the modality of ``uns["modality"]``, else ``atac`` if most features are intervals.

    With ``where`` (the name of the data), a note counts the intervals.
    """
    text = str(adata.uns.get("modality", "")).lower()
    if "atac" in text or "chromatin" in text:
        return ATAC
    if text:
        return RNA
    names = list(adata.var_names[:200])
    intervals = sum(map(is_interval, names))
    modality = ATAC if intervals > len(names) / 2 else RNA
    if intervals and where:
        other = RNA if modality == ATAC else ATAC
        log_note(
            f"{where}: peaks: {intervals} of {len(names)} features are intervals → {modality}; "
            f"if that is wrong, {option_hint(where, modality=other)}"
        )
    return modality
