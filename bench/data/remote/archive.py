"""Unpack an archive completely or not at all, and only into its folder."""

from __future__ import annotations

import json
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from bench.errors import DataError

_STAMP = ".extracted.json"
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def extract(archive: Path, folder: Path) -> list[Path]:
    """Unpack a tar (also compressed) or zip file into ``folder`` and return its files, sorted.

    The folder appears only when it is complete; a folder that holds this archive already is not
    unpacked again. Raises ``DataError`` with the archive and the member if a member is a link, a
    device or outside the folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    info = archive.stat()
    origin = [str(archive.resolve()), info.st_size, info.st_mtime_ns]
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        files = _complete_files(folder, origin)
        if files is None:
            files = _unpack(archive, folder, origin)
    return [folder / name for name in files]


def _complete_files(folder: Path, origin: list[Any]) -> list[str] | None:
    """Return the files of a folder with the complete archive, else ``None``."""
    try:
        stamp = json.loads((folder / _STAMP).read_text())
        sizes: dict[str, int] = stamp["files"]
        complete = stamp["origin"] == origin and all(
            (folder / name).stat().st_size == size for name, size in sizes.items()
        )
    except (OSError, ValueError, KeyError):
        return None
    return list(sizes) if complete else None


def _unpack(archive: Path, folder: Path, origin: list[Any]) -> list[str]:
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _extract_all(archive, partial)
        sizes = {
            str(path.relative_to(partial)): path.stat().st_size
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        if not sizes:
            raise DataError(f"{archive}: the archive holds no file.", code="empty_archive")
        (partial / _STAMP).write_text(json.dumps({"origin": origin, "files": sizes}))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        raise DataError(
            f"{archive}: damaged or incomplete archive ({error}); remove it and run again.",
            code="damaged_archive",
        ) from None
    except OSError as error:
        raise DataError(
            f"{archive}: cannot be unpacked into {folder}: {error.strerror or error}; "
            "remove the archive if it is damaged, or free space, and run again.",
            code="damaged_archive",
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return list(sizes)


def _extract_all(archive: Path, folder: Path) -> None:
    """Unpack all members; raises ``DataError`` if one is unsafe."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                regular = member.is_dir() or kind in (0, stat.S_IFREG)
                _check_member(archive, member.filename, is_regular=regular)
            opened.extractall(folder)
    elif tarfile.is_tarfile(archive):

        def refuse(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
            _check_member(archive, member.name, is_regular=member.isreg() or member.isdir())
            return tarfile.data_filter(member, path)

        with tarfile.open(archive) as opened_tar:
            opened_tar.extractall(folder, filter=refuse)
    else:
        raise DataError(
            f"{archive}: neither a tar nor a zip archive (or its start is damaged); remove it and "
            "run again.",
            code="damaged_archive",
        )


def _check_member(archive: Path, name: str, *, is_regular: bool) -> None:
    """Raise ``DataError`` for a link or device, and for a name outside the folder.

    Python's own filters rename absolute paths and skip refused members. Here nothing is unpacked
    if one member is refused.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not is_regular:
        reason = "is a link or a device"
    elif path.is_absolute() or ".." in path.parts or _DRIVE.match(name):
        reason = "points outside the archive's folder"
    elif path.name == _STAMP:
        reason = "has a reserved name"
    else:
        return
    raise DataError(
        f"{archive}: member '{name}' {reason}; nothing is unpacked; get it from its authors.",
        code="unsafe_archive",
    )
