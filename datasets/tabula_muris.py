"""Tissues of the mouse atlas Tabula Muris, known in papers as the sets "Quake"."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ._fact_files import add_datasets
from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


class DropletTissue(Published):
    """A tissue of the archive of 10x runs, with the consortium's annotation."""

    tissue: ClassVar[str] = ""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts of the annotated cells."""
        from ._tabula_muris import read_droplets

        archive, annotation = files.values()
        return read_droplets(archive, annotation, self.tissue, self.cache)


class PlateTissue(Published):
    """A tissue of the archive of Smart-seq2 plates, with the consortium's annotation."""

    tissue: ClassVar[str] = ""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the reads of the annotated cells."""
        from ._tabula_muris import read_plates

        archive, annotation = files.values()
        return read_plates(archive, annotation, self.tissue, self.cache)


add_datasets(__name__)
