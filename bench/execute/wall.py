"""The wall around a fit: which files its process may read and write, held by the kernel.

A fit reads the interpreter and its packages, the files of its method and its own prepared arrays:
what it can read is in its key. Labels, results and data folders are out of its reach, whatever its
code does, where the kernel has Landlock; elsewhere only the process keeps them apart, and the run
says so.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import site
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench
from bench.settings import default_cache_dir
from bench.source_files import is_installed

from . import landlock, seccomp

KERNEL, PROCESS_ONLY = "kernel-enforced", "by process only"
"""How files are kept from fits: what tables and runs say."""
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/etc", "/sys", "/proc", "/dev/urandom")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/shm")
_GPU_DEVICES = ("nvidia*", "dri", "kfd", "dxg")
_FOLDER_VARIABLES = (
    "HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR", "JOBLIB_TEMP_FOLDER",
    "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH",
)  # fmt: skip
_PACKAGED_DATA = ("scanpy/datasets",)
"""Folders in packages that hold labelled data."""
_COMPILED_DAYS = 30
"""Days after which compiled functions of a method that was not fitted are removed."""


@dataclass(frozen=True)
class Wall:
    """What one process may use besides the interpreter and its packages."""

    readable: tuple[Path, ...] = ()
    """Files and folders of the fit's own; they stay readable inside a hidden folder."""
    sources: tuple[Path, ...] = ()
    """Files of the method; names in their folders can be listed, so that imports find them."""
    writable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    """Folders of results and data; they stay hidden where they lie in a readable folder."""
    scratch: Path | None = None
    """Folder that takes the place of the home and of temporary and cache folders."""
    compiled: Path | None = None
    """Folder in which Numba keeps what fits of this method compile; nothing else reads it."""
    network: bool = False
    """Whether the method declares that it needs the network."""
    by_kernel: bool = True
    """False in tests of kernels without Landlock."""

    def raise_around_this_process(self) -> str:
        """Restrict this process for good; returns :data:`KERNEL` or :data:`PROCESS_ONLY`.

        Call it before any thread starts and before the method's module is imported.
        """
        if self.scratch is not None:
            _use_as_home(self.scratch)
        if not (self.by_kernel and landlock.version()):
            return PROCESS_ONLY
        hidden = [path.resolve() for path in (*self.hidden, *_packaged_data())]
        paths = [path.resolve() for path in _interpreter_paths()]
        # Python finds modules by the names in a folder, also in one that is split.
        listable = [path for path in paths if any(path in one.parents for one in hidden)]
        listable += _folders_of_modules(self.sources)
        readable = [*_without(paths, hidden), *self.readable, *_with_bytecode(self.sources)]
        writable = [*self.writable, *_devices(), *([self.compiled] if self.compiled else [])]
        landlock.restrict([*readable, numba_folder()], writable, listable, network=self.network)
        if not self.network:
            seccomp.refuse_network_sockets()
        _keep_compiled_functions(self.compiled)
        return KERNEL


def numba_folder() -> Path:
    """Return the folder of compiled functions; fits read it, the drawing of UMAPs fills it."""
    return default_cache_dir() / "numba"


def compiled_folder(cache: Path, key: str) -> Path:
    """Return the folder of functions that Numba compiles in fits with a key; drop old ones."""
    folder = cache / "compiled" / key
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    for other in folder.parent.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - other.stat().st_mtime > _COMPILED_DAYS * 86400:
                shutil.rmtree(other)
    return folder


def _keep_compiled_functions(folder: Path | None) -> None:
    """Let Numba read what others compiled, keep new functions in a folder, or go on without."""
    if folder is not None:
        os.environ["NUMBA_CACHE_DIR"] = str(folder)
    caching: Any = sys.modules.get("numba.core.caching")
    if caching is None:
        return
    caching.Cache._guard_against_spurious_io_errors = lambda self: contextlib.suppress(OSError)
    if folder is None:
        return
    sys.modules["numba.core.config"].CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    load = caching.Cache.load_overload

    def load_overload(cache: Any, signature: Any, context: Any) -> Any:
        found = load(cache, signature, context)
        path = folder / Path(cache._cache_path).name
        if found is None and str(path) != cache._cache_path:
            cache._cache_path = cache._impl.locator._cache_path = str(path)
            stamp = cache._impl.locator.get_source_stamp()
            cache._cache_file = type(cache._cache_file)(
                str(path), cache._impl.filename_base, stamp
            )
            found = load(cache, signature, context)
        return found

    caching.Cache.load_overload = load_overload


def wall_state() -> str:
    """Return how files are kept from fits on this machine."""
    return KERNEL if landlock.version() else PROCESS_ONLY


def data_folders() -> list[Path]:
    """Return the folder of the user's labelled data, if there is one."""
    folder = os.environ.get("BENCH_DATA_DIR")
    return [Path(folder).expanduser()] if folder else []


def _use_as_home(scratch: Path) -> None:
    for name in _FOLDER_VARIABLES:
        os.environ[name] = str(scratch)
    for name in [name for name in os.environ if name.startswith("BENCH_")]:
        del os.environ[name]


def _interpreter_paths() -> list[Path]:
    """Return interpreter, installed packages, mapped libraries and the system's folders."""
    entries = [path for path in map(Path, filter(None, sys.path)) if is_installed(path)]
    entries += [Path(sys.prefix), Path(sys.base_prefix), Path(site.getusersitepackages())]
    entries += [Path(one) for one in os.environ.get("LD_LIBRARY_PATH", "").split(":") if one]
    entries += [*_mapped_library_folders(), *map(Path, _SYSTEM)]
    return [*dict.fromkeys(entries), Path(bench.__file__).resolve().parent]


def _folders_of_modules(sources: Iterable[Path]) -> list[Path]:
    """Return the folders of sources, and the entries of ``sys.path`` that are above them."""
    files = [*sources, Path(bench.__file__).resolve()]
    entries = [Path(entry).resolve() for entry in sys.path if entry]
    above = [entry for entry in entries if any(entry in path.parents for path in files)]
    return [*dict.fromkeys([*above, *(path.parent for path in files)])]


def _with_bytecode(sources: Iterable[Path]) -> Iterator[Path]:
    """Yield sources with the files in which Python keeps them compiled."""
    for path in sources:
        yield path
        if path.suffix == ".py":
            yield Path(importlib.util.cache_from_source(str(path)))


def _mapped_library_folders() -> set[Path]:
    folders = set()
    with contextlib.suppress(OSError), open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[5:]
            if path and ".so" in path[0]:
                folders.add(Path(path[0].strip()).parent)
    return folders


def _packaged_data() -> Iterator[Path]:
    for entry in sys.path:
        for name in _PACKAGED_DATA:
            if entry and (path := Path(entry) / name).is_dir():
                yield from (one for one in path.iterdir() if one.suffix not in (".py", ""))


def _devices() -> list[Path]:
    gpus = [path for name in _GPU_DEVICES for path in Path("/dev").glob(name)]
    return [*map(Path, _DEVICES), *gpus]


def _without(paths: Iterable[Path], hidden: list[Path]) -> Iterator[Path]:
    """Yield paths; one above a hidden folder is replaced by its members, one below it goes."""
    for path in paths:
        real = path.resolve()
        if any(real == one or one in real.parents for one in hidden):
            continue
        if any(real in one.parents for one in hidden):
            with contextlib.suppress(OSError):
                yield from _without(real.iterdir(), hidden)
        else:
            yield real
