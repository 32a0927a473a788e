"""Start the server from which all limited processes are forked, and start processes.

The server is that of :mod:`multiprocessing.forkserver`; its preload only imports. It is
independent of settings for Python of the user's shell, notebook or batch system, and of scripts in
the current folder.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing import process as current
from multiprocessing import util
from pathlib import Path
from typing import Any

import psutil

from .threads import THREAD_VARIABLES
from .wall import numba_folder

PRELOAD = (
    "bench.execute.process_server", "numpy", "scipy.sparse", "pandas", "anndata",
    "pyarrow.dataset", "pyarrow.parquet", "torch", "sklearn.cluster", "sklearn.decomposition",
    "sklearn.metrics", "sklearn.neighbors", "igraph", "scanpy", "bench.execute.tasks",
    "bench.scoring.scorer", "bench.data.cache.data_cache", "bench.data.cache.prepared_files",
    "bench.execute.installed_paths", "bench.execute.warm_libraries",
)  # fmt: skip
"""Modules that the server imports, its own settings first. A missing module is skipped
silently, and then imported by every child."""
_SOCKET_FOLDER_CHARACTERS = 60
"""Paths of sockets have at most 107 characters, and libraries add their own names."""
_starting = threading.Lock()
_threads = 1


def warm_up(threads: int) -> None:
    """Start the server and return at once; libraries in it use ``threads`` threads."""
    global _threads
    _threads = threads
    with _starting, _server_surroundings():
        multiprocessing.set_forkserver_preload(list(PRELOAD))
        multiprocessing.forkserver.ensure_running()


def start_process(target: Callable[..., None], arguments: tuple[Any, ...]) -> tuple[Any, int]:
    """Start a process that calls ``target``; returns it and the process id of its server.

    A server that has ended is started again.
    """
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=target, args=arguments)
    with _starting, _server_surroundings(), _hidden_main():
        process.start()
        return process, _server_number()


def server_is_running(number: int) -> bool:
    """Return whether a server runs; without it fits go on, but their exit codes are lost."""
    try:
        return (
            number == _server_number() and psutil.Process(number).status() != psutil.STATUS_ZOMBIE
        )
    except psutil.Error:
        return False


def _server_number() -> int:
    return int(multiprocessing.forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]


def short_temp_dir() -> str:
    """Return the folder for temporary files; a shorter one if its path is too long for sockets."""
    usual = tempfile.gettempdir()
    if len(usual) > _SOCKET_FOLDER_CHARACTERS:
        for folder in ("/tmp", "/var/tmp", "/dev/shm"):
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    return usual


@contextlib.contextmanager
def _server_surroundings() -> Iterator[None]:
    """Set variables and paths for the start of the server, and restore the caller's."""
    variables: dict[str, str | None] = {name: str(_threads) for name in THREAD_VARIABLES}
    # Fits read compiled functions here and cannot write: the drawing of UMAPs compiles them.
    variables["NUMBA_CACHE_DIR"] = os.environ.get("NUMBA_CACHE_DIR") or str(numba_folder())
    variables |= {"PYTHONSAFEPATH": "1", "PYTHONWARNINGS": None, "MPLBACKEND": "agg"}
    if "PYTHONPATH" in os.environ:
        # An empty part, as in "$PYTHONPATH:/mine", is the current folder.
        parts = os.environ["PYTHONPATH"].split(os.pathsep)
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, parts)) or None
    before = {name: os.environ.get(name) for name in variables}
    path, warn_options = sys.path[:], sys.warnoptions[:]
    _use_short_socket_folder()
    try:
        _set_variables(variables)
        sys.path[:], sys.warnoptions[:] = _safe_path(), []
        yield
    finally:
        _set_variables(before)
        sys.path[:], sys.warnoptions[:] = path, warn_options


def _set_variables(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _safe_path() -> list[str]:
    """Return ``sys.path`` with the current folder and the folder of the caller's script last.

    A file ``umap.py`` there would otherwise replace the library.
    """
    script = getattr(sys.modules["__main__"], "__file__", None)
    own = {"", os.getcwd(), *([str(Path(script).resolve().parent)] if script else [])}
    return sorted(sys.path, key=own.__contains__)


def _use_short_socket_folder() -> None:
    """Let multiprocessing put its sockets into a folder with a short path."""
    config = current.current_process()._config  # type: ignore[attr-defined]
    if config.get("tempdir") is None and short_temp_dir() != tempfile.gettempdir():
        config["tempdir"] = tempfile.mkdtemp(prefix="pymp-", dir=short_temp_dir())
        util.Finalize(None, shutil.rmtree, (config["tempdir"], True), exitpriority=-100)


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep a child from importing the caller's script, which may lack a ``__main__`` guard."""
    module = sys.modules["__main__"]
    before = {name: getattr(module, name, None) for name in ("__file__", "__spec__")}
    try:
        for name in before:
            setattr(module, name, None)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
