"""Base of methods whose embedding is a linear map of prepared cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._fitted_arrays import ArrayState, check_features
from ._preparations import LikePCA

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class LinearMap(ArrayState, LikePCA):
    """z = x A - b; ``fit`` calls :meth:`apply_map` with A and b."""

    def apply_map(self, data: AnnData, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Store A, (features, dimensions), and b, (dimensions,); return z of the cells."""
        self._arrays = {"matrix": matrix, "offset": offset, "features": list(data.var_names)}
        return self.transform(data)

    def transform(self, data: AnnData) -> np.ndarray:
        check_features(self._arrays["features"], data, self.name)
        return (data.X @ self._arrays["matrix"] - self._arrays["offset"]).astype("float32")
