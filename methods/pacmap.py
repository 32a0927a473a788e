"""PaCMAP of principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import Context, Fit, Search
from bench.seeds import derive_seed

from ._preparations import LikePCA

if TYPE_CHECKING:
    from anndata import AnnData


class PaCMAP(LikePCA):
    """Pairwise controlled manifold approximation (Wang et al. 2021) of principal components.

    Meant for figures, like ``pca_umap``.
    """

    name = "pacmap"
    summary = "PaCMAP of principal components"
    reference = "Wang et al. 2021, JMLR 22(201):1"
    cost = "heavy"
    requires = ("pacmap",)
    install = "pip install 'aebench[pacmap]'"

    class Params(LikePCA.Params):
        """Parameters of components and map."""

        n_pacmap: int = Field(2, ge=2, le=50, description="dimensions of the map")
        n_neighbors: Annotated[int, Search(5, 50, log=True)] = Field(
            10, ge=2, description="neighbours of a cell"
        )
        mid_near_ratio: float = Field(
            0.5, ge=0, description="pairs of middle distance a neighbour"
        )
        further_ratio: float = Field(2.0, gt=0, description="far pairs a neighbour")

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the map, (cells, n_pacmap)."""
        import pacmap

        from ._global_generators import seed_global_generators

        p, seed = self.params, derive_seed(context.seed, "pacmap")
        with seed_global_generators(seed):
            model = pacmap.PaCMAP(
                n_components=p.n_pacmap, n_neighbors=min(p.n_neighbors, (data.n_obs - 1) // 4),
                MN_ratio=p.mid_near_ratio, FP_ratio=p.further_ratio, random_state=seed,
            )  # fmt: skip
            embedding = model.fit_transform(self.components(data.X, context))
        return Fit(embedding.astype("float32"))
