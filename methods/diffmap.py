"""Diffusion map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import Context, Fit, Search
from bench.seeds import derive_seed

from ._preparations import LikePCA

if TYPE_CHECKING:
    from anndata import AnnData


class DiffusionMap(LikePCA):
    """Diffusion components of exact neighbours in principal components, by scanpy.

    A Gaussian kernel whose width is the distance to a cell's neighbours, corrected for density
    (Haghverdi et al. 2016). The first eigenvector, which is the density, is left out; the others
    are multiplied by λ / (1 - λ), so that distances sum over walks of all lengths. New cells are
    not in the graph: there is no ``transform``.
    """

    name = "diffmap"
    summary = "diffusion map of the neighbours of principal components"
    reference = (
        "Coifman et al. 2005, PNAS 102:7426, doi 10.1073/pnas.0500334102; for cells: Haghverdi et "
        "al. 2016, Nature Methods 13:845, doi 10.1038/nmeth.3971"
    )

    class Params(LikePCA.Params):
        """Parameters of graph and map."""

        n_neighbors: Annotated[int, Search(5, 50, log=True)] = Field(
            15, ge=2, description="neighbours of a cell, itself included"
        )
        n_diffusion: Annotated[int, Search(5, 50, log=True)] = Field(
            15, ge=1, description="diffusion components (at most cells minus three)"
        )

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the diffusion components, (cells, n_diffusion)."""
        import scanpy as sc
        from anndata import AnnData

        p = self.params
        cells = AnnData(self.components(data.X, context))
        n_neighbors = min(p.n_neighbors, data.n_obs - 1)
        sc.pp.neighbors(cells, n_neighbors, use_rep="X", method="gauss", transformer="sklearn")
        n_comps = min(p.n_diffusion, data.n_obs - 3) + 1
        sc.tl.diffmap(cells, n_comps=n_comps, random_state=derive_seed(context.seed, "diffmap"))
        eigenvalues = cells.uns["diffmap_evals"][1:].astype("float64")
        # Parts of a graph that are not connected have an eigenvalue of 1.
        scale = eigenvalues / (1 - eigenvalues).clip(1e-3)
        return Fit((cells.obsm["X_diffmap"][:, 1:] * scale).astype("float32"))
