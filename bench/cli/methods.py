"""The verb ``bench methods``."""

from __future__ import annotations

from typing import Annotated

from bench.contract import Method
from bench.registry import methods
from bench.settings import Settings

from .completion import complete_methods
from .options import AsJson, argument, verb
from .tables import Row, print_content


@verb("plugins")
def methods_command(
    name: Annotated[
        str | None, argument("NAME", "show one in full", autocompletion=complete_methods)
    ] = None,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """List the methods, or show one: parameters, bounds, search ranges, what it uses."""
    plugins = settings.plugins
    content = method_card(name, plugins) if name else method_table(plugins)
    print_content(content, as_json=as_json)


def method_table(plugins: tuple[str, ...] = ()) -> list[Row]:
    """Return one row a method."""
    rows = []
    for entry in methods(plugins):
        cls = entry.cls
        if cls is None or entry.unavailable:
            rows.append({"method": entry.name, "summary": f"unavailable: {entry.unavailable}"})
            continue
        rows.append(
            {
                "method": entry.name,
                "family": cls.family,
                "data": ", ".join(sorted(cls.modalities)),
                "cost": cls.cost,
                "uses": method_inputs(cls),
                "summary": cls.summary,
            }
        )
    return rows


def method_inputs(cls: type[Method]) -> str:
    """Return what a method uses beyond counts with its default parameters."""
    if cls.needs is Method.needs and cls.may_use is Method.may_use:
        return ""
    # The defaults as declared: to build the validators would take a fifth of the command's time.
    method = cls(cls.Params.model_construct())
    optional = [f"{name} (where there is one)" for name in sorted(method.may_use())]
    return ", ".join([*sorted(method.needs()), *optional])


def method_card(name: str, plugins: tuple[str, ...] = ()) -> Row:
    """Return all facts about one method."""
    from bench.data.card import plain_docstring, preset_rows

    entry = methods(plugins).entry(name)
    cls = methods(plugins).get(name)
    return {
        "method": name,
        "summary": cls.summary,
        "description": plain_docstring(cls.__doc__),
        "family": cls.family,
        "data": ", ".join(sorted(cls.modalities)),
        "uses": method_inputs(cls) or "counts only",
        "cost": cls.cost,
        "device": "cpu or cuda" if cls.gpu else "cpu",
        "version": cls.version,
        "reference": cls.reference,
        "origin": entry.origin,
        "parameters": cls.Params.describe(),
        "presets": preset_rows(cls.Params.presets),
    }
