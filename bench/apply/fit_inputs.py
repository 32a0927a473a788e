"""Options of a fit on one file, and the content of the user's files."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.contract import PROTEINS, Markers, cells_of, protein_counts, read_markers
from bench.contract.method import declared_inputs
from bench.data.cell_graph import find_cell_graph
from bench.data.values import text_column
from bench.errors import UsageError

from .inputs import check_graph_use, check_n_clusters

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import scipy.sparse as sp

    from bench.contract import Method
    from bench.data.file_dataset import FileDataset

    from .estimator import Estimator

logger = logging.getLogger(__name__)
_NEEDED = {
    "n_clusters": ("a number of clusters", "give --n-clusters N"),
    "batch": ("the batch of each cell", "give --batch-key COLUMN"),
    "markers": ("marker lists", "give --markers FILE"),
    "proteins": ("counts of surface proteins", f"the file must have them in obsm '{PROTEINS}'"),
}
"""Inputs that a method may need, each with its description and how to give it."""


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit on one file."""

    n_clusters: int | None = None
    """Number for methods that use it and for k-means; default: the number of types in the file."""
    markers: Path | None = None
    """File of marker lists."""
    graph: str | None = None
    """Key of ``obsp``, or file, with a graph of the cells."""
    setup: Path | None = None
    """Configuration file in the method's own format."""
    impute: bool = True
    """Whether the imputed matrix is written."""
    umap: bool = True
    """Whether the UMAP is computed."""
    preset: str | None = None
    """A preset of the method."""
    key_added: str | None = None
    """Key of ``obsm`` in the result; default: ``X_<method>``, with a number if it is in use."""
    resume: bool = False
    """Whether to resume an interrupted fit with the same arguments."""
    insert: tuple[str, ...] = ()
    """Parts of other fits to insert before the training, ``PART=FIT[:PART][:frozen]``."""
    go_on: Path | None = None
    """Finished fit, or file of a stored state, to continue."""
    keep_every: int = 0
    """Epochs between two stored states; 0: none."""
    dry_run: bool = False
    """Whether to log a description of the fit and write nothing."""


@dataclass(frozen=True)
class FileInputs:
    """The content of the user's files."""

    dataset: FileDataset
    data: Any
    labels: np.ndarray | None
    """Type of each cell, empty if unknown; ``None`` without labels."""
    batch: np.ndarray | None
    n_clusters: int | None
    markers: Markers | None
    graph: sp.csr_matrix | None

    def rows_of(self, estimator: Estimator) -> np.ndarray:
        """Return the row in ``data`` of each cell that the method kept."""
        rows: np.ndarray = self.data.obs_names.get_indexer(estimator.prepared_.obs_names)
        return rows


def read_inputs(
    method: Method, dataset: FileDataset, data: Any, options: FitOptions
) -> FileInputs:
    """Return the data with labels, batch, number of clusters, marker lists and graph."""
    card, obs = dataset.card, cells_of(data).obs
    check_n_clusters(options.n_clusters, data.n_obs, f"{dataset.path}: --n-clusters")
    labels = text_column(obs[card.label_key]) if card.label_key else None
    batch = obs[card.batch_key].astype(str).to_numpy() if card.batch_key else None
    n_clusters = options.n_clusters
    if n_clusters is None and labels is not None:
        n_clusters = len(set(labels) - {""})
        logger.info(f"clusters: {n_clusters}, the number of types in '{card.label_key}'")
    markers = None
    if options.markers is not None:
        if "markers" not in declared_inputs(method):
            raise UsageError(
                f"--markers: {method.name} does not use marker lists.", code="not_supported"
            )
        markers = read_markers(options.markers)
    given = {
        "n_clusters": n_clusters, "batch": batch, "markers": markers,
        "proteins": protein_counts(cells_of(data)),
    }  # fmt: skip
    for name, (what, how) in _NEEDED.items():
        if name in method.needs() and given[name] is None:
            raise UsageError(f"{method.name} needs {what}: {how}.", code="missing_input")
    check_graph_use(method, options.graph, "--graph")
    graph = find_cell_graph(cells_of(data), options.graph, "--graph")
    return FileInputs(dataset, data, labels, batch, n_clusters, markers, graph)
