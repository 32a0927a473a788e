"""Checks of what is given to a fit beside its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from bench.contract.method import declared_inputs
from bench.contract.proteins import PROTEINS
from bench.errors import DataError, UsageError
from bench.messages import did_you_mean

if TYPE_CHECKING:
    from bench.contract import Method
    from bench.execute.fitting import OptionalInputs


def check_inputs(method: Method, inputs: OptionalInputs) -> None:
    """Raise ``UsageError`` if a method needs an input that is not given."""
    for name in sorted(method.needs()):
        if getattr(inputs, name) is None:
            how = f"pass {name}=... to fit"
            if name == "proteins":
                how = f"put their counts into obsm['{PROTEINS}']"
            raise UsageError(f"{method.name} needs {name}: {how}.", code="missing_input")


def check_modality(method: Method, modality: str) -> None:
    """Raise ``UsageError`` if a method is made for other data."""
    if modality not in method.modalities:
        raise UsageError(
            f"{method.name} is made for {', '.join(sorted(method.modalities))}, the data are "
            f"{modality}; if that is wrong, pass modality= to fit.",
            code="wrong_modality",
        )


def check_n_clusters(n_clusters: int | None, n_cells: int, name: str) -> None:
    """Raise ``UsageError`` that names the option if there are more clusters than cells."""
    if n_clusters is not None and not 1 <= n_clusters <= n_cells:
        raise UsageError(
            f"{name} {n_clusters}: there are {n_cells} cells; expected 1 to {n_cells} clusters.",
            code="too_many_clusters" if n_clusters > n_cells else "invalid_value",
        )


def check_graph_use(method: Method, graph: Any, name: str) -> None:
    """Raise ``UsageError`` if a graph is given to a method that learns from none."""
    if graph is not None and "graph" not in declared_inputs(method):
        raise UsageError(
            f"{name}: {method.name} does not learn from a graph of the cells.",
            code="not_supported",
        )


def cell_values(cells: AnnData, values: Any, name: str) -> np.ndarray | None:
    """Return one value a cell, given as an array or as a column of ``obs``."""
    if values is None:
        return None
    if isinstance(values, str):
        if values not in cells.obs:
            hint = did_you_mean(values, list(map(str, cells.obs.columns)))
            raise DataError(f"{name}: no column '{values}' in obs.{hint}", code="missing_column")
        return cells.obs[values].astype(str).to_numpy()
    if len(values) != cells.n_obs:
        raise DataError(
            f"{name}: {len(values)} values for {cells.n_obs} cells; expected one a cell.",
            code="other_cells",
        )
    return np.asarray(values)


def require_annotated(data: Any) -> None:
    """Raise ``UsageError`` unless results can be written into the data."""
    if not isinstance(data, (AnnData, MuData)):
        raise UsageError(
            f"key_added= writes into AnnData or MuData; the data are a {type(data).__name__}.",
            code="not_a_dataset",
        )
