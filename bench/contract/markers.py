"""Lists of marker genes: what a guided method may know of the types besides the counts.

A list is a signature: a name and its genes. Lists come from the literature or from the user,
never from the labels that a method is scored on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import DataError, UsageError

FORMATS = (".yaml", ".yml", ".json", ".gmt")


@dataclass(frozen=True)
class Markers:
    """Marker lists and where they are from."""

    lists: dict[str, tuple[str, ...]]
    """Name of a signature → its genes, in order, each once."""
    source: str
    """Citation with DOI, or the file."""


def read_markers(path: Path) -> Markers:
    """Return the lists in a YAML, JSON or GMT file.

    YAML and JSON: ``name: [gene, ...]``, or ``{source: citation, lists: {name: [gene, ...]}}``, or
    SAKURA's ``signature_config`` (``name: {signature_list: [...]}``). GMT: one signature a line,
    tab-separated: name, description, genes. Raises ``DataError`` or ``UsageError``.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: expected marker lists as one of {', '.join(FORMATS)}.")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file of marker lists.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}.") from None
    if path.suffix.lower() == ".gmt":
        return Markers(_gmt(text, path), path.name)
    content = _parsed(text, path)
    source = path.name
    if isinstance(content, dict) and set(content) <= {"source", "lists"} and "lists" in content:
        source, content = str(content.get("source", source)), content["lists"]
    return Markers(check_marker_lists(content, str(path)), source)


def check_marker_lists(content: Any, where: str) -> dict[str, tuple[str, ...]]:
    """Return lists by name from plain values; raises ``DataError`` that names the list."""
    if not isinstance(content, Mapping) or not content:
        raise DataError(f"{where}: expected signatures, each a name with a list of genes.")
    lists = {}
    for name, genes in content.items():
        if isinstance(genes, Mapping) and "signature_list" in genes:
            genes = genes["signature_list"]
        if not isinstance(genes, list | tuple) or not genes:
            raise DataError(f"{where}: {name}: expected a list of genes, found {_short(genes)}.")
        # YAML reads a gene named NO or 1 as something else than text.
        odd = [gene for gene in genes if not isinstance(gene, str) or not gene.strip()]
        if odd:
            raise DataError(f"{where}: {name}: {odd[0]!r} is no gene name; put it in quotes.")
        twice = {gene for gene in genes if list(genes).count(gene) > 1}
        if twice:
            raise DataError(f"{where}: {name}: {sorted(twice)[0]} is there twice; remove one.")
        lists[str(name)] = tuple(genes)
    return lists


def keep_known_genes(
    lists: Mapping[str, tuple[str, ...]], features: Iterable[str], where: str
) -> tuple[dict[str, tuple[str, ...]], str]:
    """Return the lists without genes that are no features, and one line on what is missing.

    The line is empty if nothing is; raises ``DataError`` if nothing is left.
    """
    there = set(features)
    kept = {name: tuple(gene for gene in genes if gene in there) for name, genes in lists.items()}
    total, left = len(all_genes(lists)), len(all_genes(kept))
    if not left:
        raise DataError(
            f"{where}: none of the {total} marker genes is among the {len(there)} features; "
            "expected names such as the data have."
        )
    gone = [name for name, genes in kept.items() if not genes]
    line = f"{total - left} of {total} marker genes are not among the features" * (left < total)
    if gone:
        line += f"; left out whole: {', '.join(gone)}"
    return {name: genes for name, genes in kept.items() if genes}, line


def all_genes(lists: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return all genes of the lists, sorted, each once."""
    return tuple(sorted({gene for genes in lists.values() for gene in genes}))


def _short(value: Any) -> str:
    """Return a value as it is shown in a line."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _parsed(text: str, path: Path) -> Any:
    import yaml

    try:
        return json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        line = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as {path.suffix[1:].upper()}: {line}.") from None


def _gmt(text: str, path: Path) -> dict[str, tuple[str, ...]]:
    lists: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, *rest = line.rstrip("\r\n").split("\t")
        genes = [gene for gene in rest[1:] if gene]
        if not name or not genes:
            raise DataError(
                f"{path}: line {number}: expected name, description and genes, tab-separated."
            )
        if name in lists:
            raise DataError(f"{path}: line {number}: a second signature named '{name}'.")
        lists[name] = genes
    return check_marker_lists(lists, str(path))
