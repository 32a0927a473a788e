"""Any dataset restricted to some of its types: ``zheng_sorted[types=monocytes+b_cells]``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.contract import cells_of, select_cells
from bench.errors import UsageError
from bench.messages import collect_notes, did_you_mean, log_note

from .derived_dataset import DerivedDataset, require_labels

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Dataset


class ChosenTypes(DerivedDataset):
    """A dataset restricted to the cells of some types, whose names are joined by plus signs."""

    def __init__(self, inner: Dataset, types: str) -> None:
        super().__init__(inner)
        self.types = types

    def fingerprint(self) -> dict[str, Any]:
        """Return the identity of the data, and the types."""
        return {"of": self.inner.fingerprint(), "types": self.types}

    def load(self) -> AnnData | MuData:
        """Return the cells of the chosen types; raises ``UsageError`` for an unknown type."""
        data = self.inner.load()
        require_labels(self.inner)
        labels = cells_of(data).obs[self.inner.card.label_key].astype(str)
        chosen = split_types(self.types, set(labels), self.where)
        mask = labels.isin(chosen).to_numpy()
        with collect_notes() as notes:
            log_note(f"{mask.sum()} of {len(mask)} cells are of {len(chosen)} chosen types")
        self.card = replace(self.inner.card, n_cells=int(mask.sum()), n_types=len(chosen))
        self.notes = [*self.inner.notes, *notes]
        return select_cells(data, mask.nonzero()[0])


def split_types(text: str, known: set[str], where: str) -> list[str]:
    """Return the types in a text such as ``a+b``; a name may contain plus signs, as ``CD4+ T``.

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
