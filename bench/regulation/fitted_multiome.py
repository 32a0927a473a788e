"""A fitted method on paired data with its prepared cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench.contract import Method, is_paired
from bench.data.user_file import read_user_file
from bench.errors import DataError, UsageError
from bench.store.saved_model import open_model, types_as_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from mudata import MuData

    from bench.prepare.new_cells import Preparation
    from bench.settings import Settings


@dataclass
class FittedMultiome:
    """A fitted method with its prepared cells."""

    name: str
    """``method · dataset · seed``."""
    method: Method
    data: MuData
    preparation: Callable[[], Preparation]
    """Returns the fitted preparation, for other cells."""
    types: np.ndarray | None = None
    """Type of each cell as text (empty: none); ``None`` if no cell has one."""


def load_fitted_multiome(
    run: Path,
    settings: Settings,
    *,
    methods: str | None = None,
    datasets: str | None = None,
    seed: int | None = None,
    label_key: str | None = None,
) -> FittedMultiome:
    """Load the fit at ``run`` with its cells; see :func:`bench.store.saved_model.open_model`.

    ``label_key`` names the types of a fit of ``bench fit``; a job has the types of its dataset.
    """
    model = open_model(
        run, settings, methods=methods, datasets=datasets, seed=seed, needs="links",
        lacking="has no links between peaks and genes",
    )  # fmt: skip
    data, types = model.cells(label_key)
    if not is_paired(data):
        raise UsageError(
            f"{model.name}: data of one part; links need genes and peaks of the same cells.",
            code="not_paired",
        )
    return FittedMultiome(model.name, model.method, data, lambda: model.preparation, types)


def replace_cells(fitted: FittedMultiome, path: Path, reading: dict[str, Any]) -> FittedMultiome:
    """Return the fit with the cells of a file, prepared like those of the fit.

    The file must have all features of the fit: genes by name, peaks by name or coordinates. No
    cell is filtered. ``reading`` are options of reading the file, as in brackets after a path.
    """
    counts: Any
    dataset, counts = read_user_file(path, reading, check_columns=False)
    if not is_paired(counts):
        raise DataError(
            f"{path}: holds one part; give both (.h5mu), or the peaks with --atac.",
            code="not_paired",
        )
    data = fitted.preparation().apply(counts, where=str(path), fill_missing=None)
    key = dataset.card.label_key
    types = types_as_text(counts["rna"].obs[key]) if key else None
    return replace(fitted, name=f"{fitted.name}, on {path.name}", data=data, types=types)
