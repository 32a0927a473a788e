"""test_method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import UsageError
from bench.registry import methods

from .options import Plugins, make_console

if TYPE_CHECKING:
    from rich.console import Console


def conformance(name: str, plugins: tuple[str, ...], console: Console) -> bool:
    """Print the findings of one method, of a plugin file's methods or of ``all``.

    Returns whether no check failed.
    """
    from bench.testing import CHECKS, findings

    registry = methods(plugins)
    origin = str(Path(name).resolve())
    wanted = [
        entry
        for entry in registry
        if (name == "all" and not entry.unavailable) or entry.origin == origin
    ]
    if not wanted and name.endswith(".py"):
        raise UsageError(f"{name} defines no method; expected a subclass of Method with a name.")
    wanted = wanted or [registry.entry(name)]
    good = True
    for entry in wanted:
        passed = without = 0
        for finding in findings(registry.get(entry.name)):
            passed += finding.status == "passed"
            without += finding.status == "not applicable"
            if finding.status != "passed":
                text = f"{entry.name}: {finding.check} {finding.status}: {finding.reason}"
                console.print(text, markup=False, highlight=False)
            good &= finding.status != "failed"
        rest = f", {without} not applicable" if without else ""
        text = f"{entry.name}: {passed} of {len(CHECKS)} checks passed{rest}"
        console.print(text, highlight=False)
    return good


def conformance_command(
    name: Annotated[str, typer.Argument(help="a method, a plugin file, or all")],
    plugins: Plugins = None,
) -> None:
    """Check that a method keeps the contract; exit 1 if a check fails."""
    if name.endswith(".py"):
        plugins, name = [*(plugins or []), name], name
    if not conformance(name, tuple(map(str, plugins or ())), make_console()):
        raise typer.Exit(1)
