"""Loading and checking a user's file, the same way for every verb."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import DataError

from .checks import check_data
from .file_dataset import FileDataset

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Dataset

logger = logging.getLogger(__name__)


def read_user_file(
    path: Path, params: Mapping[str, Any], *, check_columns: bool = True
) -> tuple[FileDataset, AnnData | MuData]:
    """Return the dataset of a file with its checked data; labels are optional.

    ``params`` are those of :class:`FileDataset`. Without ``check_columns`` labels and batches may
    have gaps. Notes of the reader and warnings of the checks are logged. Raises ``UsageError``
    and ``DataError``.
    """
    file = FileDataset.from_path(
        path, FileDataset.Params.build(dict(params), owner=str(path)), labels_needed=False
    )
    data, notes = load_checked(file, check_columns=check_columns)
    for line in notes:
        logger.info(line)
    return file, data


def load_checked(
    dataset: Dataset, *, check_columns: bool = True
) -> tuple[AnnData | MuData, list[str]]:
    """Return the checked data of a dataset, with one line for each note and warning.

    If the checks fail, the notes are logged: a wrong assumption of the reader is a likely reason.
    """
    data = dataset.load()
    card = dataset.card
    try:
        report = check_data(
            data,
            where=dataset.where,
            label_key=card.label_key if check_columns else "",
            batch_key=card.batch_key if check_columns else None,
            modality=card.modality,
        )
    except DataError:
        for line in dataset.notes:
            logger.info(line)
        raise
    lines = [*dataset.notes, *report.warnings]
    return data, [line.removeprefix(f"{dataset.where}: ") for line in lines]
