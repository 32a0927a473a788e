"""Folders of NumPy arrays: written completely or not at all, and checked before reading."""

from __future__ import annotations

import contextlib
import io
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from bench.errors import DataError

from .folder_state import (
    disk_errors_as_data_errors,
    is_intact,
    mark_used,
    read_info,
    remove_folder,
    write_info,
)


class ArrayFolder:
    """The arrays of an intact folder, memory-mapped and read-only.

    Raises ``DataError`` if the folder is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        if not is_intact(path):
            raise DataError(
                f"the cached data in {path} are damaged or gone; run the same command again to "
                "restore them.",
                code="damaged_cache",
            )
        mark_used(path)
        self.path = path
        self.info = read_info(path)

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self.info["files"]

    def read(self, name: str) -> np.ndarray:
        """Return one array."""
        return load_array(self.path, name)


def load_array(folder: Path, name: str) -> np.ndarray:
    """Return one array, memory-mapped and read-only; the folder is not checked."""
    array: np.ndarray = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return array


class FolderWriter:
    """Writes arrays into a new folder; use :func:`new_array_folder`.

    Every method raises ``DataError`` if writing fails, for example on a full disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open_arrays: dict[str, tuple[BinaryIO, np.dtype[Any], list[int]]] = {}

    def append(self, name: str, part: np.ndarray) -> None:
        """Add rows to an array that grows along its first axis; the first part sets its type."""
        with self._disk_errors():
            if name not in self._open_arrays:
                new: BinaryIO = (self.path / f"{name}.npy").open("wb")
                self._open_arrays[name] = (new, part.dtype, [0, *part.shape[1:]])
                new.write(_header(part.dtype, self._open_arrays[name][2]))
            stream, dtype, shape = self._open_arrays[name]
            stream.write(np.ascontiguousarray(part, dtype=dtype).data)
            shape[0] += len(part)

    def save(self, name: str, array: np.ndarray) -> None:
        """Write a complete array."""
        with self._disk_errors():
            np.save(self.path / f"{name}.npy", array, allow_pickle=False)

    def read(self, name: str) -> np.ndarray:
        """Return a written array, memory-mapped, and close it: no rows can be added afterwards."""
        self._complete(name)
        return load_array(self.path, name)

    def drop(self, name: str) -> None:
        """Remove a written array."""
        self._complete(name)
        (self.path / f"{name}.npy").unlink()

    def finish(self, folder: Path, facts: dict[str, Any]) -> None:
        """Write the facts and rename the folder to ``folder``, replacing an existing one."""
        for name in list(self._open_arrays):
            self._complete(name)
        with self._disk_errors():
            write_info(self.path, facts)
            mark_used(self.path)
            remove_folder(folder)
            self.path.rename(folder)

    def discard(self) -> None:
        """Remove the unfinished folder."""
        for stream, _, _ in self._open_arrays.values():
            with contextlib.suppress(OSError):
                stream.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def _complete(self, name: str) -> None:
        """Write the final shape of a growing array into its header and close it."""
        if name not in self._open_arrays:
            return
        stream, dtype, shape = self._open_arrays.pop(name)
        with self._disk_errors(), stream:
            stream.seek(0)
            stream.write(_header(dtype, shape))

    def _disk_errors(self) -> contextlib.AbstractContextManager[None]:
        return disk_errors_as_data_errors(self.path.parent)


@contextlib.contextmanager
def new_array_folder(
    parent: Path, declare: Callable[[str], None] = lambda name: None
) -> Iterator[FolderWriter]:
    """Yield the writer of a new folder in ``parent``; without :meth:`finish` it is removed.

    ``declare`` is called with the temporary name, which protects the folder from cleanup.
    """
    path = parent / f".{secrets.token_hex(8)}"
    declare(path.name)
    with disk_errors_as_data_errors(parent):
        path.mkdir()
    writer = FolderWriter(path)
    try:
        yield writer
    finally:
        writer.discard()


def _header(dtype: np.dtype[Any], shape: list[int]) -> bytes:
    """Return the header of an ``.npy`` file; NumPy pads it so that the first axis may grow."""
    buffer = io.BytesIO()
    npy.write_array_header_1_0(
        buffer,
        {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)},
    )
    return buffer.getvalue()
