"""The verb ``bench doctor``."""

from __future__ import annotations

import typer

from bench.plan.device import resolve_device
from bench.provenance import describe_machine, git_commit, package_versions
from bench.registry import datasets, methods
from bench.settings import Settings

from .options import verb


@verb()
def doctor_command(*, settings: Settings) -> None:
    """Show versions, machine, folders and what is unavailable."""
    from bench.execute.wall import wall_state

    lines = {
        "machine": describe_machine(),
        "device": resolve_device("auto"),
        "git commit": git_commit() or "not a checkout",
        "results": str(settings.results.resolve()),
        "cache": str(settings.cache_dir),
        "limits": f"{settings.timeout:g} s, {settings.memory:g} GiB a job",
        "files of fits": wall_state(),
        **package_versions(),
    }
    for entry in [*methods(), *datasets()]:
        if entry.unavailable:
            lines[f"unavailable: {entry.name}"] = entry.unavailable
    for name, value in lines.items():
        typer.echo(f"{name:24s} {value}")
