"""Base of the sets that measure expression and chromatin in the same cells."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.contract import Parameters

from ._published import Published

if TYPE_CHECKING:
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
        from ._paired_parts import pair_parts

        return pair_parts(
            self.read_part(files, "rna"),
            self.read_part(files, "atac"),
            files[self.positions] if self.positions else None,
            self.name,
        )

    def part_file(self, files: dict[str, Path], part: Part) -> Path:
        """Return the one file of a part."""
        (file,) = self.variants["part"][part]["files"]
        return files[file.name]

    @abstractmethod
    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part: counts (CSR, cells × features) with labels in ``obs``."""
