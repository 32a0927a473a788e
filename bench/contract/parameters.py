"""Parameters, declared once: default, validity bounds, documentation and search range.

    class Params(Parameters):
        presets = {"faithful": {"batch_size": 32}}
        learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(
            1e-3, gt=0, description="step size of Adam"
        )

``Field(gt=..., le=...)`` sets the valid values, :class:`Search` those that a search tries. The
search must be able to reach the default (``bench test-method`` checks that).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
)

from bench.errors import UsageError
from bench.messages import did_you_mean


@dataclass(frozen=True)
class Search:
    """The values of a parameter that a hyperparameter search tries.

    Parameters
    ----------
    low, high
        Ends of a range, both included.
    log
        Sample the range on a logarithmic scale.
    step
        Step between the values of a range; ``None``: continuous.
    choices
        The values, instead of a range.
    zero
        Sample a switch first: off means 0, on means the range.
    when
        Conditions for sampling the parameter, as (name, allowed values): ``(("solver", ("cd",
        "mu")),)``. All must hold. The value ``"on"`` allows all but zero. The name ``"a|b"`` means
        that ``a`` or ``b`` has an allowed value, ``"modality"`` the modality of the dataset.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[str | int | float | bool, ...] | None = None
    zero: bool = False
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def describe(self) -> str:
        """Return a short text such as ``0.0001 – 0.01, log`` for tables."""
        if self.choices is not None:
            text = " | ".join(str(c) for c in self.choices)
        else:
            text = f"{self.low:g} – {self.high:g}" + (", log" if self.log else "")
        return ("0 or " + text) if self.zero else text

    def condition(self) -> str:
        """Return ``when`` as a short text such as ``solver=cd or mu``; empty if always."""
        return " and ".join(
            f"{names.replace('|', ' or ')}={' or '.join(str(v) for v in allowed)}"
            for names, allowed in self.when
        )


def _parse_layers(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if not isinstance(value, str):
        return value
    text = value.strip().strip("()[]").strip()
    parts = [part.strip() for part in text.rstrip(",").split("," if "," in text else "-")]
    # Digits only: int() would also read "1_000", and a sign must not pass as a separator.
    if text and not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError("expected widths of layers such as 1024-128, or nothing for none")
    return tuple(int(part) for part in parts) if text else ()


def _positive(widths: tuple[int, ...]) -> tuple[int, ...]:
    if any(width < 1 for width in widths):
        raise ValueError("every layer needs a width of at least 1")
    return widths


Layers = Annotated[
    tuple[int, ...],
    BeforeValidator(_parse_layers),
    AfterValidator(_positive),
    PlainSerializer(lambda v: "-".join(str(i) for i in v), return_type=str),
]
"""Widths of hidden layers, written ``1024-128`` (empty string: none); choices stay strings."""


class Parameters(BaseModel):
    """Base of every ``Params``: a frozen pydantic model that refuses unknown fields.

    Defaults are validated and numbers must be finite: NaN differs from itself, which would break
    keys made of parameters.

    Attributes
    ----------
    presets : dict
        Name of a preset → values that differ from the defaults.
    """

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def build(
        cls, values: Mapping[str, Any] | None = None, *, presets: tuple[str, ...] = (), owner: str
    ) -> Self:
        """Return validated parameters: defaults, then each preset in turn, then ``values``.

        Parameters
        ----------
        values
            Values by name.
        presets
            Names of presets; later ones override earlier ones.
        owner
            Name of the method or dataset in messages.

        Raises
        ------
        UsageError
            For an unknown preset or parameter, or an invalid value.
        """
        merged: dict[str, Any] = {}
        for preset in presets:
            if preset not in cls.presets:
                hint = did_you_mean(preset, list(cls.presets)) or f" {owner} has no presets."
                raise UsageError(f"{owner}: no preset '{preset}'.{hint}", code="unknown_name")
            merged.update(cls.presets[preset])
        merged.update(values or {})
        unknown = [name for name in merged if name not in cls.model_fields]
        if unknown:
            hint = did_you_mean(unknown[0], list(cls.model_fields))
            raise UsageError(f"{owner}: no parameter '{unknown[0]}'.{hint}", code="unknown_name")
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            first = error.errors()[0]
            place = "".join(f".{part}" for part in first["loc"])
            # A check across parameters has no place; its input is the whole dictionary.
            value = f"={first.get('input')!r}" if place else ""
            message = first["msg"].removeprefix("Value error, ").rstrip(".")
            raise UsageError(f"{owner}{place}{value}: {message}.", code="invalid_value") from None

    def resolved(self) -> dict[str, Any]:
        """Return every value as plain JSON types, in declaration order."""
        return self.model_dump(mode="json")

    @classmethod
    def search_space(cls) -> dict[str, Search]:
        """Return the declared :class:`Search` of each parameter that has one."""
        return {
            name: extra
            for name, field in cls.model_fields.items()
            for extra in field.metadata
            if isinstance(extra, Search)
        }

    @classmethod
    def describe(cls) -> list[dict[str, str]]:
        """Return one row a parameter: name, type, default, bounds, search range, meaning."""
        rows = []
        space = cls.search_space()
        for name, field in cls.model_fields.items():
            bounds = [
                f"{sign} {getattr(extra, attribute)}"
                for extra in field.metadata
                for attribute, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
                if getattr(extra, attribute, None) is not None
            ]
            default = field.default
            if isinstance(default, tuple):
                default = "-".join(str(part) for part in default)
            rows.append(
                {
                    "parameter": name,
                    "type": _type_name(field.annotation),
                    "default": str(default),
                    "valid": ", ".join(bounds),
                    "search": _describe_search(space.get(name)),
                    "meaning": field.description or "",
                }
            )
        return rows


def _describe_search(search: Search | None) -> str:
    if search is None:
        return ""
    condition = search.condition()
    return search.describe() + (f", if {condition}" if condition else "")


def _type_name(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(str(a) for a in get_args(annotation))
    if annotation == tuple[int, ...]:
        return "layers"
    return getattr(annotation, "__name__", str(annotation)).replace("typing.", "")
