"""Published datasets, declared in a YAML file for each family."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import yaml
from pydantic import Field, create_model

from bench.contract import Card, Dataset, FileLocation, Parameters, RemoteFile
from bench.data.file_digests import digest_files
from bench.data.remote.archive import extract
from bench.data.remote.local_files import locate_file
from bench.digests import digest
from bench.errors import UsageError
from bench.settings import default_cache_dir

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.settings import Settings

_CARD_FIELDS = frozenset(field.name for field in fields(Card))
_FACTS = _CARD_FIELDS | {"description", "reader", "options", "parameters", "variants"}


class Published(Dataset):
    """A dataset whose ``card.files`` are found locally or fetched, then read.

    The reader, a function of dataset and files, returns counts (cells × features) with labels in
    ``obs`` and notes for users in ``uns["bench_notes"]``.
    """

    params: Any
    readers: ClassVar[Callable[[], ModuleType]]
    """Imports the module of the reader."""
    reader: ClassVar[str] = ""
    """Name of the reader."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Further facts for the reader."""
    variants: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}
    """Parameter → value → facts of the card that it changes."""

    def __init__(
        self,
        params: Any = None,
        cache: Path | None = None,
        *,
        mirror: str | None = None,
        offline: bool = False,
    ) -> None:
        super().__init__(params)
        self.cache = cache or default_cache_dir()
        self.mirror, self.offline = mirror, offline
        for parameter, choices in self.variants.items():
            self.card = replace(self.card, **choices.get(getattr(self.params, parameter), {}))

    def configure(self, settings: Settings) -> None:
        self.cache, self.mirror = settings.cache_dir, settings.mirror
        self.offline = settings.offline

    def file_locations(self) -> list[FileLocation]:
        """Return the location of each file of the card."""
        return [locate_file(self.name, file, self.cache, self.mirror) for file in self.card.files]

    def fingerprint(self) -> dict[str, Any]:
        """Return digests of all facts, and of the files in a folder of the user.

        Downloads are left out: the card, or a digest noted beside them, fixes their content.
        """
        local = {
            location.file.name: location.path
            for location in self.file_locations()
            if location.path is not None and location.kind != "download"
        }
        contents = digest_files(list(local.values()), self.cache)
        facts = digest([asdict(self.card), dict(self.options)])
        return {"facts": facts, **dict(zip(local, contents, strict=True))}

    def fetch(self) -> dict[str, Path]:
        """Fetch the missing files and return all by name; raises ``DataError``."""
        from bench.data.remote.fetch import get_files

        return get_files(
            self.name, self.card.files, self.cache, mirror=self.mirror, offline=self.offline
        )

    def load(self) -> AnnData | MuData:
        """Return counts (cells × features) with labels in ``obs``.

        Raises ``DataError`` if a file cannot be fetched, or is not as published.
        """
        data = self.read(self.fetch())
        self.notes = [str(line) for line in data.uns.pop("bench_notes", [])]
        return data

    def read(self, files: dict[str, Path]) -> AnnData | MuData:
        """Return the data of the files, by name."""
        data: AnnData | MuData = getattr(type(self).readers(), self.reader)(self, files)
        return data

    def unpack(self, archive: Path) -> list[Path]:
        """Return the files in a tar or zip archive, unpacked in the cache folder."""
        return extract(archive, self.cache / "extracted" / self.name / archive.name)


def add_datasets(
    module: str, readers: Callable[[], ModuleType], base: type[Published] = Published
) -> None:
    """Add a class to a module for each dataset of the YAML file beside it.

    ``datasets`` holds facts by name, ``shared`` facts of all: fields of a card, ``description``
    (the docstring), ``reader`` (a function of the module from ``readers``), ``options`` for it,
    ``parameters`` and ``variants``. Raises ``UsageError`` for any other fact.
    """
    namespace = sys.modules[module]
    path = Path(str(namespace.__file__)).with_suffix(".yaml")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, where PyYAML has it
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    for name, own in content["datasets"].items():
        facts = content.get("shared", {}) | own
        if unknown := facts.keys() - _FACTS:
            raise UsageError(
                f"{path}: {name}: unknown fact '{min(unknown)}'; expected one of "
                f"{', '.join(sorted(_FACTS))}.",
                code="unknown_name",
            )
        attributes = {"__module__": module, "name": name, "readers": staticmethod(readers)}
        setattr(namespace, name, type(name, (base,), attributes | _attributes(name, facts)))


def _attributes(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return docstring, card, variants, parameters and reader of a dataset's class."""
    card = Card(**_card_facts(facts, {}))
    files = {file.name: file for file in card.files}
    attributes = {key: facts[key] for key in ("reader", "options") if key in facts}
    if "parameters" in facts:
        attributes["Params"] = _parameters(name, facts["parameters"])
    return attributes | {
        "__doc__": facts["description"],
        "card": card,
        "variants": {
            parameter: {value: _card_facts(changes, files) for value, changes in choices.items()}
            for parameter, choices in facts.get("variants", {}).items()
        },
    }


def _parameters(name: str, facts: Mapping[str, Mapping[str, Any]]) -> type[Parameters]:
    """Return the class of parameters with ``choices``, the default first, and ``description``."""
    declared: dict[str, Any] = {
        parameter: (
            Literal[tuple(one["choices"])],
            Field(one["choices"][0], description=one["description"]),
        )
        for parameter, one in facts.items()
    }
    params = create_model("Params", __base__=Parameters, **declared)
    params.__qualname__ = f"{name}.Params"
    return params


def _card_facts(facts: Mapping[str, Any], files: Mapping[str, RemoteFile]) -> dict[str, Any]:
    """Return the fields of a card.

    A file is one of ``files`` by its name, or has its own facts. Its default name is then the last
    part of its address.
    """
    values = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in facts.items()
        if key in _CARD_FIELDS
    }
    if "files" in values:
        values["files"] = tuple(
            files[file] if isinstance(file, str)
            else RemoteFile(**{"url": "", "name": file.get("url", "").rpartition("/")[2]} | file)
            for file in values["files"]
        )  # fmt: skip
    return values
