"""Base of methods whose embedding is a linear map of prepared cells."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

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


def fit_model(model: Any, values: np.ndarray) -> Any:
    """Return a model of scikit-learn fitted to dense doubles, without its warnings.

    That it did not converge is in the notes of a fit or to be seen in its curve.
    """
    dense = values.toarray() if hasattr(values, "toarray") else values
    with warnings.catch_warnings(action="ignore"):
        return model.fit(dense.astype("float64"))
