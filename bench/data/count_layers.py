"""Where the raw counts of a file are: in X, in a layer or in raw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.errors import DataError
from bench.messages import log_note

from .values import ValueSummary

if TYPE_CHECKING:
    from anndata import AnnData

_COUNT_NAMES = ("counts", "raw_counts", "count", "raw", "umi", "umis", "umi_counts")
"""Usual names of a layer of counts."""
_ENOUGH = 10_000_000
"""Number of values that decide whether a matrix holds counts; :mod:`.checks` reads all values."""


def choose_counts(adata: AnnData, where: str, layer: str | None) -> AnnData:
    """Return the data with raw counts in X.

    ``layer`` is ``X``, ``raw`` or the name of a layer. The default is X. If X holds no whole
    numbers, a layer with a usual name (``counts``, ``raw``, ...) or the only layer of whole
    numbers is used, with a note. Raises ``DataError`` for an unknown layer, and if several layers
    without a usual name hold whole numbers.
    """
    if layer is not None:
        return _take(adata, layer, where)
    if adata.X is None or _holds_counts(adata.X):
        found = [] if adata.X is not None else _layers_of_counts(adata)
    else:
        found = _layers_of_counts(adata)
    usual = [name for name in found if name.lower() in _COUNT_NAMES]
    if len(found) > 1 and not usual:
        raise DataError(
            f"{where}: X holds no counts, but {', '.join(found)} hold whole numbers; choose one "
            f"with layer={found[0]} (--layer {found[0]}).",
            code="ambiguous_layer",
        )
    if not found:
        return adata
    chosen = (usual or found)[0]
    log_note(
        f"{where}: X holds no whole numbers; took {_place(chosen)}, which does; --layer X for X"
    )
    return _take(adata, chosen, where)


def count_hint(adata: AnnData) -> str:
    """Return a hint that names a layer with whole numbers."""
    found = _layers_of_counts(adata)
    if found:
        return f" {_place(found[0])} holds whole numbers: pass layer={found[0]} (--layer)."
    return " No layer holds whole numbers: save the file with counts in X."


def _place(name: str) -> str:
    return "raw" if name == "raw" else f"layers['{name}']"


def _holds_counts(matrix: Any) -> bool:
    return matrix.dtype.kind in "biuf" and ValueSummary(matrix, _ENOUGH).counts


def _layers_of_counts(adata: AnnData) -> list[str]:
    """Return the names of the layers (and ``raw``) with whole numbers, usual names first."""
    names = [name for name in adata.layers if _holds_counts(adata.layers[name])]
    if adata.raw is not None and "raw" not in names and _holds_counts(adata.raw.X):
        names.append("raw")
    order = {name: place for place, name in enumerate(_COUNT_NAMES)}
    return sorted(names, key=lambda name: (order.get(name.lower(), len(order)), name))


def _take(adata: AnnData, layer: str, where: str) -> AnnData:
    if layer in adata.layers:
        taken = adata.copy()
        taken.X = taken.layers.pop(layer)
        return taken
    if layer == "raw" and adata.raw is not None:
        return adata.raw.to_adata()
    if layer != "X":
        names = [*adata.layers, *(["raw"] if adata.raw is not None else [])]
        raise DataError(
            f"{where}: no layer '{layer}'; its layers: {', '.join(['X', *names])}.",
            code="unknown_layer",
        )
    return adata
