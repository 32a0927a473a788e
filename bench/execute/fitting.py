"""Fit one method: the only place that builds its ``Context`` and checks its result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import Context, Fit, Knowledge, keep_known_genes
from bench.errors import Diverged
from bench.contract.method import declared_inputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Method
    from bench.contract.method import Reporter


def ignore_line(text: str) -> None:
    """Drop a line of the log."""


@dataclass(frozen=True)
class OptionalInputs:
    """What a dataset offers beyond its counts; a method gets the part that it declares."""

    n_clusters: int | None = None
    batch: np.ndarray | None = None
    """Shape (n_cells,), as ``labels``."""
    labels: np.ndarray | None = None
    markers: dict[str, tuple[str, ...]] | None = None
    proteins: np.ndarray | None = None
    """Counts, cells × proteins."""
    protein_names: tuple[str, ...] | None = None

    def select_cells(self, cells: np.ndarray) -> OptionalInputs:
        """Return the inputs of some cells, given by number or as a mask."""
        arrays = {"batch": self.batch, "labels": self.labels, "proteins": self.proteins}
        chosen: dict[str, Any] = {
            name: np.asarray(values)[cells]
            for name, values in arrays.items()
            if values is not None
        }
        return replace(self, **chosen)


@dataclass(frozen=True)
class FitConditions:
    """Under what conditions a method is fitted."""

    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    log: Callable[[str], None] = ignore_line
    scratch_parent: Path | None = None
    """Folder in which the fit's scratch folder is created; ``None``: the system's."""
    checkpoints: Path | None = None


def fit_method(
    method: Method,
    data: AnnData | MuData,
    inputs: OptionalInputs,
    report: Reporter,
    conditions: FitConditions,
) -> Fit:
    """Fit a method on prepared cells and check its result.

    ``inputs`` are those of the cells of ``data``. Marker genes that are no features are left out
    and counted in the notes of the result. Raises what the method raises, ``DataError`` if no
    marker gene is a feature, and what :func:`check_result` raises.
    """
    knowledge, missing_markers = _declared_knowledge(method, data, inputs)
    with TemporaryDirectory(dir=conditions.scratch_parent) as scratch:
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
        )
        result = method.fit(data, context)
    check_result(result, data.n_obs, method.name)
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
    )
    return knowledge, missing


def check_result(result: Any, n_cells: int, name: str) -> None:
    """Raise ``TypeError`` or ``ValueError`` for a result that breaks the contract.

    Raises ``Diverged`` for an embedding that is not finite.
    """
    if not isinstance(result, Fit):
        raise TypeError(f"{name}.fit returned a {type(result).__name__}; expected Fit(embedding)")
    embedding = np.asarray(result.embedding)
    if embedding.ndim != 2 or embedding.shape[0] != n_cells or embedding.shape[1] < 1:
        raise ValueError(
            f"{name} returned an embedding of shape {embedding.shape}; expected ({n_cells}, d ≥ 1)"
        )
    if not np.issubdtype(embedding.dtype, np.number):
        raise ValueError(f"{name} returned an embedding of type {embedding.dtype}, not numbers")
    bad = int((~np.isfinite(embedding)).any(axis=1).sum())
    if bad:
        raise Diverged(f"the embedding of {bad} of {n_cells} cells is not finite")
    for key, labels in result.labels.items():
        if np.shape(labels) != (n_cells,):
            raise ValueError(
                f"{name} returned labels '{key}' of shape {np.shape(labels)}; "
                f"expected ({n_cells},)"
            )
