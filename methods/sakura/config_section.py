"""A JSON file read key by key, so that every error names the file and the key."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from bench.errors import UsageError
from bench.messages import did_you_mean

_MISSING: Any = object()
Option = TypeVar("Option", bound=str)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; raises ``UsageError``."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"{path}: not valid JSON: {error}.") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


class Section:
    """One object of a JSON file, with the keys that it may have.

    Numbers and truth values may be written as text ("0.1", "True"), as the original does. Raises
    ``UsageError`` for a key that is not known.
    """

    def __init__(
        self, values: Any, file: Path, where: str = "", known: Collection[str] | None = None
    ) -> None:
        self.file, self.where = file, where
        if not isinstance(values, dict):
            found = type(values).__name__
            raise UsageError(f"{file}: {where or 'the file'}: expected an object, found {found}.")
        self.values = values
        if known is None:
            return
        for key in values:
            if key not in known:
                hint = did_you_mean(key, sorted(known))
                raise UsageError(f"{file}: {self.path(key)}: unknown key.{hint}")

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def path(self, key: str) -> str:
        """Return the place of a key in the file, such as ``cd8.loss.MSE``."""
        return f"{self.where}.{key}" if self.where else key

    def fail(self, key: str, message: str) -> NoReturn:
        """Raise ``UsageError`` that names file and key."""
        raise UsageError(f"{self.file}: {self.path(key)}: {message}")

    def get(self, key: str, default: Any = _MISSING) -> Any:
        """Return a value; ``null`` counts as not there. Without a default it must be there."""
        value = self.values.get(key)
        if value is None and default is _MISSING:
            self.fail(key, "is missing.")
        return default if value is None else value

    def section(self, key: str, known: Collection[str] | None = None) -> Section:
        """Return an object, empty if it is not there."""
        return Section(self.get(key, {}), self.file, self.path(key), known)

    def text(self, key: str, default: Any = _MISSING) -> str:
        """Return a text."""
        value = self.get(key, default)
        if not isinstance(value, str):
            self.fail(key, f"expected a text, found {_short(value)}.")
        return value

    def choice(self, key: str, options: Collection[Option], default: Any = _MISSING) -> Option:
        """Return one of several texts."""
        value = self.text(key, default)
        for option in options:
            if option == value:
                return option
        self.fail(key, f"'{value}' is unknown.{did_you_mean(value, sorted(options))}")

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a truth value, written as true, "True" or the like."""
        value = self.get(key, default)
        texts = {"true": True, "false": False}
        if isinstance(value, str) and value.lower() in texts:
            return texts[value.lower()]
        if not isinstance(value, bool):
            self.fail(key, f'expected "True" or "False", found {_short(value)}.')
        return value

    def number(self, key: str, default: Any = _MISSING) -> float:
        """Return a number."""
        value = self.get(key, default)
        try:
            if isinstance(value, bool):
                raise ValueError
            return float(value)
        except (TypeError, ValueError):
            self.fail(key, f"expected a number, found {_short(value)}.")

    def integer(self, key: str, default: Any = _MISSING) -> int:
        """Return a whole number."""
        value = self.number(key, default)
        if value != int(value):
            self.fail(key, f"expected a whole number, found {value:g}.")
        return int(value)

    def texts(self, key: str, default: Any = _MISSING) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.get(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            self.fail(key, f"expected a list of texts, found {_short(value)}.")
        return tuple(value)

    def objects(self, key: str) -> list[Any]:
        """Return a list, empty if it is not there."""
        value = self.get(key, [])
        if not isinstance(value, list):
            self.fail(key, f"expected a list, found {_short(value)}.")
        return list(value)


def unknown_gene(
    guide: Section, key: str, genes: Sequence[str], features: Collection[str]
) -> None:
    """Raise ``UsageError`` for the first gene that is not among the features."""
    known = features if isinstance(features, set | frozenset) else set(features)
    for gene in genes:
        if gene not in known:
            folded = {name.casefold(): name for name in known}
            near = difflib.get_close_matches(gene.casefold(), folded, n=1, cutoff=0.75)
            hint = f" Did you mean '{folded[near[0]]}'?" if near else ""
            guide.fail(key, f"gene '{gene}' is not among the {len(known):,} features.{hint}")
