"""The gate's own results and cache: one folder for each environment and version of the code.

Keys of fits do not contain the libraries of preparation and scores, nor the code of this program
besides methods and loaders; both can change numbers. Separate folders ensure that fits, scores and
prepared data of other code are not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import bench
from bench.digests import digest
from bench.plan.device import resolve_device

from .environment import fingerprint

if TYPE_CHECKING:
    from bench.settings import Settings

_OUTSIDE = ("cli", "reports", "methods", "datasets")
"""Folders that change no number, and folders whose code is in the keys of fits and datasets."""
_SHARED = ("downloads", "extracted", "data")
"""Folders of the user's cache with original files, fetched or added."""
_STORES = 4
"""Number of most recently used stores that are kept."""


def with_gate_store(settings: Settings) -> Settings:
    """Return the settings with the gate's own store and cache, on this machine."""
    environment = fingerprint(settings.threads, resolve_device(settings.device))
    store = settings.results / store_name(environment)
    own_cache = store / "cache"
    own_cache.mkdir(parents=True, exist_ok=True)
    for name in _SHARED:
        folder = settings.cache_dir.resolve() / name
        folder.mkdir(parents=True, exist_ok=True)
        link = own_cache / name
        if link.is_symlink() and link.resolve() != folder:
            link.unlink(missing_ok=True)  # the store was copied from another machine
        with contextlib.suppress(FileExistsError):
            link.symlink_to(folder, target_is_directory=True)
    os.utime(store)
    _remove_old_stores(settings.results)
    updates = {"results": store, "cache_dir": own_cache, "tracking_uri": ""}
    return settings.model_copy(update=updates)


def store_name(environment: dict[str, str]) -> str:
    """Return the name of the gate's folder for an environment and the present code."""
    return f"gate-{digest([environment, engine_digest(Path(bench.__file__).parent)])[:8]}"


@cache
def engine_digest(package: Path) -> str:
    """Return a digest of all code of this program that may change a number."""
    content = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package).as_posix()
        if name.partition("/")[0] not in _OUTSIDE:
            content.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return content.hexdigest()


def _remove_old_stores(results: Path) -> None:
    stores = results.glob("gate-" + 8 * "[0-9a-f]")
    for folder in sorted(stores, key=lambda folder: -folder.stat().st_mtime)[_STORES:]:
        shutil.rmtree(folder, ignore_errors=True)
