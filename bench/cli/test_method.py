"""The verb ``bench test-method``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.errors import UsageError
from bench.registry import methods
from bench.settings import Settings

from .completion import complete_methods
from .options import argument, verb


@verb("plugins")
def test_method_command(
    name: Annotated[
        str, argument("METHOD", "a method, its file, or all", autocompletion=complete_methods)
    ],
    *,
    settings: Settings,
) -> None:
    """Check a method against the contract; exit 1 if a check fails."""
    plugins = settings.plugins
    if name.endswith(".py") and name not in plugins:
        plugins = (*plugins, name)
    if not check_methods(name, plugins):
        raise typer.Exit(1)


def check_methods(name: str, plugins: tuple[str, ...]) -> bool:
    """Print the findings of a method, of a plugin file's methods or of ``all``.

    Returns whether no check failed.
    """
    from bench.testing import CHECKS, findings

    registry = methods(plugins)
    origin = str(Path(name).resolve())
    entries = [
        entry
        for entry in registry
        if (name == "all" and not entry.unavailable) or entry.origin == origin
    ]
    if not entries and name.endswith(".py"):
        raise UsageError(
            f"{name} defines no method; expected a subclass of Method with a name.",
            code="empty_plugin",
        )
    good = True
    for entry in entries or [registry.entry(name)]:
        results = list(findings(registry.get(entry.name)))
        for finding in results:
            if finding.status != "passed":
                typer.echo(f"{entry.name}: {finding.check} {finding.status}: {finding.reason}")
        count = {
            status: sum(one.status == status for one in results)
            for status in ("passed", "failed", "not applicable")
        }
        rest = f", {count['not applicable']} not applicable" if count["not applicable"] else ""
        typer.echo(f"{entry.name}: {count['passed']} of {len(CHECKS)} checks passed{rest}")
        good = good and not count["failed"]
    return good
