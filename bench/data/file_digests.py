"""Digests of the content of files; an unchanged file is not read again."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from bench.digests import digest

from .cache.folder_state import write_text_atomically

_FOLDER = "file_digests"


def digest_files(files: Sequence[Path], cache: Path | None) -> list[str]:
    """Return a digest of the content of each file, in their order.

    ``cache`` stores the digests with size, times and inode of the files. A file with the same
    size, times and inode is not read: a change of its content changes ctime, which cannot be set
    back. Without ``cache`` all files are read.
    """
    paths = [path.resolve() for path in files]
    memory = cache / _FOLDER / f"{digest([str(path) for path in paths])}.json" if cache else None
    known = _read_memory(memory)
    current: dict[str, list[list[int] | str]] = {}
    for path in paths:
        stat = path.stat()
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        before = known.get(str(path))
        current[str(path)] = before if before and before[0] == state else [state, _digest(path)]
    if memory is not None and current != known:
        with contextlib.suppress(OSError):  # then the files are read each time
            memory.parent.mkdir(exist_ok=True)
            write_text_atomically(memory, json.dumps(current))
    return [str(current[str(path)][1]) for path in paths]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _read_memory(memory: Path | None) -> dict[str, list[list[int] | str]]:
    try:
        known = json.loads(memory.read_text()) if memory is not None else {}
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
