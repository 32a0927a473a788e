"""Fit one method: the only place that builds its ``Context`` and checks its result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.contract import Context, Fit, Knowledge, keep_known_genes
from bench.contract.method import declared_inputs
from bench.errors import Diverged

from .container_requests import run_container

if TYPE_CHECKING:
    from collections.abc import Callable

    import scipy.sparse as sp
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Method
    from bench.contract.container import ContainerRunner
    from bench.contract.method import Reporter


def ignore_line(text: str) -> None:
    """Ignore a line of the log."""


@dataclass(frozen=True)
class OptionalInputs:
    """The optional inputs that a dataset has; a method gets those that it declares."""

    n_clusters: int | None = None
    batch: np.ndarray | None = None
    """Shape (n_cells,), as ``labels``."""
    labels: np.ndarray | None = None
    markers: dict[str, tuple[str, ...]] | None = None
    proteins: np.ndarray | None = None
    """Counts, cells × proteins."""
    protein_names: tuple[str, ...] | None = None
    graph: sp.csr_matrix | None = None
    """Similarity of cells, cells × cells."""

    def select_cells(self, cells: np.ndarray) -> OptionalInputs:
        """Return the inputs of some cells, given by number or as a mask."""
        arrays = {"batch": self.batch, "labels": self.labels, "proteins": self.proteins}
        chosen: dict[str, Any] = {
            name: np.asarray(values)[cells]
            for name, values in arrays.items()
            if values is not None
        }
        if self.graph is not None:
            chosen["graph"] = self.graph[cells][:, cells]
        return replace(self, **chosen)


@dataclass(frozen=True)
class FitConditions:
    """Seed, device, folders and callbacks of a fit."""

    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    log: Callable[[str], None] = ignore_line
    scratch_parent: Path | None = None
    """Folder in which the fit's scratch folder is created; ``None``: the system's."""
    checkpoints: Path | None = None
    run_container: ContainerRunner | None = None
    """How to run a container; ``None``: from this process."""


def fit_method(
    method: Method,
    data: AnnData | MuData,
    inputs: OptionalInputs,
    report: Reporter,
    conditions: FitConditions,
) -> Fit:
    """Fit a method on prepared cells and check its result.

    ``inputs`` describe the cells of ``data``, in order. Marker genes that are not features are
    left out and counted in the notes of the result. Raises what the method raises, ``DataError``
    if no marker gene is a feature, and what :func:`check_result` raises.
    """
    knowledge, missing_markers = _declared_knowledge(method, data, inputs)
    with TemporaryDirectory(dir=conditions.scratch_parent, ignore_cleanup_errors=True) as scratch:
        context = Context(
            seed=conditions.seed,
            n_clusters=inputs.n_clusters if "n_clusters" in declared_inputs(method) else None,
            device=conditions.device,
            threads=conditions.threads,
            knowledge=knowledge,
            report=report,
            log=conditions.log,
            scratch=Path(scratch),
            checkpoints=conditions.checkpoints,
            run_container=conditions.run_container
            or partial(run_container, threads=conditions.threads),
        )
        result = method.fit(data, context)
    result = check_result(result, data.obs_names, method.name)
    if missing_markers:
        result.notes["markers"] = missing_markers
    return result


def _declared_knowledge(
    method: Method, data: Any, inputs: OptionalInputs
) -> tuple[Knowledge, str]:
    """Return the inputs that a method declares, and one line on missing marker genes."""
    uses = declared_inputs(method)
    markers, missing = None, ""
    if "markers" in uses and inputs.markers is not None:
        markers, missing = keep_known_genes(inputs.markers, data.var_names, method.name)
    knowledge = Knowledge(
        batch=inputs.batch if "batch" in uses else None,
        labels=inputs.labels if "labels" in uses else None,
        markers=markers,
        proteins=inputs.proteins if "proteins" in uses else None,
        protein_names=inputs.protein_names if "proteins" in uses else None,
        graph=inputs.graph if "graph" in uses else None,
    )
    return knowledge, missing


def check_result(result: Any, cells: pd.Index, name: str) -> Fit:
    """Return the result of a method, with rows in the order of ``cells``.

    A pandas object is reordered by the names of the cells in its index; with a default index its
    order is kept. Raises ``TypeError`` or ``ValueError`` for an invalid result, ``Diverged`` for
    an embedding that is not finite in float32.
    """
    if not isinstance(result, Fit):
        raise TypeError(f"{name}.fit returned a {type(result).__name__}; expected Fit(embedding)")
    embedding = np.asarray(_in_order(result.embedding, cells, f"{name}: the embedding"))
    _check_embedding(embedding, len(cells), name)
    all_labels = {}
    for key, labels in result.labels.items():
        all_labels[key] = _in_order(labels, cells, f"{name}: labels '{key}'")
        if np.shape(labels) != (len(cells),):
            raise ValueError(
                f"{name} returned labels '{key}' of shape {np.shape(labels)}; "
                f"expected ({len(cells)},)"
            )
    for key, table in result.tables.items():
        _check_table(key, table, name)
    if result.n_parameters is not None and not 0 <= int(result.n_parameters) < 2**63:
        raise ValueError(f"{name} returned n_parameters={result.n_parameters}; expected a count")
    return replace(result, embedding=embedding, labels=all_labels)


def _in_order(values: Any, cells: pd.Index, what: str) -> Any:
    """Return a pandas object as an array in the order of the cells, other values unchanged."""
    if not isinstance(values, (pd.DataFrame, pd.Series)):
        return values
    index = values.index
    if index.equals(cells) or index.equals(pd.RangeIndex(len(cells))):
        return values.to_numpy()
    if len(index) != len(cells) or not index.is_unique or not index.isin(cells).all():
        raise ValueError(
            f"{what} is indexed by {len(index)} names that are not those of the {len(cells)} "
            "cells; expected data.obs_names, or no index"
        )
    return values.reindex(cells).to_numpy()


def _check_embedding(embedding: np.ndarray, n_cells: int, name: str) -> None:
    """Raise for an embedding of a wrong shape or type, or with values that are not finite."""
    if embedding.ndim != 2 or embedding.shape[0] != n_cells or embedding.shape[1] < 1:
        raise ValueError(
            f"{name} returned an embedding of shape {embedding.shape}; expected ({n_cells}, d ≥ 1)"
        )
    if not np.issubdtype(embedding.dtype, np.number) or np.iscomplexobj(embedding):
        raise ValueError(
            f"{name} returned an embedding of type {embedding.dtype}; expected real numbers"
        )
    with np.errstate(over="ignore"):
        finite = np.isfinite(embedding.astype(np.float32)).all(axis=1)
    if bad := int((~finite).sum()):
        raise Diverged(
            f"the embedding of {bad} of {n_cells} cells is not finite in single precision"
        )


def _check_table(key: Any, table: Any, name: str) -> None:
    """Raise ``TypeError`` or ``ValueError`` for a table that cannot be written to a file."""
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"{name} returned a {type(table).__name__} as table '{key}'; expected a DataFrame"
        )
    text = str(key)
    plain = text.isprintable() and Path(text).name == text and text not in ("", "..")
    if not plain or len(text) > 100:
        raise ValueError(
            f"{name} returned a table named {key!r}; expected a name that a file can have"
        )
