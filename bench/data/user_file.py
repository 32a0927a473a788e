"""Loading and checking a user's file, the same way for every verb."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import cells_of
from bench.errors import DataError

from .checks import check_data, check_labels
from .derived_dataset import require_labels
from .file_dataset import FileDataset
from .values import missing_values, text_column

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
    card, obs = dataset.card, cells_of(data).obs
    if labels_needed:
        require_labels(dataset)
    label_key = card.label_key if check_columns else ""
    unlabelled = missing_values(obs[label_key]) if label_key and not labels_needed else 0
    if unlabelled:
        labelled = text_column(obs[label_key]) != ""
        check_labels(cells_of(data)[labelled], dataset.where, label_key)
        dataset.notes.append(
            f"{unlabelled} of {len(obs)} cells have no label in column '{label_key}'; they are "
            "fitted and not scored"
        )
        label_key = ""
    try:
        report = check_data(
            data,
            where=dataset.where,
            label_key=label_key,
            batch_key=card.batch_key if check_columns else None,
            modality=card.modality,
            orientation_given=dataset.orientation_given,
        )
    except DataError:
        for line in dataset.notes:
            logger.info(line)
        raise
    lines = [*dataset.notes, *report.warnings]
    return data, [line.removeprefix(f"{dataset.where}: ") for line in lines]
