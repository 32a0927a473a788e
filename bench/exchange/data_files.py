"""Which artifacts of a result travel: files of data below a size, in folders of a result.

What comes from another store may be written by anybody. No pickle and no code is taken, no link is
followed, and no path leads out of a folder.
"""

from __future__ import annotations

import json
import re
import stat
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np

from bench.errors import DataError
from bench.messages import format_size
from bench.scoring import predicted_inputs, unseen_cells

MAX_FILE_BYTES = 4 * 2**30
"""Largest file of a result, also after it is unpacked."""
MAX_RECORD_BYTES = 64 * 2**20
"""Largest file of text: a record, a log."""
MAX_FILES = 1000
"""Most files of a result."""
MAX_NAME_BYTES = 200
MODEL = "model"
"""Folder of a fitted model; it travels whole or not at all."""
OWN_FILES = ("result.json", "config.json", "scores.json", "umap.png")
"""Files that are written anew where a result arrives, or with its report."""
_TEXT = (".json", ".txt")
_SUFFIXES = (".parquet", ".npy", ".npz", *_TEXT)
_FOLDERS = ("tables", MODEL, unseen_cells.FOLDER, predicted_inputs.FOLDER)
_KEY = re.compile(r"[0-9a-f]{24}")
_PARQUET = b"PAR1"


class InvalidFile(DataError):
    """A file of a result that is not taken."""


def require_key(key: object) -> str:
    """Return the key of a fit or of scores; raises ``InvalidFile`` if it is no digest."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InvalidFile(
            f"key {str(key)[:40]!r}: expected 24 hexadecimal digits.", code="invalid_key"
        )
    return key


def is_data_name(name: str) -> bool:
    """Return whether a file of a result is of a kind that travels.

    Raises ``InvalidFile`` for a path that leads out of the result's folder.
    """
    path = PurePosixPath(name)
    leads_out = path.is_absolute() or ".." in path.parts or str(path) != name
    if leads_out or "\\" in name or not name.isprintable():
        raise InvalidFile(
            f"{name[:80]!r}: not the path of a file inside a result.", code="invalid_path"
        )
    parts = path.parts
    known = len(parts) == 1 or (len(parts) == 2 and parts[0] in _FOLDERS)
    plain = not path.name.startswith(".") and len(path.name.encode()) <= MAX_NAME_BYTES
    return known and plain and path.suffix in _SUFFIXES


def choose_files(sizes: dict[str, int]) -> tuple[dict[str, int], list[str]]:
    """Return the files that travel and the names of those that stay behind.

    A model of which one file stays behind stays whole. Raises ``InvalidFile`` for a path out of
    the folder, and for files that are too many or too large.
    """
    if len(sizes) > MAX_FILES:
        raise InvalidFile(f"{len(sizes)} files, at most {MAX_FILES} are taken.", code="too_large")
    chosen = {name: size for name, size in sizes.items() if is_data_name(name)}
    left = {name for name in sizes if name not in chosen and name not in OWN_FILES}
    if any(name.startswith(f"{MODEL}/") for name in left):
        left |= {name for name in sizes if name.startswith(f"{MODEL}/")}
    chosen = {k: v for k, v in chosen.items() if k not in left and k not in OWN_FILES}
    for name, size in chosen.items():
        check_size(name, size)
    return chosen, sorted(left)


def check_size(name: str, size: int) -> None:
    """Raise ``InvalidFile`` if a file is too large."""
    most = MAX_RECORD_BYTES if name.endswith(_TEXT) else MAX_FILE_BYTES
    if size > most:
        raise InvalidFile(
            f"{name}: {format_size(size)}, at most {format_size(most)} are taken.",
            code="too_large",
        )


def list_files(folder: Path) -> dict[str, int]:
    """Return the sizes of the files of a result by their path in it.

    Raises ``InvalidFile`` for a link and for what is no plain file.
    """
    sizes: dict[str, int] = {}
    for path in [folder, *folder.rglob("*")]:
        status, name = path.lstat(), path.relative_to(folder).as_posix()
        if stat.S_ISREG(status.st_mode):
            sizes[name] = status.st_size
        elif not stat.S_ISDIR(status.st_mode):
            kind = "a link" if stat.S_ISLNK(status.st_mode) else "no plain file"
            raise InvalidFile(
                f"{path}: {kind}; only plain files are taken.", code="not_a_plain_file"
            )
    return sizes


def check_content(path: Path) -> None:
    """Raise ``InvalidFile`` if a file does not hold what its name says, or holds objects."""
    check_size(path.name, path.stat().st_size)
    try:
        _CHECKS[path.suffix](path)
    except (ValueError, OSError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise InvalidFile(
            f"{path.name}: not the data that its name says ({str(error)[:100]}).",
            code="not_data",
        ) from None


def _check_parquet(path: Path) -> None:
    with path.open("rb") as stream:
        begin = stream.read(4)
        stream.seek(-4, 2)
        if begin != _PARQUET or stream.read(4) != _PARQUET:
            raise ValueError("no Parquet file")


def _check_npy(path: Path) -> None:
    np.load(path, mmap_mode="r", allow_pickle=False)


def _check_npz(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(one.file_size for one in members) > MAX_FILE_BYTES:
            raise ValueError("too large when it is unpacked")
        for one in members:
            with archive.open(one) as stream:
                version = np.lib.format.read_magic(stream)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                if read(stream)[2].hasobject:
                    raise ValueError("holds Python objects")


def _check_json(path: Path) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def _check_text(path: Path) -> None:
    if b"\0" in path.read_bytes():
        raise ValueError("no text")


_CHECKS = {
    ".parquet": _check_parquet, ".npy": _check_npy, ".npz": _check_npz, ".json": _check_json,
    ".txt": _check_text,
}  # fmt: skip
