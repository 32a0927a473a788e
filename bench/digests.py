"""Digests of values and source code, for the keys by which finished work is found again.

The key of a fit contains everything that affects its result; the key of a score also what affects
the score.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from bench.source_files import find_source_files
from bench.versions import CLUSTERINGS


def digest(value: Any) -> str:
    """Return 24 hexadecimal digits that identify a JSON-like value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@cache
def source_digest(origin: str, named: tuple[str, ...] = ()) -> str:
    """Return a digest of the files of a method or loader (:mod:`bench.source_files`).

    Parameters
    ----------
    origin
        Name of a module, or path of a plugin file.
    named
        Files that the method reads, relative to the folder of its module.
    """
    whole = hashlib.sha256()
    sources = find_source_files(origin, named)
    for name, path in sources.by_name():
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{name}\0{content}\0".encode())
    if "bench.scoring.clustering" in sources.imported:
        whole.update(json.dumps(CLUSTERINGS, sort_keys=True).encode())
    return whole.hexdigest()[:24]


@cache
def source_files(origin: str, named: tuple[str, ...] = ()) -> tuple[Path, ...]:
    """Return the files that :func:`source_digest` reads."""
    return tuple(sorted(find_source_files(origin, named).files))
