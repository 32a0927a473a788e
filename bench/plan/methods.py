"""methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.contract import Method
from bench.errors import UsageError
from bench.registry import Registry, RegistryEntry
from bench.selectors import Exclusion, Selection, selector_label
from bench.settings import Settings

from .device import device_class
from .parameter_files import FromFile


@dataclass(frozen=True)
class Configured:
    """A method class with its parameters."""

    cls: type[Method]
    origin: str
    label: str
    method: Method
    given: frozenset[str] = frozenset()
    """Parameters set by ``--set`` or in brackets."""


def configure(
    selected: list[Selection],
    registry: Registry[Method],
    settings: Settings,
    assignments: list[str],
    files: Mapping[str, FromFile] | None = None,
) -> tuple[list[Configured], list[Exclusion]]:
    """Resolve parameters: defaults < profile < presets < ``--params`` < ``--set`` < brackets.

    ``assignments`` are texts such as ``vae.learning_rate=3e-4``, ``files`` what parameter files
    say by method. Raises ``UsageError``, also if a GPU is asked for and there is none.
    """
    device_class(settings.device)
    given = _assignments(assignments, {one.name for one in selected}, registry)
    configured, left = [], []
    for one in selected:
        entry: RegistryEntry[Method] = registry.entry(one.name)
        if entry.cls is None or entry.unavailable:
            if one.explicit:
                registry.get(one.name)
            left.append(Exclusion(one.name, "all", "unavailable", entry.unavailable))
            continue
        values = given.get(one.name, {}) | one.values
        file = (files or {}).get(one.name)
        shown = selector_label(one.name, ({"params": file.name} if file else {}) | values)
        presets: list[str] = (
            [settings.profile] if settings.profile in entry.cls.Params.presets else []
        )
        rest = dict(values)
        if "preset" in rest:
            presets.append(rest.pop("preset"))
        params = entry.cls.Params.build(
            (file.values if file else {}) | rest, presets=tuple(presets), owner=one.name
        )
        method = entry.cls(params)
        configured.append(Configured(entry.cls, entry.origin, shown, method, frozenset(rest)))
    return configured, left


def _assignments(
    texts: list[str], selected: set[str], registry: Registry[Method]
) -> dict[str, dict[str, str]]:
    given: dict[str, dict[str, str]] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        name, dot, parameter = target.partition(".")
        if not equals or not dot or not parameter:
            raise UsageError(f"--set {text}: expected method.parameter=value.")
        registry.entry(name.strip())
        if name.strip() not in selected:
            raise UsageError(f"--set {text}: '{name}' is not among the selected methods.")
        given.setdefault(name.strip(), {})[parameter.strip()] = value.strip()
    return given
