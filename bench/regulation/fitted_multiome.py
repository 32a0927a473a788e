"""A finished fit on paired data, opened again together with prepared cells: its own, or others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import is_paired
from bench.data.file_dataset import FileDataset
from bench.errors import DataError, UsageError
from bench.prepare.new_cells import Preparation
from bench.settings import Settings
from bench.store.saved_model import as_types, open_model

if TYPE_CHECKING:
    import numpy as np
    from mudata import MuData

    from bench.contract import Method

logger = logging.getLogger(__name__)


@dataclass
class Kept:
    """A method that was fitted, and cells prepared as it wants them."""

    name: str
    """``method · dataset · seed``."""
    method: Method
    data: MuData
    preparation: Callable[[], Preparation]
    """Gives by what other cells are prepared."""
    types: np.ndarray | None = None
    """Type of each cell as text, empty where it has none; ``None`` if no cell has one."""


def open_run(
    run: Path,
    settings: Settings,
    *,
    methods: str | None = None,
    datasets: str | None = None,
    seed: int | None = None,
    label_key: str | None = None,
) -> Kept:
    """Return the fit that ``run`` names, as :func:`bench.store.saved_model.open_model` finds it.

    ``label_key`` is for a ``bench fit``; types of a job are those of its dataset. Raises
    ``UsageError`` and ``DataError``.
    """
    model = open_model(
        run, settings, methods=methods, datasets=datasets, seed=seed, needs="links", lacking="gives no links between peaks and genes")  # fmt: skip
    data, types = model.cells(label_key)
    if not is_paired(data):
        raise UsageError(f"{model.name}: data of one part; links need genes and peaks of a cell.")
    return Kept(model.name, model.method, data, lambda: model.preparation, types)


def other_cells(kept: Kept, path: Path, reading: dict[str, Any]) -> Kept:
    """Return the fit with the cells of another file, prepared like those of the fit.

    The features of the fit must all be there, genes by name, peaks by name or coordinates; no
    cell is filtered. ``reading`` are parameters of the file, as in the brackets behind a path.
    Raises ``DataError``.
    """
    dataset = FileDataset.from_path(
        path, FileDataset.Params.build(reading, owner=str(path)), labels_needed=False
    )
    counts: Any = dataset.load()
    for note in dataset.notes:
        logger.info(note)
    if not is_paired(counts):
        raise DataError(f"{path}: holds one part; give both (.h5mu), or the peaks with --atac.")
    data = kept.preparation().apply(counts, where=str(path), fill_missing=None)
    key = dataset.card.label_key
    types = as_types(counts["rna"].obs[key]) if key else None
    return replace(kept, name=f"{kept.name}, on {path.name}", data=data, types=types)
