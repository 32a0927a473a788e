"""Blood cells: of 10x Genomics, of stimulated blood, and with surface proteins."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.contract import Parameters

from ._fact_files import add_datasets
from ._published import Published

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from anndata import AnnData


class TutorialTypes(Published):
    """An archive of Cell Ranger's output, and the result of scanpy's tutorial."""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts (2,638 × 32,738) with the tutorial's ``obs["louvain"]``."""
        from ._blood import read_tutorial_types

        archive, processed = files.values()
        return read_tutorial_types(self.unpack(archive), archive, processed)


class CellRangerClusters(Published):
    """Two archives of Cell Ranger's output: the matrix, and the analysis with graph clusters."""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts with ``obs["Cluster"]``."""
        from ._blood import read_clusters

        matrix, analysis = files.values()
        return read_clusters(self.unpack(matrix), matrix, self.unpack(analysis), analysis)


class SortedPopulations(Published):
    """An archive of Cell Ranger's output for each sorted population."""

    populations: ClassVar[Mapping[str, str]] = {}
    """Population of each sample; keys are the starts of the names of its file."""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts with ``obs["population"]``."""
        from ._blood import read_populations

        unpacked = {path: self.unpack(path) for path in files.values()}
        return read_populations(unpacked, self.populations)


class Kang(Published):
    """Matrix and barcodes of two runs, then genes and annotation of both."""

    class Params(Parameters):
        """Which of the two conditions."""

        condition: Literal["both", "ctrl", "stim"] = Field(
            "both", description="both: batch is the condition; one of them: batch is the donor"
        )

    params: Params

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts over 35,635 genes."""
        from ._blood import read_kang

        return read_kang(list(files.values()), self.params.condition)


class GenesAndProteins(Published):
    """An HDF5 file with genes ``X1``, proteins ``X2`` and labels ``Y``."""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts (CSR) with ``obs["cell_type"]`` and ``obsm["ADT"]`` (a table)."""
        from ._citeseq import read_genes_and_proteins

        (path,) = files.values()
        return read_genes_and_proteins(path)


add_datasets(__name__)
