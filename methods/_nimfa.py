"""nimfa 1.4.0 under NumPy 2.

nimfa calls the removed ``np.mat``, has no seed unless both factors are given, returns
``np.matrix``, and writes into the caller's array with divergence.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def factorize_with_nimfa(
    algorithm: str, values: np.ndarray, w: np.ndarray, h: np.ndarray, **options: Any
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return W, H and the number of iterations of ``nimfa.Nmf`` or ``nimfa.Lsnmf``."""
    with _numpy_1_names(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import nimfa
        except ImportError:
            raise UsageError(
                "solver='nimfa' needs nimfa: pip install nimfa.", code="missing_package"
            ) from None
        model = getattr(nimfa, algorithm)(
            np.array(values, dtype=np.float64),
            seed="fixed",
            W=np.array(w, dtype=np.float64),
            H=np.array(h, dtype=np.float64),
            rank=w.shape[1],
            **options,
        )
        fitted = model()
        return np.asarray(fitted.basis()), np.asarray(fitted.coef()), int(fitted.n_iter)


@contextmanager
def _numpy_1_names() -> Iterator[None]:
    """Give NumPy the name ``mat`` back while nimfa is imported and runs."""
    if hasattr(np, "mat"):
        yield
        return
    vars(np)["mat"] = np.asmatrix
    try:
        yield
    finally:
        del vars(np)["mat"]
