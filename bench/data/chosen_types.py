"""Any dataset restricted to some of its types: ``zheng_sorted[types=monocytes+b_cells]``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import Card, Dataset, FileLocation
from bench.errors import UsageError
from bench.messages import collect_notes, did_you_mean, log_note

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Markers


class ChosenTypes(Dataset):
    """A dataset with the cells of some types; their names stand between plus signs."""

    def __init__(self, inner: Dataset, types: str) -> None:
        super().__init__(inner.params)
        self.inner, self.types, self.name = inner, types, inner.name
        self.orientation_given = inner.orientation_given
        if hasattr(inner, "card"):  # a file has no card before it is read
            self.card: Card = inner.card

    @property
    def paired(self) -> bool:
        """Whether the data are, or may be, paired."""
        return self.inner.paired

    @property
    def where(self) -> str:
        """Name or path of the data in error messages."""
        return self.inner.where

    def own_markers(self) -> Markers | None:
        """Return the marker lists that come with the data."""
        return self.inner.own_markers()

    def file_locations(self) -> list[FileLocation]:
        """Return the places of the files."""
        return self.inner.file_locations()

    def fetch(self) -> dict[str, Path]:
        """Fetch the missing files."""
        return self.inner.fetch()

    def fingerprint(self) -> dict[str, Any]:
        """Return the identity of the data, and the types."""
        return {"of": self.inner.fingerprint(), "types": self.types}

    def load(self) -> AnnData | MuData:
        """Return the cells of the chosen types; raises ``UsageError`` for an unknown type."""
        from bench.contract import cells_of, select_cells

        data = self.inner.load()
        labels = cells_of(data).obs[self.inner.card.label_key].astype(str)
        chosen = split_types(self.types, set(labels), self.where)
        mask = labels.isin(chosen).to_numpy()
        with collect_notes() as notes:
            log_note(f"{mask.sum()} of {len(mask)} cells are of {len(chosen)} chosen types")
        self.card = replace(self.inner.card, n_cells=int(mask.sum()), n_types=len(chosen))
        self.notes = [*self.inner.notes, *notes]
        return select_cells(data, mask.nonzero()[0])


def split_types(text: str, known: set[str], where: str) -> list[str]:
    """Return the types in a text such as ``a+b``; a name may hold plus signs, as ``CD4+ T``.

    Raises ``UsageError`` for a name that no cell has.
    """
    parts, chosen = text.split("+"), []
    while parts:
        # The longest name that starts here.
        sizes = [n for n in range(len(parts), 0, -1) if "+".join(parts[:n]).strip() in known]
        if not sizes:
            names = ", ".join(sorted(known))
            raise UsageError(
                f"{where}: types={text}: no cell is of the type '{parts[0].strip()}'."
                f"{did_you_mean(parts[0].strip(), sorted(known))} Types: {names}.",
                code="unknown_name",
            )
        chosen.append("+".join(parts[: sizes[0]]).strip())
        parts = parts[sizes[0] :]
    return list(dict.fromkeys(chosen))
