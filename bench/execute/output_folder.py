"""Folders of results of one command: replaced by newer results, never mixed with other files."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.errors import DataError, UsageError


def check_output_folder(folder: Path, note: str) -> None:
    """Raise ``UsageError`` if a folder holds other files than earlier results.

    The JSON file ``note`` in the folder, with the list ``files``, marks earlier results.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            f"{folder}: is a file; choose another name with --out.",
            code="not_a_folder",
        )
    if folder.is_dir() and any(folder.iterdir()) and _earlier_files(folder, note) is None:
        raise UsageError(
            f"{folder}: the folder holds other files; choose a new or empty folder with --out.",
            code="folder_not_empty",
        )


@contextlib.contextmanager
def replace_results(folder: Path, note: str) -> Iterator[Path]:
    """Yield a folder to write into; at the end its files replace those that ``note`` lists.

    Raises ``DataError`` if the folder cannot be written.
    """
    folder = folder.absolute()
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        folder.mkdir(exist_ok=True)
        for name in _earlier_files(folder, note) or []:
            _remove(folder / name)
        for path in sorted(partial.iterdir()):
            _remove(folder / path.name)
            path.rename(folder / path.name)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot write there: {error.strerror or error}.", code="not_writable"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _earlier_files(folder: Path, note: str) -> list[str] | None:
    """Return the names of the files of earlier results, ``None`` if there are none."""
    try:
        return [Path(name).name for name in json.loads((folder / note).read_text())["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
