"""Datasets that are declared in YAML: facts there, and the way to read them in a loader class."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import Card, RemoteFile
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._published import Published

_CARD_FIELDS = frozenset(field.name for field in fields(Card))


def add_datasets(module: str) -> None:
    """Add a class to the module for each dataset of the YAML file of the same name.

    The file holds ``datasets``, facts by name, and ``shared``, facts of all of them: ``loader``
    (the class of the module that reads the dataset), ``description``, fields of a card,
    ``variants`` of the card, and class attributes of the loader. Raises ``UsageError`` for any
    other fact.
    """
    import yaml

    namespace = sys.modules[module]
    path = Path(str(namespace.__file__)).with_suffix(".yaml")
    reader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, where PyYAML has it
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=reader)
    for name, own in content["datasets"].items():
        facts = content.get("shared", {}) | own
        loader = getattr(namespace, facts.pop("loader"))
        attributes = _class_attributes(facts, loader, f"{path}: {name}")
        setattr(namespace, name, type(name, (loader,), {"name": name, **attributes}))


def _class_attributes(
    facts: Mapping[str, Any], loader: type[Published], where: str
) -> dict[str, Any]:
    """Return the attributes of a dataset's class: card, docstring, variants, loader options."""
    options = {key: facts[key] for key in facts.keys() - _CARD_FIELDS - {"description"}}
    unknown = [key for key in options if not hasattr(loader, key)]
    if unknown:
        raise UsageError(
            f"{where}: unknown fact '{unknown[0]}'; expected description, a field of a card, "
            f"variants or an attribute of {loader.__name__}.",
            code="unknown_name",
        )
    card = Card(**_card_facts(facts, {}))
    files = {file.name: file for file in card.files}
    variants = {
        parameter: {value: _card_facts(changes, files) for value, changes in choices.items()}
        for parameter, choices in options.pop("variants", {}).items()
    }
    return {
        "__module__": loader.__module__, "__doc__": facts["description"], "card": card,
        "variants": variants, "options": options, **options,
    }  # fmt: skip


def _card_facts(facts: Mapping[str, Any], files: Mapping[str, RemoteFile]) -> dict[str, Any]:
    """Return the fields of a card, with files as ``RemoteFile`` and lists as tuples."""
    fields = {key: facts[key] for key in _CARD_FIELDS & facts.keys()}
    fields |= {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    if "files" in fields:
        fields["files"] = tuple(_remote_file(file, files) for file in fields["files"])
    return fields


def _remote_file(facts: Any, files: Mapping[str, RemoteFile]) -> RemoteFile:
    """Return one of ``files`` by its name, or the file of a mapping of facts.

    Without a fact ``name`` the name is the last part of the address.
    """
    if isinstance(facts, str):
        return files[facts]
    return RemoteFile(**{"url": "", "name": facts.get("url", "").rpartition("/")[2]} | facts)
