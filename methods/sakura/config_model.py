"""Pydantic models of configuration files, with errors that name file and key."""

from __future__ import annotations

import difflib
import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from bench.errors import UsageError
from bench.messages import did_you_mean

logger = logging.getLogger(__name__)
Value = TypeVar("Value")
_CODES = {"missing": "missing_key", "literal_error": "unknown_name", "too_short": "missing_key"}
_MESSAGES = {
    "missing": "is missing.",
    "too_short": "is empty.",
    "model_type": "expected an object.",
    "dict_type": "expected an object.",
    "tuple_type": "expected a list.",
}


@dataclass(frozen=True)
class Place:
    """Key of a configuration file, shown in messages as ``config.json: story[0].tests``."""

    file: Path
    keys: tuple[str | int, ...] = ()

    def __truediv__(self, key: str | int) -> Place:
        return replace(self, keys=(*self.keys, key))

    def __str__(self) -> str:
        keys = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.keys)
        return f"{self.file}: {keys.removeprefix('.')}" if keys else str(self.file)


def fail(owner: object, message: str, code: str) -> NoReturn:
    """Raise ``UsageError`` with ``owner: message``."""
    raise UsageError(f"{owner}: {message}", code=code)


def require(value: Value | None, place: Place) -> Value:
    """Return the value; raises ``UsageError`` if it is ``None``."""
    if value is None:
        fail(place, "is missing.", "missing_key")
    return value


def lookup(names: Mapping[str, Value], name: str, owner: object) -> Value:
    """Return the value of a name; raises ``UsageError`` with similar names if it is unknown."""
    if name not in names:
        message = f"'{name}' is unknown.{did_you_mean(name, sorted(names))}"
        fail(owner, message, "unknown_name")
    return names[name]


def reject(message: str, *, when: bool, code: str = "invalid_value", key: str = "") -> None:
    """Raise a validation error if ``when`` holds; ``key`` is the key at fault."""
    if when:
        context: dict[str, Any] = {"message": message, "key": key}
        raise PydanticCustomError(code, "{message}", context)


def _boolean(value: Any) -> bool:
    text = str(value).lower() if isinstance(value, bool | str) else ""
    wrong = text not in ("true", "false")
    reject(f'expected "True" or "False", found {_short(value)}.', when=wrong)
    return text == "true"


def _not_boolean(value: Any) -> Any:
    reject(f"expected a number, found {value}.", when=isinstance(value, bool))
    return value


def _context(info: ValidationInfo) -> dict[str, Any]:
    return info.context or {}


def _genes(genes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    for gene in genes:
        message = unknown_gene(gene, _context(info)["features"])
        reject(message, when=bool(message), code="unknown_gene")
    return genes


def find_file(named: Path, folder: Path) -> Path | None:
    """Return the file beside the configuration or in the current folder, or ``None``."""
    named = named.expanduser()
    paths = (folder / named, folder / named.name, named)
    return next((path for path in paths if path.is_file()), None)


def _file(named: Path, info: ValidationInfo) -> Path:
    folder = _context(info)["place"].file.parent
    path = find_file(named, folder)
    message = f"no such file: {named} (searched in {folder} and here)."
    reject(message, when=path is None, code="missing_file")
    return path or named


Flag: TypeAlias = Annotated[bool, BeforeValidator(_boolean)]
"""Truth value, written ``true`` or ``"True"``."""
Number: TypeAlias = Annotated[float, BeforeValidator(_not_boolean)]
"""Number, also as text."""
Integer: TypeAlias = Annotated[int, BeforeValidator(_not_boolean)]
Genes: TypeAlias = Annotated[tuple[str, ...], AfterValidator(_genes)]
"""Names of features, checked against ``features`` in the validation context."""
ExistingFile: TypeAlias = Annotated[Path, AfterValidator(_file)]


class ConfigModel(BaseModel):
    """Object of a configuration file; ``null`` counts as a missing key."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)
    unused: ClassVar[Mapping[str, str]] = {}
    """Ignored keys → reason for the log; an empty reason is not logged."""

    @model_validator(mode="before")
    @classmethod
    def _drop_unused_keys(cls, values: Any, info: ValidationInfo) -> Any:
        if not isinstance(values, dict):
            return values
        known = [field.alias or name for name, field in cls.model_fields.items()]
        used: dict[str, Any] = {}
        for key, value in values.items():
            if key in known:
                used |= {key: value} if value is not None else {}
            elif key not in cls.unused:
                hint = did_you_mean(str(key), known)
                reject(f"unknown key.{hint}", when=True, code="unknown_key", key=str(key))
            elif cls.unused[key] and value not in (None, False, "False", [], {}):
                reason = cls.unused[key].format(value=value)
                logger.info(f"{_context(info)['place']}: {key}: {reason}")
        return used


Model = TypeVar("Model", bound=ConfigModel)


def parse(model: type[Model], values: Any, place: Place, **context: Any) -> Model:
    """Validate the object at ``place``; ``context`` is passed to its validators.

    Raises ``UsageError`` that names file and key.
    """
    with named_errors(place, values):
        return model.model_validate(values, context=context | {"place": place})


@contextmanager
def named_errors(place: Place, values: Any = None) -> Iterator[None]:
    """Turn validation errors into a ``UsageError`` that names file and key.

    ``values``: the object of the file at ``place``; leave it out for an object made from the file.
    """
    try:
        yield
    except UsageError as error:
        if str(error).startswith(f"{place.file}: "):
            raise
        raise UsageError(f"{place}: {error}", code=error.code) from None
    except ValidationError as error:
        errors = error.errors()
        top = errors[0]["loc"][:1]
        # Of the alternatives for one key, that with the deepest fault.
        first = max((e for e in errors if e["loc"][:1] == top), key=lambda e: len(e["loc"]))
        keys = list(_keys(first, values))
        text = f"{'.'.join(map(str, keys))}: " if keys and values is None else ""
        for key in keys if values is not None else ():
            place /= key
        own = "message" in first.get("ctx", {})
        code = first["type"] if own else _CODES.get(first["type"], "invalid_value")
        raise UsageError(f"{place}: {text}{_message(first)}", code=code) from None


def _keys(error: ErrorDetails, values: Any) -> Iterator[str | int]:
    """Yield the keys that lead to the fault, without pydantic's names of alternatives."""
    last = len(error["loc"]) - 1
    for number, part in enumerate(error["loc"]):
        inside = isinstance(part, int) or (isinstance(values, dict) and part in values)
        if inside or values is None or (number == last and error["type"] == "missing"):
            yield part
        if inside and isinstance(values, dict | list):
            values = values[part]  # type: ignore[index]
    if error.get("ctx", {}).get("key"):
        yield error["ctx"]["key"]


def _message(error: ErrorDetails) -> str:
    context, value = error.get("ctx", {}), str(error["input"])
    if "message" in context:
        return str(context["message"])
    if error["type"] == "literal_error":
        options = sorted(re.findall("'([^']*)'", context["expected"]))
        return f"'{value}' is unknown.{did_you_mean(value, options)}"
    if error["type"] in _MESSAGES:
        return _MESSAGES[error["type"]]
    expected = error["msg"].removeprefix("Input should be ").partition(",")[0]
    return f"expected {expected}, found {_short(error['input'])}."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fail(path, f"{error.strerror}.", "unreadable")
    except ValueError as error:
        fail(path, f"not valid JSON: {error}.", "invalid_json")


def unknown_gene(gene: str, features: Collection[str]) -> str:
    """Return a message with similar features if the gene is unknown, else an empty text."""
    if gene in features:
        return ""
    folded = {feature.casefold(): feature for feature in features}
    close = difflib.get_close_matches(gene.casefold(), list(folded), n=3, cutoff=0.75)
    hint = " Did you mean " + " or ".join(f"'{folded[one]}'" for one in close) + "?"
    message = f"gene '{gene}' is not among the {len(features):,} features."
    return message + hint if close else message
