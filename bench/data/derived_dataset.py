"""A dataset made of another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import Card, Dataset
from bench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.contract import FileLocation, Markers


class DerivedDataset(Dataset):
    """A dataset whose files, names and marker lists are those of ``inner``."""

    def __init__(self, inner: Dataset) -> None:
        super().__init__(inner.params)
        self.inner, self.name = inner, inner.name
        self.orientation_given = inner.orientation_given
        if hasattr(inner, "card"):  # a file has no card before it is read
            self.card: Card = inner.card

    @property
    def paired(self) -> bool:
        """Whether the data are, or for an unread file may be, paired."""
        return self.inner.paired

    @property
    def where(self) -> str:
        """Name or path of the data in error messages."""
        return self.inner.where

    def own_markers(self) -> Markers | None:
        """Return the marker lists that come with the data."""
        return self.inner.own_markers()

    def file_locations(self) -> list[FileLocation]:
        """Return where the original files lie."""
        return self.inner.file_locations()

    def fetch(self) -> dict[str, Path]:
        """Fetch the missing files."""
        return self.inner.fetch()


def require_labels(dataset: Dataset) -> None:
    """Raise ``DataError`` if a loaded dataset has no labels."""
    if not dataset.card.label_key:
        raise DataError(
            f"{dataset.where}: the cells have no labels; give them with --labels FILE or "
            "--label-key COLUMN.",
            code="missing_column",
        )
