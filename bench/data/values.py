"""Facts about the values of matrices and columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.prepare.blocks import stored_values

if TYPE_CHECKING:
    import pandas as pd


def missing_values(column: pd.Series) -> int:
    """Return how many values are missing or blank text."""
    return int(np.sum(text_column(column) == ""))


def text_column(column: pd.Series) -> np.ndarray:
    """Return the values as text; missing values and blank text are empty."""
    text = column.astype(str)
    missing = column.isna().to_numpy() | (text.str.strip() == "").to_numpy()
    return np.where(missing, "", text.to_numpy().astype(np.str_))


class ValueSummary:
    """Summary of the values of a numeric matrix that are no counts, read in blocks.

    Reading stops after about ``limit`` values.
    """

    not_finite: int = 0
    smallest: float = 0.0
    fraction: float | None = None
    """First value that is not a whole number, if any."""
    any: bool = False
    """True if a value is not zero."""

    def __init__(self, matrix: Any, limit: float = math.inf) -> None:
        seen = 0
        for values in stored_values(matrix):
            if values.size:
                self._add(values)
            seen += values.size
            if seen > limit:
                break

    def _add(self, values: np.ndarray) -> None:
        self.any = self.any or bool(np.any(values))
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            if not finite.all():
                self.not_finite += int(finite.size - np.count_nonzero(finite))
                values = values[finite]
            fractions = values[values != np.rint(values)]
            if fractions.size and self.fraction is None:
                self.fraction = float(fractions[0])
        if values.dtype.kind in "if":
            self.smallest = min(self.smallest, float(values.min(initial=0)))

    @property
    def counts(self) -> bool:
        """True for whole numbers that are not negative, and not all zero."""
        return self.any and not self.not_finite and self.smallest >= 0 and self.fraction is None
