"""Data without labels: a dataset whose labels are hidden, and the halves of its counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.seeds import derive_seed

from .derived_dataset import DerivedDataset

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Dataset

HALVES = (1, 2)


class HiddenLabels(DerivedDataset):
    """A dataset without its labels."""

    def fingerprint(self) -> dict[str, Any]:
        """Return the identity of the data, with a mark for hidden labels."""
        return {"of": self.inner.fingerprint(), "labels": "hidden"}

    def load(self) -> AnnData | MuData:
        """Return the data; the card names no column of types."""
        data = self.inner.load()
        self.card = replace(self.inner.card, label_key="", labels_from="", n_types=None)
        self.notes = self.inner.notes
        return data


class CountHalf(DerivedDataset):
    """One of two random halves of the counts of a dataset without labels.

    Each molecule is assigned to one half (data thinning, Neufeld et al. 2024, JMLR 25:57); for
    Poisson counts the halves are independent. Paired data have no halves.
    """

    def __init__(self, inner: Dataset, half: int) -> None:
        super().__init__(inner)
        self.half = half

    def fingerprint(self) -> dict[str, Any]:
        """Return the identity of the data, and the number of the half."""
        return {"of": self.inner.fingerprint(), "half": self.half}

    def load(self) -> AnnData:
        """Return the cells with the counts of the half."""
        import numpy as np
        import scipy.sparse as sp

        data: Any = self.inner.load()
        adata = data.to_memory() if data.isbacked else data.copy()
        counts = sp.csr_matrix(adata.X)
        rng = np.random.default_rng(derive_seed(0, "halves of the counts"))
        first = rng.binomial(counts.data.astype(np.int64), 0.5).astype(np.float32)
        values = first if self.half == HALVES[0] else counts.data - first
        half = sp.csr_matrix((values, counts.indices, counts.indptr), counts.shape)
        half.eliminate_zeros()
        adata.X = half
        self.card, self.notes = self.inner.card, []
        return adata


def half_label(label: str, half: int) -> str:
    """Return the display name of a half of the counts."""
    return f"{label} (half {half})"
