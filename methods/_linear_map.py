"""Base of methods whose embedding is a linear map of prepared cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._fitted_arrays import ArrayState
from ._preparations import LikePCA

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class LinearMap(ArrayState, LikePCA):
    """z = x A - b; ``fit`` calls :meth:`apply_map` with A and b."""

    def apply_map(self, data: AnnData, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Store A, (features, dimensions), and b, (dimensions,); return z of the cells."""
        self.store_arrays({"matrix": matrix, "offset": offset}, data)
        return self.transform(data)

    def transform(self, data: AnnData) -> np.ndarray:
        arrays = self.arrays_for(data)
        return (data.X @ arrays["matrix"] - arrays["offset"]).astype("float32")
