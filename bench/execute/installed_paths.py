"""Folders of Python, installed packages and the system, without data sets in packages.

They are listed once, when this module is imported by the server that forks all fits.
"""

from __future__ import annotations

import contextlib
import os
import site
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import bench
from bench.source_files import is_installed

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/etc", "/sys", "/proc", "/dev/urandom")
_PACKAGED_DATA = ("scanpy/datasets",)
"""Folders in packages that hold labelled data."""


def without_hidden(hidden: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the paths that a fit may read, and the folders of which it may read only a part.

    ``hidden`` folders are left out. Installed packages inside a hidden folder, such as results in
    ``.``, stay readable.
    """
    hidden = list(hidden)
    roots = [*ROOTS, *(path for path in outermost(_path_entries()) if not _is_known(path))]
    split = [root for root in roots if any(is_below(one, root) for one in hidden)]
    inside = [one for one in hidden if any(is_below(one, root) for root in split)]
    paths = [*PATHS, *roots[len(ROOTS) :]]
    return (list(split_around(paths, inside)) if inside else paths), [*SPLIT, *split]


def _is_known(path: str) -> bool:
    return any(is_below(path, root) for root in ROOTS)


def split_around(paths: Iterable[str], hidden: Iterable[str]) -> Iterator[str]:
    """Yield the paths without the hidden ones.

    A folder above a hidden path is replaced by its other entries; paths inside a hidden one are
    left out.
    """
    hidden = tuple(hidden)
    for path in paths:
        if any(is_below(path, one) for one in hidden):
            continue
        inside = [one for one in hidden if is_below(one, path)]
        if inside:
            with contextlib.suppress(OSError):
                members = (os.path.join(path, name) for name in os.listdir(path))
                yield from split_around(map(os.path.realpath, members), inside)
        else:
            yield path


def is_below(path: str, folder: str) -> bool:
    """Return whether a real path is ``folder`` or inside it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def outermost(paths: Iterable[str]) -> list[str]:
    """Return real paths without those inside another one."""
    kept: list[str] = []
    for path in sorted({os.path.realpath(path) for path in paths}):
        if not kept or not is_below(path, kept[-1]):
            kept.append(path)
    return kept


def _path_entries() -> Iterator[str]:
    """Yield the entries of ``sys.path`` that hold installed packages."""
    yield from (entry for entry in sys.path if entry and is_installed(Path(entry)))


def _roots() -> Iterator[str]:
    yield from _path_entries()
    yield from (sys.prefix, sys.base_prefix, site.getusersitepackages(), *_SYSTEM)
    yield from filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":"))
    yield str(Path(bench.__file__).parent)
    with contextlib.suppress(OSError), open("/proc/self/maps") as maps:
        files = {line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line}
        yield from {os.path.dirname(file) for file in files}


def _packaged_data() -> Iterator[str]:
    for entry in sys.path:
        for name in _PACKAGED_DATA:
            if entry and (path := Path(entry) / name).is_dir():
                files = (one for one in path.iterdir() if one.suffix not in (".py", ""))
                yield from (os.path.realpath(one) for one in files)


ROOTS = outermost(_roots())
_DATA = list(_packaged_data())
PATHS = list(split_around(ROOTS, _DATA))
"""Paths that all fits may read."""
SPLIT = [path for path in ROOTS if any(is_below(one, path) for one in _DATA)]
"""Folders of which only members are in ``PATHS``."""
