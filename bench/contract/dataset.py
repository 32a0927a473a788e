"""What a dataset is: typed facts that cost nothing to read, and a loader.

One file in ``datasets/`` with a concrete subclass registers it. ``bench.data.cache`` checks and
stores what ``load`` returns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from .parameters import Parameters
from .recipe import MULTIOME

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

    from bench.settings import Settings

    from .markers import Markers


@dataclass(frozen=True)
class RemoteFile:
    """One file as its authors distribute it.

    Parameters
    ----------
    name
        Name of the original, under which it is stored.
    url
        Address of the file; empty if it can only be downloaded by hand.
    checksum
        ``sha256:…`` or ``md5:…``; empty if none is published (the digest of the first download is
        then recorded).
    size
        Bytes, exact: a file of another size is refused.
    approximate_size
        Bytes, rounded, where the exact size is not known; shown, not compared.
    manual_page
        Page from which a person downloads it, where no address serves the file itself.
    """

    name: str
    url: str
    checksum: str = ""
    size: int | None = None
    approximate_size: int | None = None
    manual_page: str = ""

    @property
    def source(self) -> str:
        """Address for messages: of the file, else of the page."""
        return self.url or self.manual_page


@dataclass(frozen=True)
class FileLocation:
    """Where one of the original files of a dataset lies.

    Parameters
    ----------
    file
        The file.
    kind
        ``local`` (a folder of the user), ``mirror``, ``download`` or ``missing``.
    path
        ``None`` if the file is missing.
    """

    file: RemoteFile
    kind: str
    path: Path | None


@dataclass(frozen=True)
class Card:
    """The facts about a dataset that are known without opening it.

    Parameters
    ----------
    modality
        ``RNA``, ``ATAC`` or ``MULTIOME``.
    summary
        One line for tables.
    label_key
        Column of ``obs`` with the true types.
    batch_key
        Column of ``obs`` with the batches, if there is one.
    n_cells, n_features, n_types
        Size of the data.
    organism
        Such as ``human``.
    reference
        Citation with DOI.
    url
        Page of the data.
    licence
        Licence of the data.
    labels_from
        How the labels were obtained, which decides how far they can be trusted.
    tags
        Names by which selectors find it.
    files
        Original files; empty for data that need no network.
    documented
        Public page or record that documents the files, their header line and the label column.
    rare_type
        The type of a rare-population task; empty if there is none.
    train_key
        Column of ``obs``, true for the cells that a fit may see; ``None``: it may see all.
    verified
        Whether an original file has passed the checks of the loader.
    markers
        Marker lists that come with the data; those of the literature are found by name.
    """

    modality: str
    summary: str
    label_key: str
    batch_key: str | None = None
    n_cells: int | None = None
    n_features: int | None = None
    n_types: int | None = None
    organism: str = ""
    reference: str = ""
    url: str = ""
    licence: str = ""
    labels_from: str = ""
    tags: tuple[str, ...] = ()
    files: tuple[RemoteFile, ...] = ()
    documented: str = ""
    rare_type: str = ""
    train_key: str | None = None
    verified: bool = False
    markers: Markers | None = None


class Dataset(ABC):
    """Base of all datasets.

    Parameters
    ----------
    params
        Validated parameters, an instance of the class's ``Params``; the defaults if ``None``.

    Attributes
    ----------
    name : str
        Name in selectors and tables.
    card : Card
        The facts; an instance whose parameters change them sets its own.
    notes : list of str
        One line for each decision of ``load`` that a user should know; shown as warnings.
    orientation_given : bool
        Whether the user set the orientation of the matrix; it is then not checked against the
        names.
    markers_file : Path or None
        File with the user's marker lists. They replace those of the dataset and of the literature.
    replacement_markers : Markers or None
        Marker lists that ``load`` derived from those of the dataset; used in their place.
    """

    name: str
    card: Card
    orientation_given: bool = False
    markers_file: Path | None = None
    replacement_markers: Markers | None = None

    class Params(Parameters):
        """No parameters."""

    def __init__(self, params: Any = None) -> None:
        self.params = params if params is not None else self.Params()
        self.notes: list[str] = []

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Return the dataset with the parameters in the brackets of a selector.

        Parameters
        ----------
        values
            Parameters by name. ``preset`` names one of ``Params.presets``, which the other
            values override.

        Raises
        ------
        UsageError
            For an unknown parameter, preset or value.
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
        """Name of the data in error messages: that of the dataset, or the path of its file."""
        return self.name

    def configure(  # noqa: B027 - most datasets need nothing
        self, settings: Settings
    ) -> None:
        """Apply the user's settings (cache folder, mirror); does nothing if no file is fetched."""

    def file_locations(self) -> list[FileLocation]:
        """Return where the original files lie; empty for data that need no network."""
        return []

    def fetch(self) -> dict[str, Path]:
        """Download the files that are missing and return all by name.

        Raises
        ------
        DataError
            If a file can neither be found nor downloaded.
        """
        return {}

    def fingerprint(self) -> dict[str, Any]:
        """Return what determines the data besides code and parameters, such as file digests."""
        return {}

    @property
    def paired(self) -> bool:
        """Whether ``load`` returns, or for an unread file may return, paired data."""
        return getattr(self, "card", None) is not None and self.card.modality == MULTIOME

    @abstractmethod
    def load(self) -> AnnData | MuData:
        """Return the counts with labels and batch.

        Returns
        -------
        AnnData or MuData
            Counts in ``X`` (CSR, cells × features), types in ``obs[card.label_key]``, batches in
            ``obs[card.batch_key]``. If the card's modality is ``MULTIOME``, a ``MuData`` with
            ``rna`` and ``atac`` of equal cells in equal order; types and batches are then in
            ``obs`` of ``rna``.
        """
