"""Files of the predictions of a fitted method, in the folder ``heads``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

from bench.errors import UsageError

from .method_errors import errors_with_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

_FOLDER = "heads"
_LARGEST_TEXT = 20_000_000
"""Largest number of entries of a table written as text, about 100 MB."""


def write_heads(
    folder: Path, method: Any, data: Any, *, split: str = "all", reconstruct: bool = True
) -> dict[str, str]:
    """Write the predictions of a method for prepared cells; returns file name → content.

    ``split``: name of a split of the fit, only its cells. Without ``reconstruct`` the
    reconstruction is left out. A method without ``predictions`` has no files.
    """
    if not hasattr(method, "predictions"):
        return {}
    return _write_tables(folder, method.predictions(data, split, reconstruct=reconstruct))


def write_story(folder: Path, method: Any, data: Any, story: Path) -> dict[str, str]:
    """Write the tables of an inference story in the method's own format; file name → content."""
    with errors_with_file(method, story):
        return _write_tables(folder, method.story_tables(data, story))


@dataclass(frozen=True)
class HeadOptions:
    """Additional output of ``bench transform``."""

    heads: bool = False
    """Whether to write every latent space, all predictions and the reconstruction."""
    split: str | None = None
    """Split of the fit whose cells are written; default: all cells."""
    story: Path | None = None
    """Inference story in the method's own format."""

    def check(self, method: Any) -> None:
        """Raise ``UsageError`` for output that the method lacks, or a split without ``heads``."""
        functions = {"--heads": (self.heads, "predictions")}
        functions["--story"] = (self.story is not None, "story_tables")
        for flag, (given, function) in functions.items():
            if given and not hasattr(method, function):
                message = f"{flag}: {method.name} has no heads; leave it out."
                raise UsageError(message, code="not_supported")
        if self.split is not None and not self.heads:
            message = "--split: chooses the cells of --heads; add it."
            raise UsageError(message, code="missing_value")

    def write(self, folder: Path, method: Any, data: Any) -> dict[str, str]:
        """Write the files for prepared cells; returns file name → content."""
        files: dict[str, str] = {}
        if self.heads:
            files |= write_heads(folder, method, data, split=self.split or "all")
        if self.story is not None:
            files |= write_story(folder, method, data, self.story)
        return files


def _write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Write tables of cells as CSV, very large ones as AnnData."""
    (folder / _FOLDER).mkdir(exist_ok=True)
    files: dict[str, str] = {}
    for name, table in tables.items():
        plain = stem = re.sub(r"[^\w.+-]+", "_", name)
        number, suffix = 1, ".csv" if table.size <= _LARGEST_TEXT else ".h5ad"
        while f"{_FOLDER}/{stem}{suffix}" in files:
            number += 1
            stem = f"{plain}_{number}"
        file = f"{_FOLDER}/{stem}{suffix}"
        if suffix == ".csv":
            table.to_csv(folder / file, float_format="%.6g", index_label="cell")
        else:
            values = AnnData(table.to_numpy(dtype=np.float32))
            values.obs_names, values.var_names = table.index.astype(str), table.columns
            values.write_h5ad(folder / file, compression="gzip")
        files[file] = f"{name}, {len(table)} cells × {table.shape[1]}"
    return files
