"""Selectors: ``all``, globs, ``tag:atac``, ``not:name``, ``vae[n_latent=16,preset=faithful]``.

Selectors are separated by commas outside brackets; ``nmf[n_components=10|20]`` is short for two.
The result has the order of the selectors; names that match one glob are sorted, and nothing is
selected twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product

from bench.errors import UsageError
from bench.messages import did_you_mean


@dataclass(frozen=True)
class Selection:
    """One name with the values in its brackets, as text."""

    name: str
    values: dict[str, str] = field(default_factory=dict)
    explicit: bool = False
    """True if named in full, not matched by a pattern."""


def split_selectors(text: str, is_path: Callable[[str], bool] = lambda name: False) -> list[str]:
    """Split at commas outside square brackets; empty parts are dropped.

    A text for which ``is_path`` holds stays whole, whatever it contains. Raises ``UsageError`` for
    unbalanced brackets.
    """
    for end in _ends_of_parts(text):
        part, rest = text[:end].strip(), text[end + 1 :]
        if any(char in part for char in ",[") and _split_path(part, is_path):
            return [part, *split_selectors(rest, is_path)]
    depth = 0
    for position, char in enumerate(text):
        depth += {"[": 1, "]": -1}.get(char, 0)
        if depth not in (0, 1):
            break
        if char == "," and depth == 0:
            part = text[:position].strip()
            return [part, *split_selectors(text[position + 1 :], is_path)][not part :]
    if depth != 0:
        raise UsageError(
            f"'{text}': brackets do not match; expected name[key=value,…].",
            code="invalid_selector",
        )
    return [text.strip()] if text.strip() else []


def expand_grids(text: str) -> str:
    """Return selectors with one part for each combination of alternatives such as ``8|16``.

    Raises ``UsageError`` for unbalanced brackets.
    """
    return ",".join(one for part in split_selectors(text) for one in _combinations(part))


def _combinations(part: str) -> list[str]:
    name, bracket, rest = part.partition("[")
    if "|" not in rest:
        return [part]
    pairs = [pair.partition("=") for pair in rest.removesuffix("]").split(",")]
    choices = [[key + sign + value for value in values.split("|")] for key, sign, values in pairs]
    return [f"{name}{bracket}{','.join(chosen)}]" for chosen in product(*choices)]


def _ends_of_parts(text: str) -> list[int]:
    """Return possible ends of the first part: the end of the text, then commas from the right."""
    return [len(text), *(i for i in range(len(text) - 1, 0, -1) if text[i] == ",")]


def _split_path(text: str, is_path: Callable[[str], bool]) -> tuple[str, str] | None:
    """Return the path at the start of a text and the brackets behind it."""
    if is_path(text):
        return text, ""
    start = text.rfind("[")
    if text.endswith("]") and "]" not in text[start:-1] and is_path(text[:start]):
        return text[:start], text[start:]
    return None


def parse_selector(text: str, is_path: Callable[[str], bool] = lambda name: False) -> Selection:
    """Parse ``name`` or ``name[key=value,key=value]``; ``is_path`` as in `split_selectors`."""
    path = _split_path(text, is_path)
    name, bracket, rest = (path[0], path[1][:1], path[1][1:]) if path else text.partition("[")
    if not bracket:
        return Selection(text, explicit=True)
    if not rest.endswith("]") or not name:
        raise UsageError(f"'{text}': expected name[key=value,…].", code="invalid_selector")
    values: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in rest[:-1].split(","))):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                f"'{text}': expected key=value instead of '{pair}'.", code="invalid_selector"
            )
        if key.strip() in values:
            raise UsageError(f"'{text}': '{key.strip()}' is given twice.", code="invalid_selector")
        values[key.strip()] = value.strip()
    return Selection(name.strip(), values, explicit=True)


def select_names(
    text: str,
    names: Iterable[str],
    tags: Callable[[str], frozenset[str]],
    *,
    noun: str,
    is_path: Callable[[str], bool] = lambda name: False,
) -> list[Selection]:
    """Return the selections of ``text`` among ``names``.

    ``tags(name)`` gives the tags of a name. A text for which ``is_path`` holds is selected
    unchanged. Raises ``UsageError`` for a name, glob or tag that matches nothing.
    """
    known = sorted(names)
    chosen: dict[tuple[str, tuple[tuple[str, str], ...]], Selection] = {}
    excluded: set[str] = set()

    def exists(name: str) -> bool:
        return is_path(name) and os.path.exists(os.path.expanduser(name))

    parts = split_selectors(text, exists)
    excluding = [part.startswith("not:") and not _split_path(part, exists) for part in parts]
    if parts and all(excluding):
        parts, excluding = ["all", *parts], [False, *excluding]
    for part, excludes in zip(parts, excluding, strict=True):
        if excludes:
            excluded |= {match.name for match in _match(part[4:], known, tags, noun)}
            continue
        parsed = parse_selector(part, exists)
        matches = [parsed] if is_path(parsed.name) else _match(part, known, tags, noun)
        for match in matches:
            key = (match.name, tuple(sorted(match.values.items())))
            if key not in chosen or match.explicit:
                chosen[key] = match
    result = [selection for selection in chosen.values() if selection.name not in excluded]
    if not result:
        raise UsageError(f"'{text}' selects no {noun}.", code="empty_selection")
    return result


def _match(
    part: str, known: list[str], tags: Callable[[str], frozenset[str]], noun: str
) -> list[Selection]:
    if part == "all":
        return [Selection(name) for name in known]
    if part.startswith("tag:"):
        tag = part[4:]
        tagged = [Selection(name) for name in known if tag in tags(name)]
        if not tagged:
            every = sorted(frozenset().union(*(tags(name) for name in known)))
            raise UsageError(
                f"no {noun} has the tag '{tag}'.{did_you_mean(tag, every)}", code="unknown_name"
            )
        return tagged
    parsed = parse_selector(part)
    if any(char in parsed.name for char in "*?"):
        matches = [name for name in known if fnmatchcase(name, parsed.name)]
        if not matches:
            raise UsageError(
                f"no {noun} matches '{parsed.name}'. Known: {', '.join(known)}.",
                code="unknown_name",
            )
        return [Selection(name, parsed.values) for name in matches]
    if parsed.name not in known:
        raise UsageError(
            f"no {noun} named '{parsed.name}'.{did_you_mean(parsed.name, known)}",
            code="unknown_name",
        )
    return [parsed]


def selector_label(name: str, values: dict[str, str]) -> str:
    """Return the display name: ``vae`` or ``vae[n_latent=16]``."""
    if not values:
        return name
    return name + "[" + ",".join(f"{key}={value}" for key, value in values.items()) + "]"


@dataclass(frozen=True)
class Exclusion:
    """A combination of method and dataset that is not run, with the reason."""

    method: str
    dataset: str
    status: str
    """``skipped`` or ``unavailable``."""
    reason: str
