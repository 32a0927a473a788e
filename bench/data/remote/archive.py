"""Unpack an archive whole or not at all, and nothing beside the folder it is meant for."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from bench.errors import DataError

_STAMP = ".extracted.json"
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def extract(archive: Path, folder: Path) -> list[Path]:
    """Unpack a tar (also compressed) or zip file into ``folder`` and return its files, sorted.

    The folder appears only when it is complete; if it holds this archive already it is left as
    it is. Members that are links, devices or point outside are refused. Raises ``DataError``
    with the archive and the member.
    """
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    info = archive.stat()
    origin = [str(archive.resolve()), info.st_size, info.st_mtime_ns]
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        files = _done(folder, origin)
        if files is None:
            files = _unpack(archive, folder, origin)
    return [folder / name for name in files]


def _done(folder: Path, origin: list[Any]) -> list[str] | None:
    """Return the files of a folder that holds this archive whole, else ``None``."""
    try:
        stamp = json.loads((folder / _STAMP).read_text())
        sizes: dict[str, int] = stamp["files"]
        whole = stamp["origin"] == origin and all(
            (folder / name).stat().st_size == size for name, size in sizes.items()
        )
    except (OSError, ValueError, KeyError):
        return None
    return list(sizes) if whole else None


def _unpack(archive: Path, folder: Path, origin: list[Any]) -> list[str]:
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    sizes: dict[str, int] = {}
    try:
        with _members(archive) as members:
            for name, stream in members:
                target = partial / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with stream, target.open("wb") as out:
                    shutil.copyfileobj(stream, out, 1 << 20)
                sizes[name] = target.stat().st_size
        if not sizes:
            raise DataError(f"{archive}: the archive holds no file.")
        stamp = {"origin": origin, "files": dict(sorted(sizes.items()))}
        (partial / _STAMP).write_text(json.dumps(stamp))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        raise DataError(
            f"{archive}: damaged or incomplete archive ({error}); remove it and run again."
        ) from None
    except OSError as error:
        raise DataError(
            f"{archive}: cannot be unpacked into {folder}: {error.strerror or error}; "
            "remove the archive if it is damaged, or free space, and run again."
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return sorted(sizes)


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Give (checked name, open stream) of each file in the archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield _zip_members(archive, opened)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as opened_tar:
            yield _tar_members(archive, opened_tar)
    else:
        raise DataError(
            f"{archive}: neither a tar nor a zip archive (or its start is damaged); remove it and "
            "run again."
        )


def _zip_members(archive: Path, opened: zipfile.ZipFile) -> Iterator[tuple[str, IO[bytes]]]:
    for member in opened.infolist():
        if member.is_dir():
            continue
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise _refused(archive, member.filename, "is a link or a device")
        yield _inside(archive, member.filename), opened.open(member)


def _tar_members(archive: Path, opened: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for member in opened:
        if member.isdir():
            continue
        if not member.isreg():
            raise _refused(archive, member.name, "is a link or a device")
        stream = opened.extractfile(member)
        assert stream is not None  # true of every regular file
        yield _inside(archive, member.name), stream


def _inside(archive: Path, name: str) -> str:
    """Return the name as a relative path that stays in the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.name or _DRIVE.match(name):
        raise _refused(archive, name, "points outside the archive's folder")
    if path.name == _STAMP:
        raise _refused(archive, name, "has a reserved name")
    return os.fspath(path)


def _refused(archive: Path, member: str, why: str) -> DataError:
    return DataError(
        f"{archive}: member '{member}' {why}; nothing is unpacked; get it from its authors."
    )
