"""The verbs ``bench methods``, ``bench datasets`` and ``bench doctor``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bench.settings import Settings

from .completion import complete_datasets, complete_methods
from .options import AsJson, verb
from .output import make_console, print_json
from .tables import dataset_table, method_card, method_table, show


@verb("plugins")
def methods_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", autocompletion=complete_methods, help="show one in full"),
    ] = None,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """List the methods, or show one: parameters, bounds, search ranges, what it uses."""
    plugins = settings.plugins
    _print(method_card(name, plugins) if name else method_table(plugins), as_json=as_json)


@verb("plugins")
def datasets_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", autocompletion=complete_datasets, help="show one in full"),
    ] = None,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """List the datasets, or show one: what it is, its labels, its citation."""
    from bench.data.card import dataset_card

    plugins = settings.plugins
    _print(dataset_card(name, plugins) if name else dataset_table(settings), as_json=as_json)


@verb()
def doctor_command(*, settings: Settings) -> None:
    """Show versions, machine, folders and what is unavailable."""
    from bench.plan.device import resolve_device
    from bench.provenance import describe_machine, git_commit, package_versions
    from bench.registry import datasets, methods

    lines = {
        "machine": describe_machine(),
        "device": resolve_device("auto"),
        "git commit": git_commit() or "not a checkout",
        "results": str(settings.results.resolve()),
        "cache": str(settings.cache_dir),
        "limits": f"{settings.timeout:g} s, {settings.memory:g} GiB a job",
        **package_versions(),
    }
    for entry in [*methods(), *datasets()]:
        if entry.unavailable:
            lines[f"unavailable: {entry.name}"] = entry.unavailable
    for name, value in lines.items():
        typer.echo(f"{name:24s} {value}")


def _print(content: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(content)
    else:
        show(content, make_console())
