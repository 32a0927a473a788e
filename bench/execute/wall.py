"""The wall around a fit: the files that its process may read and write, enforced by the kernel.

A fit can read the interpreter and its packages, the files of its method and its own prepared
arrays, all of which are in its key. If the kernel has Landlock, the code of a fit cannot read
labels, results and data folders. Without Landlock they are only not passed to the fit, and the run
records that.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench
from bench.settings import default_cache_dir

from . import landlock, seccomp

KERNEL, PROCESS_ONLY = "kernel-enforced", "by process only"
"""Words of tables and runs for the protection of files from fits."""
_DEVICES = ("/dev/null", "/dev/zero", "/dev/shm")
_GPU_DEVICES = ("nvidia*", "dri", "kfd", "dxg")
_FOLDER_VARIABLES = (
    "HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR", "JOBLIB_TEMP_FOLDER",
    "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH",
)  # fmt: skip
_COMPILED_DAYS = 30
"""Days without a fit of the method after which its compiled functions are removed."""


@dataclass(frozen=True)
class Wall:
    """The files that one process may use besides the interpreter and its packages."""

    readable: tuple[Path, ...] = ()
    """Inputs of the fit; they stay readable inside a hidden folder."""
    sources: tuple[Path, ...] = ()
    """Files of the method; names in their folders can be listed, so that imports find them."""
    writable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    """Folders of results and data; they stay hidden inside a readable folder."""
    scratch: Path | None = None
    """Folder that replaces the home, temporary and cache folders."""
    compiled: Path | None = None
    """Folder of functions that Numba compiles in fits of this method, used only by them."""
    network: bool = False
    """Whether the method declares that it needs the network."""
    by_kernel: bool = True
    """False in tests of kernels without Landlock."""

    def raise_around_this_process(self) -> str:
        """Restrict this process permanently; returns :data:`KERNEL` or :data:`PROCESS_ONLY`.

        Call it before any thread starts and before the method's module is imported.
        """
        if self.scratch is not None:
            _use_as_home(self.scratch)
        if not (self.by_kernel and landlock.version()):
            return PROCESS_ONLY
        from . import installed_paths  # lists them in the server, once for all processes

        installed, split = installed_paths.without_hidden(map(os.path.realpath, self.hidden))
        # Python finds modules by the names in a folder, also in one that is split.
        listable = [*split, *_folders_of_modules(self.sources)]
        readable = [
            *installed,
            *map(str, (*self.readable, *_with_bytecode(self.sources))),
            os.environ.get("NUMBA_CACHE_DIR") or str(numba_folder()),
        ]
        writable = [*self.writable, *_devices(), *([self.compiled] if self.compiled else [])]
        landlock.restrict(readable, map(str, writable), listable, network=self.network)
        if not self.network:
            seccomp.refuse_network_sockets()
        _keep_compiled_functions(self.compiled)
        return KERNEL


def numba_folder() -> Path:
    """Return the folder of compiled functions, which UMAPs write and fits read."""
    return default_cache_dir() / "numba"


def compiled_folder(cache: Path, key: str) -> Path:
    """Return the folder of functions compiled in fits with this key; removes old folders."""
    folder = cache / "compiled" / key
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    for other in folder.parent.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - other.stat().st_mtime > _COMPILED_DAYS * 86400:
                shutil.rmtree(other)
    return folder


def _keep_compiled_functions(folder: Path | None) -> None:
    """Let Numba read compiled functions, and store new ones in a folder if that is possible."""
    if folder is not None:
        os.environ["NUMBA_CACHE_DIR"] = str(folder)
    caching: Any = sys.modules.get("numba.core.caching")
    if caching is None:
        return
    caching.Cache._guard_against_spurious_io_errors = lambda self: contextlib.suppress(OSError)
    if folder is None:
        return
    caching.config.CACHE_DIR = str(folder)
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
    """Return how files are protected from fits on this machine."""
    return KERNEL if landlock.version() else PROCESS_ONLY


def data_folders() -> list[Path]:
    """Return the folder of the user's labelled data, if ``BENCH_DATA_DIR`` is set."""
    folder = os.environ.get("BENCH_DATA_DIR")
    return [Path(folder).expanduser()] if folder else []


def _use_as_home(scratch: Path) -> None:
    for name in _FOLDER_VARIABLES:
        os.environ[name] = str(scratch)
    for name in [name for name in os.environ if name.startswith("BENCH_")]:
        del os.environ[name]


def _folders_of_modules(sources: Iterable[Path]) -> list[str]:
    """Return the folders of sources, and the entries of ``sys.path`` that contain them."""
    files = [str(path) for path in (*sources, Path(bench.__file__).resolve())]
    entries = {os.path.realpath(entry) for entry in sys.path if entry}
    above = [entry for entry in entries if any(file.startswith(entry + "/") for file in files)]
    return [*dict.fromkeys([*above, *map(os.path.dirname, files)])]


def _with_bytecode(sources: Iterable[Path]) -> Iterator[Path]:
    """Yield sources and their bytecode files."""
    for path in sources:
        yield path
        if path.suffix == ".py":
            yield Path(importlib.util.cache_from_source(str(path)))


def _devices() -> list[Path]:
    gpus = [path for name in _GPU_DEVICES for path in Path("/dev").glob(name)]
    return [*map(Path, _DEVICES), *gpus]
