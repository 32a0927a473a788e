"""Weighted nearest neighbours of paired data, by muon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.method import MULTIOME, Context, Fit, Method
from bench.parameters import Parameters, Search
from bench.seeds import derive

from ._halves import Halves

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from mudata import MuData

    from bench.recipe import PairedInfo, PairedRecipe


class WNN(Method):
    """The weighted-nearest-neighbour graph, embedded by the eigenvectors of its Laplacian.

    Scores of ``pca`` and ``lsi``, each cell's scaled to length one, give a neighbour graph of each
    modality; ``muon.pp.neighbors`` weighs the two for each cell by how well neighbours in one
    modality predict the cell in the other. The method ends in a graph, while the harness clusters
    coordinates: they are Laplacian eigenmaps of the graph (Belkin and Niyogi 2003,
    doi:10.1162/089976603321780317), without the constant first one. ``wnn_leiden``, clusters of
    the method's own, are those of Leiden on the graph itself. New cells have no place in the
    graph: it is fitted on all, and has no answer to tasks on unseen cells.
    """

    name = "wnn"
    summary = "weighted nearest neighbours (muon), Laplacian eigenmaps of the graph"
    reference = (
        "Hao et al. 2021, Cell 184:3573, doi 10.1016/j.cell.2021.04.048; muon: Bredikhin, Kats "
        "and Stegle 2022, Genome Biology 23:42, doi 10.1186/s13059-021-02577-8"
    )
    modalities = frozenset({MULTIOME})
    family = "baseline"
    requires = ("muon",)
    install = "pip install muon"

    class Params(Parameters):
        """Parameters of the graph and of its embedding."""

        n_components: Annotated[int, Search(10, 100, log=True)] = Field(
            50, ge=1, description="components kept of each modality"
        )
        n_neighbors: Annotated[int, Search(10, 50, log=True)] = Field(
            20, ge=2, description="neighbours of a cell, in each modality and in both"
        )
        n_eigenvectors: Annotated[int, Search(5, 50, log=True)] = Field(
            20, ge=1, description="dimensions of the embedding"
        )
        resolution: float = Field(1.0, gt=0, description="of Leiden on the graph")
        n_top_genes: int = Field(2000, ge=10, description="variable genes kept")

    params: Params

    def recipe(self, info: PairedInfo) -> PairedRecipe:  # type: ignore[override]
        """Return variable genes as for ``pca`` and peaks as for ``lsi``."""
        return self._new_halves().recipe(info)

    def _new_halves(self) -> Halves:
        return Halves(self.params.n_components, self.params.n_top_genes)

    def fit(self, data: MuData, context: Context) -> Fit:
        """Return the eigenvectors, (cells, n_eigenvectors), and the clusters of the graph."""
        import pandas as pd

        rna, atac, n_parameters = self._new_halves().fit(data, context)
        graph, weights = self._graph({"rna": rna, "atac": atac}, context.seed)
        embedding = eigenmap(graph, self.params.n_eigenvectors, derive(context.seed, "eigenmap"))
        labels = graph_leiden(graph, self.params.resolution, derive(context.seed, "leiden"))
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

        state = derive(seed, "wnn")
        n_cells = len(scores["rna"])
        k = min(self.params.n_neighbors, max(2, n_cells // 3))
        parts = {part: AnnData(normalize(block)) for part, block in scores.items()}
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


def eigenmap(graph: sp.csr_matrix, n: int, seed: int) -> np.ndarray:
    """Return the ``n`` eigenvectors after the first of the normalised Laplacian, cells × n."""
    import numpy as np
    from sklearn.manifold import spectral_embedding

    n = min(n, graph.shape[0] - 2)
    return np.asarray(
        spectral_embedding(
            graph, n_components=n, eigen_solver="arpack", random_state=seed, drop_first=True
        ),
        dtype=np.float32,
    )


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
