"""The verb ``bench doctor``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import typer

from bench.plan.device import resolve_device
from bench.provenance import describe_machine, git_commit, package_versions
from bench.registry import datasets, methods
from bench.settings import Settings

from .options import verb

_LEAST_DISK_GIB = 5.0
"""A run with UMAPs and models of the shipped datasets takes about one."""
_LEAST_MEMORY_GIB = 2.0
"""Loading the libraries takes about one."""


@verb()
def doctor_command(*, settings: Settings) -> None:
    """Show versions, machine, and what is missing."""
    from bench.execute.wall import KERNEL, wall_state

    device, wall = resolve_device("auto"), wall_state()
    lines = {
        "machine": describe_machine(),
        "device": device,
        "git commit": git_commit() or "not a checkout",
        "results": str(settings.results.resolve()),
        "cache": str(settings.cache_dir),
        "limits": f"{settings.timeout:g} s, {settings.memory:g} GiB a job",
        "files of fits": wall,
        **package_versions(),
    }
    for name, value in lines.items():
        typer.echo(f"{name:24s} {value}")
    missing = [*_unavailable(), *_short_of_space(settings)]
    if device == "cpu":
        missing.append("no GPU: networks train on the processor, many times slower")
    if wall != KERNEL:
        missing.append(
            "no Landlock in this kernel: a method could read labels, and reports say so "
            "(Linux 5.13 or later has it)"
        )
    typer.echo()
    if not missing:
        typer.echo("All is well.")
        return
    typer.echo("Missing, and what it costs:")
    for line in missing:
        typer.echo(f"  {line}")


def _unavailable() -> Iterator[str]:
    """Yield a line for each reason why methods or datasets are left out."""
    names: dict[str, list[str]] = {}
    for entry in (*methods(), *datasets()):
        if entry.unavailable:
            names.setdefault(entry.unavailable, []).append(entry.name)
    for reason, left_out in names.items():
        yield f"without {', '.join(left_out)}: {reason}"


def _short_of_space(settings: Settings) -> Iterator[str]:
    """Yield a line for each folder on a nearly full disk, and for a small limit of memory."""
    for name, folder in (("results", settings.results), ("cache", settings.cache_dir)):
        free = shutil.disk_usage(_existing(folder)).free / 2**30
        if free < _LEAST_DISK_GIB:
            yield f"{free:.1f} GiB free for the {name} in {folder}: a large run may not fit"
    if settings.memory < _LEAST_MEMORY_GIB:
        yield (
            f"{settings.memory:.1f} GiB of memory a job: large fits end as oom; run fewer at a "
            "time with --jobs, or set --memory"
        )


def _existing(folder: Path) -> Path:
    """Return the folder, or the next one above it that exists."""
    resolved = folder.resolve()
    return next(one for one in (resolved, *resolved.parents) if one.exists())
