"""Read the file of ``--space``, which narrows, extends or fixes the parameters of a search.

vae:
  n_latent: {low: 8, high: 32, log: true}   # another range
  hidden: ["128", "512-64"]                 # values to choose from
  max_epochs: {low: 50, high: 400, step: 50}
  prior: standard                           # this value, not searched
  kl_weight: null                           # its default, not searched
  weight_decay: {low: 1e-6, high: 1e-3, log: true, zero: true, when: {prior: [standard]}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictBool, ValidationError

from bench.contract import Parameters, Search
from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.yaml_file import read_yaml

Conditions = tuple[tuple[str, tuple[Any, ...]], ...]


@dataclass(frozen=True)
class SpaceChanges:
    """Changes of the search space of one method."""

    searched: dict[str, Search | None] = field(default_factory=dict)
    """New ranges; ``None``: not searched."""
    fixed: dict[str, Any] = field(default_factory=dict)
    """Values that are not searched."""


def read_space_file(path: Path, params: Mapping[str, type[Parameters]]) -> dict[str, SpaceChanges]:
    """Return the changes by method; ``params`` are the ``Params`` of the searched methods.

    Raises ``UsageError`` with the file, the method and the parameter.
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


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


_EXPECTED = {
    "log": "true or false", "zero": "true or false", "choices": "a list",
    "when": "parameter: [values]",
}  # fmt: skip
# YAML reads 1e-6 as text.
_Number = Annotated[int | float | None, BeforeValidator(_no_boolean)]


class _Range(BaseModel):
    """A range or choices in the file."""

    model_config = ConfigDict(extra="forbid")

    low: _Number = None
    high: _Number = None
    step: _Number = None
    log: StrictBool = False
    zero: StrictBool = False
    choices: list[Any] | None = None
    when: dict[str, Any] | None = None


def _read_range(where: str, value: Mapping[Any, Any], when: Conditions) -> Search:
    try:
        given = _Range.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(key, list(_Range.model_fields))
            raise UsageError(f"{where}: no key '{key}'.{hint}", code="unknown_key") from None
        expected = _EXPECTED.get(key, "a number")
        raise UsageError(
            f"{where}: {key} is {value[key]!r}; expected {expected}.", code="invalid_value"
        ) from None
    if given.choices is not None and {"low", "high"} & set(value):
        raise UsageError(
            f"{where}: give a list of choices, or low and high, not both.", code="invalid_range"
        )
    if given.when is not None:
        when = tuple(
            (name, tuple(allowed) if isinstance(allowed, list) else (allowed,))
            for name, allowed in given.when.items()
        )
    choices = None if given.choices is None else tuple(given.choices)
    ends = given.model_dump(include={"low", "high", "step", "log", "zero"})
    return Search(**ends, choices=choices, when=when)
