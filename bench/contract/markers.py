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
    """Marker lists and their source.

    Parameters
    ----------
    lists
        Name of a signature → its genes, in order, each once.
    source
        Citation with DOI, or the name of the file.
    """

    lists: dict[str, tuple[str, ...]]
    source: str


def read_markers(path: Path) -> Markers:
    """Return the marker lists in a YAML, JSON or GMT file.

    Parameters
    ----------
    path
        YAML and JSON: ``name: [gene, ...]``, or ``{source: citation, lists: {name: [gene,
        ...]}}``, or SAKURA's ``signature_config`` (``name: {signature_list: [...]}``). GMT: one
        signature a line, tab-separated: name, description, genes.

    Raises
    ------
    UsageError
        If there is no such file, or its ending is none of these formats.
    DataError
        If the content is not as described.
    """
    path = Path(path).expanduser()
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{path}: expected marker lists as one of {', '.join(FORMATS)}.", code="unknown_format"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file of marker lists.", code="missing_file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}.", code="unreadable") from None
    if suffix == ".gmt":
        return Markers(check_marker_lists(_parse_gmt(text, path), str(path)), path.name)
    content = _parse_json(text, path) if suffix == ".json" else _parse_yaml(text, path)
    source = path.name
    if isinstance(content, dict) and set(content) <= {"source", "lists"} and "lists" in content:
        source, content = str(content.get("source", source)), content["lists"]
    return Markers(check_marker_lists(content, str(path)), source)


def check_marker_lists(content: Any, where: str) -> dict[str, tuple[str, ...]]:
    """Return marker lists by name from parsed YAML or JSON; raises ``DataError``."""
    if not isinstance(content, Mapping) or not content:
        raise DataError(
            f"{where}: expected signatures, each a name with a list of genes.",
            code="invalid_markers",
        )
    return {str(name): _check_genes(genes, f"{where}: {name}") for name, genes in content.items()}


def _check_genes(genes: Any, where: str) -> tuple[str, ...]:
    if isinstance(genes, Mapping) and "signature_list" in genes:
        genes = genes["signature_list"]
    if not isinstance(genes, list | tuple) or not genes:
        text = repr(genes)
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise DataError(
            f"{where}: expected a list of genes, found {shown}.", code="invalid_markers"
        )
    # YAML reads a gene named NO or 1 as something else than text.
    invalid = [gene for gene in genes if not isinstance(gene, str) or not gene.strip()]
    if invalid:
        raise DataError(
            f"{where}: {invalid[0]!r} is no gene name; put it in quotes.", code="invalid_markers"
        )
    repeated = sorted({gene for gene in genes if list(genes).count(gene) > 1})
    if repeated:
        raise DataError(
            f"{where}: {repeated[0]} occurs twice; remove one.", code="duplicate_names"
        )
    return tuple(genes)


def keep_known_genes(
    lists: Mapping[str, tuple[str, ...]], features: Iterable[str], where: str
) -> tuple[dict[str, tuple[str, ...]], str]:
    """Return marker lists without the genes that are no features of the data.

    Parameters
    ----------
    lists
        Name of a signature → its genes.
    features
        Names of the features of the data.
    where
        Name of the data in messages.

    Returns
    -------
    dict
        The lists in their order; those that lose all genes are omitted.
    str
        One line about the missing genes; empty if there are none.

    Raises
    ------
    DataError
        If no gene is left.
    """
    features = set(features)
    known = {name: tuple(g for g in genes if g in features) for name, genes in lists.items()}
    n_all, n_known = len(all_genes(lists)), len(all_genes(known))
    if not n_known:
        raise DataError(
            f"{where}: none of the {n_all} marker genes is among the {len(features)} features; "
            "expected gene names spelled as in the data.",
            code="missing_features",
        )
    if n_known == n_all:
        return known, ""
    empty = [name for name, genes in known.items() if not genes]
    line = f"{n_all - n_known} of {n_all} marker genes are not among the features"
    if empty:
        line += f"; left out whole: {', '.join(empty)}"
    return {name: genes for name, genes in known.items() if genes}, line


def all_genes(lists: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return all genes of marker lists, sorted, each once."""
    return tuple(sorted({gene for genes in lists.values() for gene in genes}))


def _parse_json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}.", code="unreadable") from None


def _parse_yaml(text: str, path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as YAML: {line}.", code="unreadable") from None


def _parse_gmt(text: str, path: Path) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, *rest = line.split("\t")
        genes = [gene for gene in rest[1:] if gene]
        if not name or not genes:
            raise DataError(
                f"{path}: line {number}: expected name, description and genes, tab-separated.",
                code="invalid_markers",
            )
        if name in lists:
            raise DataError(
                f"{path}: line {number}: a second signature named '{name}'.",
                code="duplicate_names",
            )
        lists[name] = genes
    return lists
