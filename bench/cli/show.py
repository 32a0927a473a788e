"""show."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import AsJson, Plugins, make_console, print_json


def methods_command(
    name: Annotated[str | None, typer.Argument(help="show one method in full")] = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """List the methods, or show one: parameters, bounds, search ranges, what it uses."""
    from .tables import method_card, method_table

    _list(name, plugins, as_json, method_card, method_table)


def datasets_command(
    name: Annotated[str | None, typer.Argument(help="show one dataset in full")] = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """List the datasets, or show one: what it is, its labels, its citation."""
    from bench.data.card import dataset_card

    from .tables import dataset_table

    _list(name, plugins, as_json, dataset_card, dataset_table)


def doctor_command() -> None:
    """Show versions, machine, folders and what is unavailable."""
    from bench.plan.device import device_class
    from bench.provenance import describe_machine, git_commit, package_versions
    from bench.registry import datasets, methods
    from bench.settings import load_settings

    settings = load_settings({})
    lines = {
        "machine": describe_machine(),
        "device": device_class("auto"),
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


def _list(
    name: str | None, plugins: list[str] | None, as_json: bool, card: Any, table: Any
) -> None:
    files = tuple(plugins or ())
    content = card(name, files) if name else table(files)
    if as_json:
        print_json(content)
    else:
        from .tables import show

        show(content, make_console())
