"""Folders of arrays: written whole or not at all, read only if they are what was written.

A folder is filled under a temporary name, gets ``info.json`` (facts, and size and BLAKE2 digest
of every file) and is renamed. Before a folder is used, size, times and inode of each file are
compared with ``verified.json``, the note of the last full check; any difference, or a restart of
the machine since, and all bytes are read and compared with their digests again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bench.digests import digest
from bench.errors import DataError

if TYPE_CHECKING:
    import numpy as np

LAYOUT = 2
"""Raised when the files of a folder change their meaning; older folders are then not found."""
_INFO, _VERIFIED, _USED = "info.json", "verified.json", "used"
_NOTES = 16


class FolderWriter:
    """Arrays on their way to the disk; use :func:`writing`.

    Every method raises ``DataError`` with one line if the disk refuses, for example when full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._growing: dict[str, tuple[BinaryIO, np.dtype[Any], list[int]]] = {}

    def append(self, name: str, part: np.ndarray) -> None:
        """Add rows to an array that grows along its first axis; the first part sets its type."""
        import numpy as np

        with self._telling():
            if name not in self._growing:
                new: BinaryIO = (self.path / f"{name}.npy").open("wb")
                self._growing[name] = (new, part.dtype, [0, *part.shape[1:]])
                new.write(_header(part.dtype, self._growing[name][2]))
            stream, dtype, shape = self._growing[name]
            stream.write(np.ascontiguousarray(part, dtype=dtype).data)
            shape[0] += len(part)

    def save(self, name: str, array: np.ndarray) -> None:
        """Write a whole array."""
        import numpy as np

        with self._telling():
            np.save(self.path / f"{name}.npy", array, allow_pickle=False)

    def read(self, name: str) -> np.ndarray:
        """Return an array that was written, memory-mapped; it can grow no more."""
        self._complete(name)
        return load_array(self.path, name)

    def drop(self, name: str) -> None:
        """Remove an array that served its purpose."""
        self._complete(name)
        (self.path / f"{name}.npy").unlink()

    def finish(self, folder: Path, facts: dict[str, Any]) -> None:
        """Make the folder count, under its final name; what is there under that name goes."""
        for name in list(self._growing):
            self._complete(name)
        with self._telling():
            files = {
                p.name: [p.stat().st_size, _file_digest(p)] for p in sorted(self.path.iterdir())
            }
            info = facts | {"layout": LAYOUT, "files": files}
            text = json.dumps(info | {"check": digest(info)}, indent=1)
            (self.path / _INFO).write_text(text)
            _note_verified(self.path, list(files))
            mark_used(self.path)
            remove_folder(folder)
            self.path.rename(folder)

    def _complete(self, name: str) -> None:
        """Write the final shape of a growing array into its header and close it."""
        if name not in self._growing:
            return
        stream, dtype, shape = self._growing.pop(name)
        with self._telling(), stream:
            stream.seek(0)
            stream.write(_header(dtype, shape))

    def close(self) -> None:
        """Give up what is unfinished."""
        for stream, _, _ in self._growing.values():
            with contextlib.suppress(OSError):
                stream.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def _telling(self) -> contextlib.AbstractContextManager[None]:
        return disk_errors_as_data_errors(self.path.parent)


@contextlib.contextmanager
def new_array_folder(
    parent: Path, declare: Callable[[str], None] = lambda name: None
) -> Iterator[FolderWriter]:
    """Give a new folder below ``parent``; unless it is finished, nothing of it stays.

    ``declare`` hears its temporary name, so that it is not taken for a leftover.
    """
    path = parent / f".{secrets.token_hex(8)}"
    declare(path.name)
    with disk_errors_as_data_errors(parent):
        path.mkdir()
    writer = FolderWriter(path)
    try:
        yield writer
    finally:
        writer.close()


@contextlib.contextmanager
def disk_errors_as_data_errors(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses, for example when it is full, into a ``DataError``."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write to the cache folder {folder}: {error.strerror or error}; make room "
            "there (bench data clean) or set BENCH_CACHE_DIR to another folder."
        ) from None


def _header(dtype: np.dtype[Any], shape: list[int]) -> bytes:
    """Return the header of an ``.npy`` file; NumPy pads it so that the first axis may grow."""
    from numpy.lib import format as npy

    buffer = io.BytesIO()
    npy.write_array_header_1_0(
        buffer,
        {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)},
    )
    return buffer.getvalue()


def read_info(folder: Path) -> dict[str, Any]:
    """Return the facts of a folder.

    Raises ``OSError``, ``ValueError`` or ``KeyError`` if they are not there or not what was
    written.
    """
    info: dict[str, Any] = json.loads((folder / _INFO).read_text())
    if info.pop("check") != digest(info):
        raise ValueError("info.json was changed")
    return info


def load_array(folder: Path, name: str) -> np.ndarray:
    """Return one array, memory-mapped and read-only."""
    import numpy as np

    array: np.ndarray = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return array


def open_arrays(folder: Path) -> Callable[[str], np.ndarray]:
    """Return the function that gives an array by its name; raises ``DataError`` if damaged."""
    if not is_intact(folder):
        raise DataError(
            f"the cached data in {folder} are damaged or gone; run the same command again, it "
            "makes them anew."
        )
    mark_used(folder)
    return lambda name: load_array(folder, name)


def is_intact(folder: Path, *, read_all: bool = False) -> bool:
    """Return whether the folder holds exactly what was written.

    The bytes are read if ``read_all``, if they were not since the machine started, or if a
    file's size, times or inode differ from those noted then.
    """
    try:
        info = read_info(folder)
        files = info["files"]
        if info["layout"] != LAYOUT:
            return False
        if not read_all and _read_notes(folder).get(_boot()) == _stats(folder, list(files)):
            return True
        whole = all(
            (folder / name).stat().st_size == size and _file_digest(folder / name) == known
            for name, (size, known) in files.items()
        )
        if whole:
            _note_verified(folder, list(files))
        return whole
    except (OSError, ValueError, KeyError):
        return False


def _stats(folder: Path, names: list[str]) -> dict[str, list[int]]:
    """Return what changes when a file is written to; the last of the three cannot be set."""
    found = {name: (folder / name).stat() for name in names}
    return {n: [s.st_size, s.st_mtime_ns, s.st_ino, s.st_ctime_ns] for n, s in found.items()}


def _note_verified(folder: Path, names: list[str]) -> None:
    """Note that the files are whole; machines that share the folder have a note each."""
    notes = _read_notes(folder)
    notes.pop(_boot(), None)
    notes = dict(list(notes.items())[-_NOTES + 1 :]) | {_boot(): _stats(folder, names)}
    with contextlib.suppress(OSError):  # a read-only cache is checked each time
        write_text_atomically(folder / _VERIFIED, json.dumps(notes))


def _read_notes(folder: Path) -> dict[str, Any]:
    try:
        notes = json.loads((folder / _VERIFIED).read_text())
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _boot() -> str:
    """Return what identifies the time since this machine started."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return f"{os.uname().nodename} {psutil.boot_time():.0f}"


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=12)).hexdigest()


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def mark_used(folder: Path) -> None:
    """Note that the folder was used now."""
    with contextlib.suppress(OSError):
        (folder / _USED).touch()


def last_use_time(folder: Path) -> float:
    """Return when the folder was last used, in seconds since 1970."""
    path = folder / _USED
    return (path if path.exists() else folder).stat().st_mtime


def remove_folder(folder: Path) -> None:
    """Remove a folder so that at no time half of it is there under its name."""
    trash = folder.with_name(f".{secrets.token_hex(8)}")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)
