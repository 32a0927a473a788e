"""Weighted nearest neighbours of paired data, by muon."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import Context, Fit, Search
from bench.seeds import derive_seed

from ._paired_baseline import PairedBaseline

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from mudata import MuData


_SMALLEST_GAP = 1e-3
"""Smallest eigenvalue of the Laplacian that is told from zero."""


class WNN(PairedBaseline):
    """The weighted-nearest-neighbour graph, embedded by the eigenvectors of its Laplacian.

    Scores of ``pca`` and ``lsi``, each cell's scaled to length one, give a neighbour graph of each
    modality; ``muon.pp.neighbors`` weighs the two for each cell by how well neighbours in one
    modality predict the cell in the other. The method ends in a graph, while the harness clusters
    coordinates: they are eigenvectors of the graph's Laplacian, scaled so that distances follow
    the commute time of a random walk (Qiu and Hancock 2007, doi:10.1109/TPAMI.2007.1103).
    ``wnn_leiden``, clusters of the method's own, are those of Leiden on the graph itself. New
    cells have no place in the graph: it is fitted on all, and has no answer to tasks on unseen
    cells.
    """

    name = "wnn"
    summary = "weighted nearest neighbours (muon), eigenvectors of the graph"
    reference = (
        "Hao et al. 2021, Cell 184:3573, doi 10.1016/j.cell.2021.04.048; muon: Bredikhin, Kats "
        "and Stegle 2022, Genome Biology 23:42, doi 10.1186/s13059-021-02577-8"
    )
    requires = ("muon",)
    install = "pip install muon"

    class Params(PairedBaseline.Params):
        """Parameters of the graph and of its embedding."""

        n_neighbors: Annotated[int, Search(10, 50, log=True)] = Field(
            20, ge=2, description="neighbours of a cell, in each modality and in both"
        )
        n_eigenvectors: Annotated[int, Search(5, 50, log=True)] = Field(
            20, ge=1, description="dimensions of the embedding"
        )
        resolution: float = Field(1.0, gt=0, description="of Leiden on the graph")

    params: Params

    def fit(self, data: MuData, context: Context) -> Fit:
        """Return the eigenvectors, (cells, n_eigenvectors), and the clusters of the graph."""
        import pandas as pd

        rna, atac, n_parameters = self.new_halves().fit(data, context)
        graph, weights = self._graph({"rna": rna, "atac": atac}, context.seed)
        embedding = eigenmap(graph, self.params.n_eigenvectors, derive_seed(context.seed, "eigenmap"))
        labels = graph_leiden(graph, self.params.resolution, derive_seed(context.seed, "leiden"))
        return Fit(
            embedding,
            labels={"wnn_leiden": labels},
            tables={"modality_weights": pd.DataFrame(weights, data.obs_names)},
            n_parameters=n_parameters,
            notes={"mean weight of RNA": f"{weights['rna'].mean():.2f}"},
        )

    def _graph(
        self, scores: dict[str, np.ndarray], seed: int
    ) -> tuple[sp.csr_matrix, dict[str, np.ndarray]]:
        """Return the symmetric graph, cells × cells, and the weight of each modality."""
        import muon
        import numpy as np
        import scanpy as sc
        import scipy.sparse as sp
        from anndata import AnnData
        from mudata import MuData
        from sklearn.preprocessing import normalize

        state = derive_seed(seed, "wnn")
        n_cells = len(scores["rna"])
        k = min(self.params.n_neighbors, max(2, n_cells // 3))
        parts = {part: AnnData(normalize(block)) for part, block in scores.items()}
        with global_states_kept(state):
            for adata in parts.values():
                sc.pp.neighbors(adata, n_neighbors=k, use_rep="X", random_state=state)
            both = MuData(parts)
            muon.pp.neighbors(
                both, n_neighbors=k, n_bandwidth_neighbors=min(20, n_cells - 1),
                n_multineighbors=min(200, n_cells - 2), random_state=state,
            )  # fmt: skip
        weights = {part: both.obs[f"{part}:mod_weight"].to_numpy() for part in scores}
        graph = sp.csr_matrix(both.obsp["connectivities"])
        return sp.csr_matrix(graph.maximum(graph.T)), {
            part: np.asarray(values, dtype=np.float64) for part, values in weights.items()
        }


@contextlib.contextmanager
def global_states_kept(seed: int) -> Iterator[None]:
    """Seed the global random states for libraries that draw from them, and put them back."""
    import random

    import numpy as np

    kept = random.getstate(), np.random.get_state()  # noqa: NPY002 - it is what they use
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002


def eigenmap(graph: sp.csr_matrix, n: int, seed: int) -> np.ndarray:
    """Return commute-time coordinates of a graph from ``n`` eigenvectors, cells × n.

    Columns are eigenvectors of the random walk, without the constant first one, times
    sqrt(volume / (1 - eigenvalue)): with all of them the squared distance of two cells is the
    time that a random walk takes from one to the other and back (Qiu and Hancock
    2007). Unscaled, the many local eigenvectors would count as much as the few that tell groups
    apart. Parts of the graph that are not connected are held at a finite distance.
    """
    import numpy as np
    import scipy.sparse as sp
    from scipy.sparse.linalg import eigsh

    n_cells = graph.shape[0]
    degree = np.maximum(np.asarray(graph.sum(axis=0)).ravel(), 1e-12)
    root = sp.diags(1.0 / np.sqrt(degree))
    start = np.random.default_rng(seed).standard_normal(n_cells)
    wanted = min(n + 1, n_cells - 1)
    values, vectors = eigsh(root @ graph @ root, k=wanted, which="LA", v0=start)
    order = np.argsort(-values)[1:]
    scale = np.sqrt(degree.sum() / np.maximum(1.0 - values[order], _SMALLEST_GAP))
    found = vectors[:, order] / np.sqrt(degree)[:, None] * scale
    # An eigenvector has no sign of its own: its largest entry is positive.
    peak = np.abs(found).argmax(axis=0)
    found *= np.where(found[peak, np.arange(found.shape[1])] < 0, -1.0, 1.0)
    return np.asarray(found, dtype=np.float32)


def graph_leiden(graph: sp.csr_matrix, resolution: float, seed: int) -> np.ndarray:
    """Return the communities of a weighted graph (Traag et al. 2019), shape (cells,)."""
    import random

    import igraph
    import numpy as np
    import scipy.sparse as sp

    upper = sp.triu(graph, k=1).tocoo()
    network = igraph.Graph(n=graph.shape[0], edges=np.column_stack((upper.row, upper.col)))
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = network.community_leiden(
            objective_function="modularity", weights=upper.data, resolution=resolution,
            n_iterations=2,
        )  # fmt: skip
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(found.membership, dtype=np.int64)
