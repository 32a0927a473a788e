"""Sets that measure expression and chromatin in the same cells."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.contract import Parameters

from ._fact_files import add_datasets
from ._published import Published

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

Part = Literal["rna", "atac"]


class Paired(Published):
    """A set used whole or one part at a time; ``variants`` hold the facts of each part.

    Both parts have the same cells in the same order, so that they can be put together.
    """

    class Params(Parameters):
        """Which part is used."""

        part: Literal["both", "rna", "atac"] = Field(
            "both", description="expression (rna), chromatin (atac) or both of the cells"
        )

    params: Params
    positions: ClassVar[str] = ""
    """Name of the file with the TSS of the genes, if both parts together need one."""

    def read(self, files: dict[str, Path]) -> AnnData | MuData:
        """Return the chosen part, or both; raises ``DataError``."""
        if self.params.part != "both":
            return self.read_part(files, self.params.part)
        from ._paired_sets import pair_parts

        return pair_parts(
            self.read_part(files, "rna"),
            self.read_part(files, "atac"),
            files[self.positions] if self.positions else None,
            self.name,
        )

    def part_files(self, files: dict[str, Path], part: Part) -> list[Path]:
        """Return the files of a part, in the order of its variant of the card."""
        return [files[file.name] for file in self.variants["part"][part]["files"]]

    @abstractmethod
    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part: counts (CSR, cells × features) with labels in ``obs``."""


class PairedFiles(Paired):
    """One ``.h5ad`` file a part: counts in ``X``, types in ``obs["cell_type"]``."""

    names: ClassVar[Mapping[str, str]] = {}
    """Columns with names of ``cells``, genes (``rna``) and peaks (``atac``), if not the index."""

    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        from ._labelled_counts import read_labelled_file

        (path,) = self.part_files(files, part)
        return read_labelled_file(
            path,
            "cell_type",
            label_key=self.card.label_key,
            peaks=part == "atac",
            names=(self.names.get("cells", ""), self.names.get(part, "")),
            where=self.name,
        )


class ShareSeq(Paired):
    """A table of labels; genes as a table, peaks as a matrix with barcodes and BED file."""

    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        from ._paired_sets import read_share_seq

        return read_share_seq(*self.part_files(files, part))


class NeuripsMultiome(Paired):
    """One packed ``.h5ad`` file with genes and peaks side by side."""

    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part (CSR) with ``obs["cell_type"]`` and ``obs["batch"]``."""
        from ._paired_sets import read_neurips_multiome

        (packed,) = files.values()
        return read_neurips_multiome(packed, part, self.cache)


add_datasets(__name__)
