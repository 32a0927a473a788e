"""UMAP of principal components: meant for figures, but often clustered."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import ATAC, RNA, Context, DatasetInfo, Fit, Method, Recipe, Search
from bench.seeds import derive_seed

from .pca import PrincipalComponents, decompose

if TYPE_CHECKING:
    from anndata import AnnData


class PCAUMAP(Method):
    """UMAP (McInnes et al. 2018) of the principal components; neighbours are exact."""

    name = "pca_umap"
    summary = "UMAP of principal components"
    reference = "McInnes, Healy and Melville 2018, doi 10.48550/arXiv.1802.03426"
    modalities = frozenset({RNA, ATAC})
    family = "baseline"
    cost = "heavy"
    requires = ("umap",)
    install = "pip install umap-learn"

    class Params(PrincipalComponents.Params):
        """Parameters of both steps."""

        n_umap: int = Field(2, ge=2, le=50, description="dimensions of the UMAP")
        n_neighbors: Annotated[int, Search(5, 50, log=True)] = Field(
            15, ge=2, description="neighbours of a cell, itself included"
        )
        min_dist: Annotated[float, Search(0.0, 0.8)] = Field(
            0.1, ge=0, le=1, description="smallest distance of two points in the UMAP"
        )

    params: Params

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return the preparation of ``pca``."""
        return PrincipalComponents(self.params).recipe(info)

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the UMAP, (cells, n_umap)."""
        import umap
        from sklearn.neighbors import NearestNeighbors

        _, scores = decompose(data.X, self.params.n_components, context.seed)
        n_neighbors = min(self.params.n_neighbors, data.n_obs - 1)
        search = NearestNeighbors(n_neighbors=n_neighbors).fit(scores)
        distances, indices = search.kneighbors(scores)
        model = umap.UMAP(
            n_components=self.params.n_umap,
            n_neighbors=n_neighbors,
            min_dist=self.params.min_dist,
            # Exact neighbours; umap-learn would compile its own search for a minute.
            precomputed_knn=(indices, distances.astype("float32")),
            random_state=derive_seed(context.seed, "umap"),
            n_jobs=1,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)  # no transform here
            embedding = model.fit_transform(scores)
        return Fit(embedding.astype("float32"))
