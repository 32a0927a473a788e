"""Chromatin sets: those that SCALE distributes, and sorted blood progenitors."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ._fact_files import add_datasets
from ._published import Published

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData


class ScaleSet(Published):
    """One ``.h5ad`` file: cells × peaks in ``X``, types in ``obs["celltype"]``."""

    without: ClassVar[Sequence[str]] = ()
    """Labels that are no type; their cells are dropped and counted."""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the matrix (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        from ._labelled_counts import read_labelled_file

        (path,) = files.values()
        return read_labelled_file(
            path,
            "celltype",
            label_key=self.card.label_key,
            peaks=True,
            without=self.without,
            where=self.name,
        )


class SortedProgenitors(Published):
    """Counts as triplets, a BED file of peaks, and a table of labels."""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the fragments in peaks (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        from ._chromatin import read_progenitors

        return read_progenitors(*files.values())


add_datasets(__name__)
