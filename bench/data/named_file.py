"""A file under the name of a dataset: in place of its original files, or added by the user."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.contract import Card, Dataset

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Markers


class NamedFile(Dataset):
    """A file with a name and with a card for facts that the file lacks."""

    def __init__(self, file: Dataset, name: str, named_card: Card) -> None:
        super().__init__(file.params)
        self.file, self.name, self.named_card = file, name, named_card
        self.orientation_given = file.orientation_given

    @property
    def where(self) -> str:
        """The path of the file."""
        return self.file.where

    def own_markers(self) -> Markers | None:
        """Return the marker lists of the card under this name."""
        return self.named_card.markers

    def fingerprint(self) -> dict[str, Any]:
        """Return a digest of the content of the file."""
        return self.file.fingerprint()

    @property
    def paired(self) -> bool:
        """Whether the file may hold paired data."""
        return self.file.paired

    def load(self) -> AnnData | MuData:
        """Return counts, labels and batch, and complete the card of the file.

        Raises ``DataError`` for an unreadable file and for a missing column.
        """
        data = self.file.load()
        self.notes = self.file.notes
        card, named = self.file.card, self.named_card
        self.card = replace(
            card,
            summary=named.summary or card.summary,
            organism=card.organism or named.organism,
            reference=card.reference or named.reference,
            url=card.url or named.url,
            licence=card.licence or named.licence,
            labels_from=named.labels_from or card.labels_from,
            tags=named.tags,
            markers=named.markers,
        )
        return data
