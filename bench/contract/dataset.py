"""What a dataset is: typed metadata that costs nothing to read, and a loader.

One file in ``datasets/`` with a concrete subclass registers it. ``load`` returns cells × features
with counts in ``X`` and labels in ``obs[card.label_key]``; ``bench.data.cache.data_cache`` checks and keeps it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from .markers import Markers
from .parameters import Parameters
from .recipe import MULTIOME

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

    from bench.settings import Settings


@dataclass(frozen=True)
class RemoteFile:
    """One file as its authors distribute it."""

    name: str
    """Name under which it is kept; that of the original."""
    url: str
    """Where it is fetched from; empty if it can only be downloaded by hand."""
    checksum: str = ""
    """``sha256:…`` or ``md5:…``; empty if none is published (the first download is then noted)."""
    size: int | None = None
    """Bytes, exact: a file of another size is refused."""
    approximate_size: int | None = None
    """Bytes, rounded, where the exact size is not known: shown, not compared."""
    manual_page: str = ""
    """Page from which a person downloads it, where no address serves the file itself."""

    @property
    def source(self) -> str:
        """Address for messages: of the file, else of the page."""
        return self.url or self.manual_page


@dataclass(frozen=True)
class FileLocation:
    """Where one of the files that a dataset is read from lies."""

    file: RemoteFile
    kind: str
    """``local`` (a folder of the user), ``mirror``, ``download`` or ``missing``."""
    path: Path | None


@dataclass(frozen=True)
class Card:
    """What is known about a dataset without opening it."""

    modality: str
    summary: str
    label_key: str
    batch_key: str | None = None
    n_cells: int | None = None
    n_features: int | None = None
    n_types: int | None = None
    organism: str = ""
    reference: str = ""
    """Citation with DOI."""
    url: str = ""
    licence: str = ""
    labels_from: str = ""
    """How the labels were obtained, and so how far to trust them."""
    tags: tuple[str, ...] = ()
    files: tuple[RemoteFile, ...] = ()
    """What must be fetched; empty for data that need no network."""
    documented: str = ""
    """Public page or record that documents the files, their header line and the label column."""
    rare_type: str = ""
    """The type that a rare-population task asks for; empty if there is no such task."""
    train_key: str | None = None
    """Column of ``obs``, true for the cells that a fit may see; ``None``: it may see all."""
    verified: bool = False
    """True once a real file has passed the loader's checks."""
    markers: Markers | None = None
    """Marker lists that come with the data; those of the literature are found by name."""


class Dataset(ABC):
    """Base of all datasets."""

    name: str
    card: Card
    """Class attributes; an instance whose parameters change the facts sets its own."""
    markers_file: Path | None = None
    """Marker lists of the user, which take the place of all others."""
    replacement_markers: Markers | None = None
    """Lists that ``load`` has made of ``markers()``, to be used in their place."""

    class Params(Parameters):
        """No parameters."""

    def __init__(self, params: Any = None) -> None:
        self.params = params if params is not None else self.Params()
        self.notes: list[str] = []
        """One line for each decision of ``load`` that a user should know; shown as warnings."""

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Return the dataset with the parameters of a selector's brackets.

        ``preset`` names one of ``Params.presets``, which the other values override. Raises
        ``UsageError`` for an unknown parameter, preset or value.
        """
        rest = dict(values)
        presets = (str(rest.pop("preset")),) if "preset" in rest else ()
        return cls(cls.Params.build(rest, presets=presets, owner=cls.name))

    def own_markers(self) -> Markers | None:
        """Return the marker lists that come with the data, ``None`` if there are none."""
        card: Card | None = getattr(self, "card", None)
        return card.markers if card is not None else None

    @property
    def where(self) -> str:
        """What error messages call it: its name, or the path of its file."""
        return self.name

    def configure(  # noqa: B027 - most datasets need nothing
        self, settings: Settings
    ) -> None:
        """Take what the user has set (cache folder, mirror); nothing if no file is fetched."""

    def file_locations(self) -> list[FileLocation]:
        """Return where the files to be fetched lie; empty for data that need no network."""
        return []

    def fetch(self) -> dict[str, Path]:
        """Fetch the files that are missing and return all by name; raises ``DataError``."""
        return {}

    def fingerprint(self) -> dict[str, Any]:
        """Return what decides the content besides code and parameters (a file's size and time)."""
        return {}

    @property
    def paired(self) -> bool:
        """Whether ``load`` returns both parts of paired data; of a file, whether it may."""
        return getattr(self, "card", None) is not None and self.card.modality == MULTIOME

    @abstractmethod
    def load(self) -> AnnData | MuData:
        """Return counts (CSR, cells × features) with labels and batch in ``obs``.

        If the card says ``multiome``: a ``MuData`` with ``rna`` and ``atac`` of equal cells in
        equal order, labels and batch in ``obs`` of ``rna``.
        """
