"""Loading and checking a user's file, in the same way for every command."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import cells_of
from bench.errors import DataError

from .checks import check_data, check_labels
from .derived_dataset import require_labels
from .file_dataset import FileDataset
from .values import text_column

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Dataset

logger = logging.getLogger(__name__)


def read_user_file(
    path: Path, params: Mapping[str, Any], *, check_columns: bool = True
) -> tuple[FileDataset, AnnData | MuData]:
    """Return the dataset of a file with its checked data; labels are optional.

    ``params`` are those of :class:`FileDataset`. Some cells may have no label. Without
    ``check_columns`` labels and batches are not checked. Notes of the reader and warnings of the
    checks are logged. Raises ``UsageError`` and ``DataError``.
    """
    file = FileDataset.from_path(
        path, FileDataset.Params.build(dict(params), owner=str(path)), labels_needed=False
    )
    data, notes = load_checked(file, check_columns=check_columns, labels_needed=False)
    for line in notes:
        logger.info(line)
    return file, data


def load_checked(
    dataset: Dataset, *, check_columns: bool = True, labels_needed: bool = True
) -> tuple[AnnData | MuData, list[str]]:
    """Return the checked data of a dataset, with one line for each note and warning.

    Without ``labels_needed`` some cells may have no label; a note counts them.
    If the checks fail, the notes are logged: a wrong assumption of the reader is a likely reason.
    """
    data = dataset.load()
    if labels_needed:
        require_labels(dataset)
    label_key = dataset.card.label_key if check_columns else ""
    if label_key and not labels_needed:
        label_key = _optional_labels(dataset, cells_of(data))
    try:
        report = check_data(
            data,
            where=dataset.where,
            label_key=label_key,
            batch_key=dataset.card.batch_key if check_columns else None,
            modality=dataset.card.modality,
            orientation_given=dataset.orientation_given,
        )
    except DataError:
        for line in dataset.notes:
            logger.info(line)
        raise
    lines = [*dataset.notes, *report.warnings]
    return data, [line.removeprefix(f"{dataset.where}: ") for line in lines]


def _optional_labels(dataset: Dataset, cells: AnnData) -> str:
    """Return the column of labels if each cell has one, else an empty text, with a note.

    A default column that fails :func:`check_labels` is not used. Raises ``DataError`` if the user
    named the column or its file.
    """
    key = dataset.card.label_key
    labelled = text_column(cells.obs[key]) != ""
    try:
        if not labelled.any():
            raise DataError(
                f"{dataset.where}: no cell has a label in column '{key}'.", code="missing_values"
            )
        check_labels(cells[labelled], dataset.where, key)
    except DataError as error:
        if any(getattr(dataset.params, name, None) for name in ("label_key", "labels")):
            raise
        dataset.notes.append(f"{error} It is not used.")
        dataset.card = replace(dataset.card, label_key="", labels_from="")
        return ""
    if labelled.all():
        return key
    dataset.notes.append(
        f"{(~labelled).sum()} of {cells.n_obs} cells have no label in column '{key}'; they are "
        "fitted and not scored"
    )
    return ""
