"""A file under the name of a dataset: a stand-in for original files, or one the user added."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.contract import Card, Dataset

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Markers


class NamedFile(Dataset):
    """A file whose name, citation, licence and label provenance are known beforehand."""

    def __init__(self, file: Dataset, name: str, known: Card) -> None:
        super().__init__(file.params)
        self.file, self.name, self.known = file, name, known

    @property
    def where(self) -> str:
        """The path of the file."""
        return self.file.where

    def own_markers(self) -> Markers | None:
        """Return the marker lists of the known card."""
        return self.known.markers

    def fingerprint(self) -> dict[str, Any]:
        """Return path, size and time of the file, and the columns read."""
        return self.file.fingerprint()

    @property
    def paired(self) -> bool:
        """Whether the file may hold paired data."""
        return self.file.paired

    def load(self) -> AnnData | MuData:
        """Return counts, labels and batch; what the file does not say is taken from ``known``.

        Raises ``DataError`` if the file cannot be read or a column is not there.
        """
        adata = self.file.load()
        self.notes = self.file.notes
        said, known = self.file.card, self.known
        self.card = replace(
            said,
            summary=known.summary or said.summary,
            organism=said.organism or known.organism,
            reference=said.reference or known.reference,
            url=said.url or known.url,
            licence=said.licence or known.licence,
            labels_from=known.labels_from or said.labels_from,
            tags=known.tags,
            markers=known.markers,
        )
        return adata
