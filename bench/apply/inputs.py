"""Checks of the inputs of a fit: counts, values of cells, number of clusters, graph."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from bench.contract import MULTIOME, RNA, is_paired
from bench.contract.method import declared_inputs
from bench.contract.proteins import PROTEINS
from bench.data.checks import check_data
from bench.data.count_layers import choose_counts
from bench.data.values import text_column
from bench.errors import DataError, UsageError
from bench.messages import did_you_mean

if TYPE_CHECKING:
    from bench.contract import Method
    from bench.execute.fitting import OptionalInputs

logger = logging.getLogger(__name__)
DATA_NAME = "data"
"""Name of data in memory in messages."""


def checked_counts(data: Any, layer: str | None) -> Any:
    """Return counts as AnnData or MuData; raises ``DataError``."""
    if not isinstance(data, (AnnData, MuData)):
        if np.ndim(data) != 2:
            raise DataError(
                f"the data are a {type(data).__name__}; expected AnnData, MuData, a data "
                "frame or a matrix of counts, cells × features.",
                code="not_a_dataset",
            )
        data = AnnData(data)
    modality = MULTIOME if is_paired(data) else RNA
    if not is_paired(data):
        data = choose_counts(data, DATA_NAME, layer)
    report = check_data(
        data, where=DATA_NAME, label_key="", batch_key=None, modality=modality,
        orientation_given=True,
    )  # fmt: skip
    for line in report.warnings:
        logger.info(line)
    return data


def check_inputs(method: Method, inputs: OptionalInputs) -> None:
    """Raise ``UsageError`` if an input that a method needs is missing."""
    for name in sorted(method.needs()):
        if getattr(inputs, name) is None:
            how = f"pass {name}=... to fit"
            if name == "proteins":
                how = f"put their counts into obsm['{PROTEINS}']"
            raise UsageError(f"{method.name} needs {name}: {how}.", code="missing_input")


def check_modality(method: Method, modality: str) -> None:
    """Raise ``UsageError`` if a method does not support a modality."""
    if modality not in method.modalities:
        raise UsageError(
            f"{method.name} is made for {', '.join(sorted(method.modalities))}, the data are "
            f"{modality}; if that is wrong, pass modality= to fit.",
            code="wrong_modality",
        )


def check_n_clusters(n_clusters: int | None, n_cells: int, name: str) -> None:
    """Raise ``UsageError`` unless there are 1 to ``n_cells`` clusters; ``name``: the option."""
    if n_clusters is not None and not 1 <= n_clusters <= n_cells:
        raise UsageError(
            f"{name} {n_clusters}: there are {n_cells} cells; expected 1 to {n_cells} clusters.",
            code="too_many_clusters" if n_clusters > n_cells else "invalid_value",
        )


def check_graph_use(method: Method, graph: Any, name: str) -> None:
    """Raise ``UsageError`` if a graph is given to a method that does not use it."""
    if graph is not None and "graph" not in declared_inputs(method):
        raise UsageError(
            f"{name}: {method.name} does not learn from a graph of the cells.",
            code="not_supported",
        )


def cell_values(cells: AnnData, values: Any, name: str) -> np.ndarray | None:
    """Return one value a cell as text; ``values`` are an array or a column of ``obs``.

    Missing values are empty text. Raises ``DataError`` for a missing column or another length.
    """
    if values is None:
        return None
    if isinstance(values, str):
        if values not in cells.obs:
            hint = did_you_mean(values, list(map(str, cells.obs.columns)))
            raise DataError(f"{name}: no column '{values}' in obs.{hint}", code="missing_column")
        return text_column(cells.obs[values])
    if len(values) != cells.n_obs:
        raise DataError(
            f"{name}: {len(values)} values for {cells.n_obs} cells; expected one a cell.",
            code="other_cells",
        )
    return text_column(pd.Series(np.asarray(values)))


def batch_values(cells: AnnData, values: Any) -> np.ndarray | None:
    """Return the batch of each cell; raises ``DataError`` if one is missing."""
    batch = cell_values(cells, values, "batch")
    if batch is not None and (missing := int((batch == "").sum())):
        raise DataError(
            f"batch: {missing} of {cells.n_obs} cells have no value; leave those cells out, or "
            "name another column.",
            code="missing_values",
        )
    return batch


def require_annotated(data: Any) -> None:
    """Raise ``UsageError`` unless the data are AnnData or MuData, to write results into."""
    if not isinstance(data, (AnnData, MuData)):
        raise UsageError(
            f"key_added= writes into AnnData or MuData; the data are a {type(data).__name__}.",
            code="not_a_dataset",
        )
