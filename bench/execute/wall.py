"""The wall around a fit: which files its process may read and write, held by the kernel.

A fit reads the interpreter and its packages, the source of its method and its own prepared arrays.
Labels, results and data folders are out of its reach, whatever its code does, where the kernel has
Landlock; elsewhere only the process keeps them apart, and the run says so.
"""

from __future__ import annotations

import contextlib
import os
import site
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bench
from bench.settings import default_cache_dir

from . import landlock

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


@dataclass(frozen=True)
class Wall:
    """What one process may use besides the interpreter and its packages."""

    readable: tuple[Path, ...] = ()
    """Files and folders of the fit's own; they stay readable inside a hidden folder."""
    writable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    """Folders of results and data; they stay hidden where they lie in a readable folder."""
    scratch: Path | None = None
    """Folder that takes the place of the home and of temporary and cache folders."""
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
        above = [path for path in paths if any(path in one.parents for one in hidden)]
        readable = [*_without(paths, hidden), *self.readable, numba_folder()]
        landlock.restrict(readable, [*self.writable, *_devices()], above)
        _keep_compiled_functions_in_memory()
        return KERNEL


def numba_folder() -> Path:
    """Return the folder of compiled functions; fits read it, the drawing of UMAPs fills it."""
    return default_cache_dir() / "numba"


def _keep_compiled_functions_in_memory() -> None:
    """Let Numba go on where it cannot save what it compiles."""
    caching = sys.modules.get("numba.core.caching")
    if caching is not None:
        caching.Cache._guard_against_spurious_io_errors = lambda self: contextlib.suppress(OSError)


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
    here = Path.cwd()
    entries = [Path(entry) for entry in sys.path if entry]
    entries += [Path(sys.prefix), Path(sys.base_prefix), Path(site.getusersitepackages())]
    entries += [Path(one) for one in os.environ.get("LD_LIBRARY_PATH", "").split(":") if one]
    entries += [*_mapped_library_folders(), *map(Path, _SYSTEM), *_own_source()]
    # An entry that is the current folder may hold anything; its packages are entries of their own.
    return [path for path in dict.fromkeys(entries) if path.resolve() != here]


def _own_source() -> list[Path]:
    """Return the folders of this package; in a checkout three of them lie beside it."""
    package = Path(bench.__file__).resolve().parent
    return [package, *((package / name).resolve() for name in ("methods", "datasets", "reports"))]


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
