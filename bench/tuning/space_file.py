"""Read the file of ``--space``, which narrows, extends or fixes the parameters of a search.

vae:
  n_latent: {low: 8, high: 32, log: true}   # another range
  hidden: ["128", "512-64"]                 # values to choose from
  max_epochs: {low: 50, high: 400, step: 50}
  prior: standard                           # this value, not searched
  kl_warmup: null                           # its default, not searched
  weight_decay: {low: 1e-6, high: 1e-3, log: true, zero: true, when: {prior: [standard]}}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.contract import Parameters, Search
from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.yaml_file import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Conditions = tuple[tuple[str, tuple[Any, ...]], ...]
_RANGE_KEYS = ("low", "high", "log", "step", "zero", "choices", "when")


@dataclass(frozen=True)
class SpaceChanges:
    """Changes of the search space of one method."""

    searched: dict[str, Search | None] = field(default_factory=dict)
    """New ranges; ``None``: not searched."""
    fixed: dict[str, Any] = field(default_factory=dict)
    """Values that are not searched."""


def read_space_file(path: Path, params: Mapping[str, type[Parameters]]) -> dict[str, SpaceChanges]:
    """Return the changes by method; ``params`` are the parameters of the searched methods.

    Raises ``UsageError`` that names the file, the method and the parameter.
    """
    content = read_yaml(path)
    for method, block in content.items():
        if method not in params:
            hint = did_you_mean(str(method), list(params))
            raise UsageError(
                f"{path}: '{method}' is not among the searched methods.{hint}",
                code="unknown_name",
            )
        if not isinstance(block, dict):
            raise UsageError(
                f"{path}: {method}: expected parameters with their ranges.", code="not_a_mapping"
            )
    return {
        str(method): _read_changes(f"{path}: {method}", block, params[method])
        for method, block in content.items()
    }


def _read_changes(where: str, block: Mapping[Any, Any], params: type[Parameters]) -> SpaceChanges:
    changes = SpaceChanges()
    conditions = {name: search.when for name, search in params.search_space().items()}
    for name, value in block.items():
        if name not in params.model_fields:
            hint = did_you_mean(str(name), list(params.model_fields))
            raise UsageError(f"{where}: no parameter '{name}'.{hint}", code="unknown_name")
        when = conditions.get(name, ())
        if isinstance(value, dict):
            changes.searched[name] = _read_range(f"{where}.{name}", value, when)
        elif isinstance(value, list):
            changes.searched[name] = Search(choices=tuple(value), when=when)
        else:
            changes.searched[name] = None
            if value is not None:
                changes.fixed[name] = value
    return changes


def _read_range(where: str, value: Mapping[Any, Any], when: Conditions) -> Search:
    unknown = [key for key in value if key not in _RANGE_KEYS]
    if unknown:
        hint = did_you_mean(str(unknown[0]), list(_RANGE_KEYS))
        raise UsageError(f"{where}: no key '{unknown[0]}'.{hint}", code="unknown_key")
    choices = value.get("choices")
    if choices is not None and (not isinstance(choices, list) or {"low", "high"} & set(value)):
        raise UsageError(
            f"{where}: give a list of choices, or low and high, not both.", code="invalid_range"
        )
    return Search(
        low=_read_number(where, value, "low"),
        high=_read_number(where, value, "high"),
        step=_read_number(where, value, "step"),
        log=_read_flag(where, value, "log"),
        zero=_read_flag(where, value, "zero"),
        choices=None if choices is None else tuple(choices),
        when=_read_conditions(where, value["when"]) if "when" in value else when,
    )


def _read_number(where: str, value: Mapping[Any, Any], key: str) -> float | None:
    """Return a number; YAML reads ``1e-6`` as text."""
    given = value.get(key)
    if given is None:
        return None
    try:
        if isinstance(given, bool):
            raise ValueError
        number = float(given)
    except (TypeError, ValueError):
        raise UsageError(
            f"{where}: {key} is {given!r}, not a number.", code="not_a_number"
        ) from None
    return int(number) if isinstance(given, int) else number


def _read_flag(where: str, value: Mapping[Any, Any], key: str) -> bool:
    given = value.get(key, False)
    if not isinstance(given, bool):
        raise UsageError(
            f"{where}: {key} is {given!r}; expected true or false.", code="invalid_value"
        )
    return given


def _read_conditions(where: str, value: Any) -> Conditions:
    if not isinstance(value, dict):
        raise UsageError(
            f"{where}: when is {value!r}; expected parameter: [values].", code="not_a_mapping"
        )
    return tuple(
        (str(name), tuple(allowed) if isinstance(allowed, list) else (allowed,))
        for name, allowed in value.items()
    )
