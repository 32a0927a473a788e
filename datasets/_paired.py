"""Base of the sets that measure expression and chromatin in the same cells."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.contract import MULTIOME, PARTS, Parameters, check_cells, pair_data

from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Card, RemoteFile

Part = Literal["rna", "atac"]


@dataclass(frozen=True)
class Measured:
    """What the card says of one of the two parts."""

    n_features: int
    files: tuple[RemoteFile, ...]
    """What has to be fetched for this part alone."""


class Paired(Published):
    """A set used whole or one part at a time; the card follows the part.

    Both parts have the same cells in the same order, so that they can be put together.
    """

    class Params(Parameters):
        """Which part is used."""

        part: Literal["both", "rna", "atac"] = Field(
            "both", description="expression (rna), chromatin (atac) or both of the cells"
        )

    params: Params
    parts: ClassVar[dict[str, Measured]]
    positions: ClassVar[tuple[RemoteFile, ...]] = ()
    """Where the genes lie, if there is a file: a table of TSS, needed for both parts together."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "parts" in vars(cls):
            cls.card = _card(cls, "both")

    def __init__(self, params: Any = None, *args: Any, **settings: Any) -> None:
        super().__init__(params, *args, **settings)
        self.card = _card(type(self), self.params.part)

    def read(self, files: dict[str, Path]) -> AnnData | MuData:
        """Return the chosen part, or both; raises ``DataError``."""
        from bench.data.tools.gene_positions import place_genes, read_tss

        if self.params.part != "both":
            return self.read_part(files, self.params.part)
        rna, atac = self.read_part(files, "rna"), self.read_part(files, "atac")
        notes = [line for one in (rna, atac) for line in one.uns.pop("bench_notes", [])]
        check_cells(rna, atac, self.name)
        for file in self.positions:
            notes.append(place_genes(rna, read_tss(files[file.name]), self.name))
        data = pair_data(rna, atac)
        data.uns["bench_notes"] = list(dict.fromkeys(notes))
        return data

    @abstractmethod
    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part: counts (CSR, cells × features) with labels in ``obs``."""


def _card(cls: type[Paired], part: str) -> Card:
    """Return the card of a part, or of both."""
    if part != "both":
        one = cls.parts[part]
        return replace(cls.card, modality=part, n_features=one.n_features, files=one.files)
    files = [file for name in PARTS for file in cls.parts[name].files]
    return replace(
        cls.card,
        modality=MULTIOME,
        n_features=sum(cls.parts[name].n_features for name in PARTS),
        files=tuple(dict.fromkeys([*files, *cls.positions])),
    )
