"""Methods with their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.selectors import Exclusion, Selection, selector_label

from .device import resolve_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.contract import Method
    from bench.registry import Registry, RegistryEntry
    from bench.settings import Settings

    from .parameter_files import FileParameters


@dataclass(frozen=True)
class ConfiguredMethod:
    """A method with its parameters."""

    cls: type[Method]
    origin: str
    label: str
    method: Method
    given: frozenset[str] = frozenset()
    """Parameters set by ``--set`` or in brackets."""
    file: FileParameters | None = None
    """The parameters of ``--params``, if there are any."""
    n_trials: int = 0
    """Number of configurations among which a search selected the parameters; 0: no search."""


def configure_methods(
    selected: list[Selection],
    registry: Registry[Method],
    settings: Settings,
    assignments: list[str],
    files: Mapping[str, FileParameters] | None = None,
) -> tuple[list[ConfiguredMethod], list[Exclusion]]:
    """Resolve parameters: defaults < profile < presets < ``--params`` < ``--set`` < brackets.

    ``assignments`` are texts such as ``vae.learning_rate=3e-4``, ``files`` the contents of
    parameter files by method. Returns the methods, and those that are unavailable. Raises
    ``UsageError``, also for ``--device cuda`` without a GPU.
    """
    resolve_device(settings.device)
    assigned = _parse_assignments(assignments, {item.name for item in selected}, registry)
    configured, unavailable = [], []
    for selection in selected:
        name = selection.name
        entry: RegistryEntry[Method] = registry.entry(name)
        if entry.cls is None or entry.unavailable:
            if selection.explicit:
                registry.get(name)
            unavailable.append(Exclusion(name, "all", "unavailable", entry.unavailable))
            continue
        values = assigned.get(name, {}) | selection.values
        file = (files or {}).get(name)
        label = selector_label(name, ({"params": file.name} if file else {}) | values)
        presets: list[str] = []
        if settings.profile in entry.cls.Params.presets:
            presets.append(settings.profile)
        if "preset" in values:
            presets.append(values["preset"])
        own = {key: value for key, value in values.items() if key != "preset"}
        params = entry.cls.Params.build(
            (file.values if file else {}) | own, presets=tuple(presets), owner=name
        )
        method = entry.cls(params)
        configured.append(
            ConfiguredMethod(entry.cls, entry.origin, label, method, frozenset(own), file)
        )
    return configured, unavailable


def _parse_assignments(
    texts: list[str], selected: set[str], registry: Registry[Method]
) -> dict[str, dict[str, str]]:
    """Return the values of ``method.parameter=value`` texts by method and parameter."""
    values: dict[str, dict[str, str]] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        name, dot, parameter = (part.strip() for part in target.partition("."))
        if not equals or not dot or not parameter:
            raise UsageError(
                f"--set {text}: expected method.parameter=value.", code="not_an_assignment"
            )
        registry.entry(name)
        if name not in selected:
            raise UsageError(
                f"--set {text}: '{name}' is not among the selected methods.", code="not_selected"
            )
        values.setdefault(name, {})[parameter] = value.strip()
    return values
