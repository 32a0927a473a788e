"""Islets of the pancreas: single studies, and three of them as batches of one set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._fact_files import add_datasets
from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


class Baron(Published):
    """Tables of cells × genes, one a donor, with barcode and type before the genes."""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts with ``obs["assigned_cluster"]`` and ``obs["donor"]``."""
        from ._pancreas import read_baron

        return read_baron(files)


class Muraro(Published):
    """A table of genes × cells with corrected UMI counts, and one of types."""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts (2,122 × 19,059)."""
        from ._pancreas import read_muraro

        return read_muraro(*files.values())


class ThreeStudies(Published):
    """The files of Baron et al., Muraro et al. and Segerstolpe et al."""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return counts over the symbols in common; UMIs or, for Smart-seq2, reads."""
        from ._pancreas import read_three_studies

        return read_three_studies(files)


add_datasets(__name__)
