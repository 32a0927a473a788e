"""Checks that a method's own files contain no data, since a fit may read all of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contract.precomputed import Precomputed
from bench.data.file_names import is_data_path
from bench.digests import source_files
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.data.cache.cached_dataset import CachedDataset
    from bench.settings import Settings

    from .methods import ConfiguredMethod


def data_file(dataset: CachedDataset) -> Path | None:
    """Return the file or folder that a dataset was read from; ``None`` if it has a loader."""
    path = Path(dataset.where)
    return path.resolve() if is_data_path(dataset.where) and path.exists() else None


def own_environment(folders: Iterable[str]) -> list[str]:
    """Return the folders that belong to other environments than this program's.

    A fit can read the environment of this program anyway, without the data sets in packages.
    """
    own = _prefixes()
    real = [Path(folder).resolve() for folder in folders]
    return [str(one) for one in real if not own & {one, *one.parents}]


def _prefixes() -> set[Path]:
    return {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}


def _check_environment(label: str, folders: Iterable[str], places: dict[str, Path]) -> None:
    """Raise ``UsageError`` for an environment that contains data or is in a folder of data."""
    own = {f"the environment of this program, {path},": path for path in _prefixes()}
    places = places | own
    for folder in own_environment(folders):
        real = Path(folder)
        held = next(
            (
                n
                for n, path in places.items()
                if real in (path, *path.parents) or path in real.parents
            ),
            "",
        )
        if held or not real.is_dir():
            fault = f"which holds or is part of {held}" if held else "which is no folder"
            raise UsageError(
                f"{label}: a fit may read its environment {folder}, {fault}; name the folder of "
                "another environment.",
                code="data_in_package",
            )


def check_own_files(
    configured: ConfiguredMethod, dataset: CachedDataset, settings: Settings
) -> None:
    """Raise ``UsageError`` if the files of a method hold results, the cache or labelled data."""
    if issubclass(configured.cls, Precomputed):
        return  # its array was written into the cache by this program
    label, origin = configured.label, Path(configured.origin)
    data_dir = os.environ.get("BENCH_DATA_DIR")
    folders = {
        "results (--results)": settings.results,
        "the cache (BENCH_CACHE_DIR)": settings.cache_dir,
        "labelled data (BENCH_DATA_DIR)": Path(data_dir).expanduser() if data_dir else None,
        "the dataset": data_file(dataset),
    }
    places = {name: path.resolve() for name, path in folders.items() if path is not None}
    package = origin.parent.resolve() if origin.name == "__init__.py" else None
    for name, path in places.items():
        if package in (path, *path.parents):
            raise UsageError(
                f"{label}: a fit may read the whole package {package}, which holds {name} in "
                f"{path}; move one of them.",
                code="data_in_package",
            )
    _check_environment(label, configured.cls.environment, places)
    for file in source_files(configured.origin, configured.cls.files):
        name = next((name for name, path in places.items() if path in (file, *file.parents)), "")
        if name and (file.suffix != ".py" or name.startswith("the dataset")):
            if "BENCH_DATA_DIR" in name and not is_data_path(file.name):
                continue
            raise UsageError(
                f"{label}: its class attribute files names {file}, which is part of {name}; a fit "
                "may read all its files, so leave it out.",
                code="data_in_package",
            )
