"""The search space of a method, made from its parameter declarations.

A configuration is drawn parameter by parameter. A parameter with ``Search.zero`` is drawn as a
switch (``name.on``) and, if on, a value of the range. A parameter with conditions
(``Search.when``) is drawn only if they hold, and keeps its base value otherwise.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import TypeAdapter, ValidationError

from bench.errors import UsageError
from bench.messages import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.contract import Parameters, Search

SWITCH = ".on"
_GRID_MOST = 100_000


class Suggest(Protocol):
    """Draws values of parameters, like an Optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, **more: Any) -> float:
        """Return a number in the range."""

    def suggest_int(self, name: str, low: int, high: int, **more: Any) -> int:
        """Return a whole number in the range."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of the choices."""


@dataclass(frozen=True)
class Dimension:
    """One parameter to search."""

    name: str
    search: Search
    whole: bool
    """True if its values are integers."""

    def draw(self, suggest: Suggest) -> Any:
        """Return a value, 0 if the switch is off."""
        s = self.search
        if s.choices is not None:
            return suggest.suggest_categorical(self.name, s.choices)
        if s.zero and not suggest.suggest_categorical(self.name + SWITCH, (False, True)):
            return 0 if self.whole else 0.0
        assert s.low is not None
        assert s.high is not None
        if self.whole:
            step = int(s.step or 1)
            return suggest.suggest_int(self.name, int(s.low), int(s.high), log=s.log, step=step)
        return suggest.suggest_float(self.name, s.low, s.high, log=s.log, step=s.step)

    def encode(self, value: Any) -> dict[str, Any] | None:
        """Return the draws that result in ``value``; ``None`` if it is outside of the range."""
        s = self.search
        if s.choices is not None:
            return {self.name: value} if value in s.choices else None
        if s.zero and value == 0:
            return {self.name + SWITCH: False}
        assert s.low is not None
        assert s.high is not None
        inside = s.low <= value <= s.high
        if inside and s.step:
            steps = (value - s.low) / s.step
            inside = math.isclose(steps, round(steps), abs_tol=1e-8)
        if not inside:
            return None
        return {self.name: value} | ({self.name + SWITCH: True} if s.zero else {})

    def values(self) -> list[Any] | None:
        """Return all values of choices or a range with steps; ``None`` for a continuous range."""
        s = self.search
        if s.choices is not None:
            return list(s.choices)
        assert s.low is not None
        assert s.high is not None
        step = s.step or (1 if self.whole and not s.log else None)
        if step is None:
            return None
        listed: list[Any] = [s.low + i * step for i in range(int((s.high - s.low) / step + 1.5))]
        listed = [int(v) if self.whole else float(v) for v in listed if v <= s.high + 1e-12]
        return ([0] if s.zero else []) + listed


@dataclass(frozen=True)
class Space:
    """The searched parameters of one method on one dataset, and the values of all others."""

    owner: str
    params: type[Parameters]
    base: dict[str, Any]
    """Resolved base configuration: declared defaults, profile, values set by the user."""
    dimensions: tuple[Dimension, ...]
    """Ordered so that conditions depend on earlier dimensions only."""

    def draw(self, suggest: Suggest) -> dict[str, Any]:
        """Return a configuration, resolved to plain values.

        Raises ``UsageError`` if the method refuses this combination of values.
        """
        values = dict(self.base)
        for dimension in self.dimensions:
            if _holds(dimension.search, values):
                values[dimension.name] = dimension.draw(suggest)
        return self.complete(values)

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return validated, resolved values of all parameters."""
        return self.params.build(dict(values), owner=self.owner).resolved()

    def encode(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the draws that result in a configuration; ``None`` if it is not in the space."""
        drawn: dict[str, Any] = {}
        for dimension in self.dimensions:
            if not _holds(dimension.search, values):
                continue
            part = dimension.encode(values[dimension.name])
            if part is None:
                return None
            drawn |= part
        return drawn

    @property
    def conditional(self) -> list[str]:
        """Names of parameters that are not drawn in every configuration."""
        return [d.name for d in self.dimensions if d.search.zero or d.search.when]

    @property
    def categorical(self) -> list[str]:
        """Names of parameters with choices or a switch."""
        return [d.name for d in self.dimensions if d.search.zero or d.search.choices is not None]

    def grid(self) -> list[dict[str, Any]]:
        """Return every valid configuration once, the default first if it is one of them.

        Raises ``UsageError`` if a parameter has no finite list of values or there are too many.
        """
        endless = [d.name for d in self.dimensions if d.values() is None]
        if endless:
            raise UsageError(
                f"{self.owner}: --sampler grid needs a list of values or a step for "
                f"{', '.join(endless)}; give them with --space, or use another sampler.",
                code="unsupported_space",
            )
        sizes = math.prod(len(d.values() or ()) for d in self.dimensions)
        if sizes > _GRID_MOST:
            raise UsageError(
                f"{self.owner}: the grid has {sizes:,} configurations, more than {_GRID_MOST:,}; "
                "give fewer values with --space, or use another sampler.",
                code="too_many_values",
            )
        found: dict[str, dict[str, Any]] = {}
        for values in self._combinations():
            try:
                whole = self.complete(values)
            except UsageError:
                continue
            found.setdefault(repr(whole), whole)
        return sorted(found.values(), key=lambda values: values != self.base)

    def _combinations(self) -> Iterator[dict[str, Any]]:
        names = [d.name for d in self.dimensions]
        for chosen in itertools.product(*(d.values() or () for d in self.dimensions)):
            values = self.base | dict(zip(names, chosen, strict=True))
            for dimension in self.dimensions:
                if not _holds(dimension.search, values):
                    values[dimension.name] = self.base[dimension.name]
            yield values

    def describe(self) -> list[dict[str, str]]:
        """Return one row per searched parameter: name, default, range, condition."""
        return [
            {
                "parameter": d.name,
                "default": str(self.base[d.name]),
                "search": d.search.describe(),
                "only if": d.search.condition(),
            }
            for d in self.dimensions
        ]


def make_space(
    owner: str,
    params: type[Parameters],
    base: Mapping[str, Any],
    *,
    fixed: frozenset[str] = frozenset(),
    changes: Mapping[str, Search | None] | None = None,
    modality: str = "",
) -> Space:
    """Return the space of a method.

    ``base`` is the resolved base configuration. ``fixed`` are parameters set by the user, which
    are not searched. ``changes`` replaces ranges by name (``None``: not searched). Conditions on
    ``modality`` are evaluated here. Raises ``UsageError`` for an invalid range.
    """
    declared: dict[str, Search | None] = {**params.search_space()}
    declared |= changes or {}
    chosen = []
    for name, search in declared.items():
        if search is None or (name in fixed and name not in (changes or {})):
            continue
        reduced = _for_modality(search, modality)
        if reduced is not None:
            dimension = Dimension(name, reduced, _kind(params, name) == "int")
            chosen.append(_checked(owner, params, dimension))
    return Space(owner, params, dict(base), tuple(_in_order(owner, chosen, params)))


def _for_modality(search: Search, modality: str) -> Search | None:
    """Return the search without its conditions on the modality; ``None`` if they do not hold."""
    for name, allowed in search.when:
        if name == "modality" and modality not in allowed:
            return None
    return replace(search, when=tuple(w for w in search.when if w[0] != "modality"))


def _holds(search: Search, values: Mapping[str, Any]) -> bool:
    """Return whether the conditions hold; ``a|b`` means a or b, ``on`` any value but zero."""
    return all(
        any(_is_one_of(values[name], allowed) for name in names.split("|"))
        for names, allowed in search.when
    )


def _is_one_of(value: Any, allowed: tuple[Any, ...]) -> bool:
    return value in allowed or ("on" in allowed and not isinstance(value, str) and bool(value))


def _kind(params: type[Parameters], name: str) -> str:
    annotation = params.model_fields[name].annotation
    return "int" if annotation is int else "float" if annotation is float else "other"


def _checked(owner: str, params: type[Parameters], dimension: Dimension) -> Dimension:
    """Return the dimension with its choices resolved.

    Raises ``UsageError`` for an invalid range, and for an end or a choice that the parameter does
    not allow.
    """
    name, s = f"{owner}.{dimension.name}", dimension.search
    if s.choices is not None:
        if len(s.choices) < 2:
            raise UsageError(
                f"{name}: {len(s.choices)} values to choose from; give at least two, or the value "
                "itself to fix it.",
                code="too_few_values",
            )
        if len(set(map(repr, s.choices))) < len(s.choices):
            raise UsageError(f"{name}: a value to choose from is given twice.", code="named_twice")
        choices = tuple(_valid(owner, params, dimension.name, choice) for choice in s.choices)
        return replace(dimension, search=replace(s, choices=choices))
    low, high = _checked_range(name, s, _kind(params, dimension.name))
    ends = [low, high, *([s.step] if s.step is not None else [])]
    if dimension.whole and any(end != int(end) for end in ends):
        raise UsageError(
            f"{name} takes whole numbers: {low:g} – {high:g} or its step is not whole.",
            code="invalid_range",
        )
    for end in (low, high):
        _valid(owner, params, dimension.name, int(end) if dimension.whole else end)
    return dimension


def _checked_range(name: str, s: Search, kind: str) -> tuple[float, float]:
    """Return low and high; raises ``UsageError`` for an invalid range or step."""
    if kind == "other":
        raise UsageError(
            f"{name} is no number: give a list of values instead of low and high.",
            code="invalid_range",
        )
    if s.low is None or s.high is None:
        raise UsageError(
            f"{name}: a range needs both low and high, or give a list of values.",
            code="invalid_range",
        )
    if not s.low < s.high:
        problem = "is empty" if s.low == s.high else "is inverted"
        raise UsageError(
            f"{name}: the range {s.low:g} – {s.high:g} {problem}; low must be below high.",
            code="invalid_range",
        )
    if s.log and s.low <= 0:
        raise UsageError(
            f"{name}: a logarithmic range must begin above 0, not at {s.low:g}.",
            code="invalid_range",
        )
    if s.step is not None and (s.log or s.step <= 0 or s.low + s.step > s.high):
        raise UsageError(
            f"{name}: step {s.step:g} must be above 0 and fit into the range, without log.",
            code="invalid_range",
        )
    return s.low, s.high


def _valid(owner: str, params: type[Parameters], name: str, value: Any) -> Any:
    """Return the resolved value; raises ``UsageError`` if the parameter does not allow it."""
    field = params.model_fields[name]
    annotated: Any = field.annotation
    for extra in field.metadata:
        annotated = _annotate(annotated, extra)
    try:
        adapter = TypeAdapter(annotated)
        return adapter.dump_python(adapter.validate_python(value), mode="json")
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"{owner}.{name}: cannot search at {value!r}: {message}.", code="invalid_value"
        ) from None


def _annotate(annotated: Any, extra: Any) -> Any:
    return Annotated[annotated, extra]


def _in_order(
    owner: str, dimensions: list[Dimension], params: type[Parameters]
) -> Iterator[Dimension]:
    """Yield dimensions so that a condition depends on earlier ones only."""
    waiting = list(dimensions)
    while waiting:
        names = {d.name for d in waiting}
        ready = [d for d in waiting if not names & _looks_at(owner, d, params)]
        if not ready:
            raise UsageError(
                f"{owner}: the conditions of {waiting[0].name} lead back to itself.",
                code="circular_condition",
            )
        yield from ready
        waiting = [d for d in waiting if d not in ready]


def _looks_at(owner: str, dimension: Dimension, params: type[Parameters]) -> set[str]:
    found = {name for names, _ in dimension.search.when for name in names.split("|")}
    unknown = sorted(found - params.model_fields.keys())
    if unknown:
        hint = did_you_mean(unknown[0], list(params.model_fields))
        raise UsageError(
            f"{owner}.{dimension.name}: its condition names '{unknown[0]}', which is no "
            f"parameter.{hint}",
            code="unknown_name",
        )
    return found
