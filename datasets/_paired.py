"""Base of the sets that measure expression and chromatin in the same cells."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.parameters import Parameters
from bench.recipe import ATAC, RNA

from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from bench.dataset import RemoteFile

Part = Literal["rna", "atac"]


@dataclass(frozen=True)
class Measured:
    """What the card says of one of the two parts."""

    n_features: int
    files: tuple[RemoteFile, ...]
    """What has to be fetched for this part alone."""


class Paired(Published):
    """A set of which one part is used at a time; the card follows the part.

    Both parts have the same cells in the same order, so that they can be put together.
    """

    class Params(Parameters):
        """Which part is used."""

        part: Part = Field("rna", description="expression (rna) or chromatin (atac) of the cells")

    params: Params
    parts: ClassVar[dict[str, Measured]]

    def __init__(self, params: Any = None, *args: Any, **settings: Any) -> None:
        super().__init__(params, *args, **settings)
        part = self.params.part
        self.card = replace(
            type(self).card,
            modality=ATAC if part == "atac" else RNA,
            n_features=self.parts[part].n_features,
            files=self.parts[part].files,
        )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the chosen part; raises ``DataError``."""
        return self.read_part(files, self.params.part)

    @abstractmethod
    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part: counts (CSR, cells × features) with labels in ``obs``."""
