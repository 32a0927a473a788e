"""Weighted nearest neighbours of paired data, by muon."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import Context, Fit, Search

from ._paired_baseline import PairedBaseline

if TYPE_CHECKING:
    from mudata import MuData


class WNN(PairedBaseline):
    """Eigenvectors of the weighted-nearest-neighbour graph.

    Scores of ``pca`` and ``lsi``, in unit rows, give a graph of each modality.
    ``muon.pp.neighbors`` weighs both by how well neighbours in one predict the cell in the other.
    Eigenvectors are scaled so that distances follow the commute time of a random walk (Qiu and
    Hancock 2007, doi:10.1109/TPAMI.2007.1103). ``wnn_leiden`` are Leiden clusters on the graph.
    New cells are not in the graph: there is no ``transform``. muon
    compiles its metric anew in each fit, which takes a minute or two.
    """

    name = "wnn"
    summary = "weighted nearest neighbours (muon), eigenvectors of the graph"
    reference = (
        "Hao et al. 2021, Cell 184:3573, doi 10.1016/j.cell.2021.04.048; muon: Bredikhin, Kats "
        "and Stegle 2022, Genome Biology 23:42, doi 10.1186/s13059-021-02577-8"
    )
    requires = ("muon",)
    install = "pip install muon"

    cost = "heavy"

    class Params(PairedBaseline.Params):
        """Parameters of the graph and of its embedding."""

        n_neighbors: Annotated[int, Search(10, 50, log=True)] = Field(
            20, ge=2, description="neighbours of a cell, in each modality and in both"
        )
        n_eigenvectors: Annotated[int, Search(5, 50, log=True)] = Field(
            20, ge=1, description="dimensions of the embedding"
        )
        resolution: float = Field(1.0, gt=0, description="resolution of Leiden on the graph")

    params: Params

    def fit(self, data: MuData, context: Context) -> Fit:
        """Return the eigenvectors, (cells, n_eigenvectors), and the communities of the graph."""
        from ._neighbor_graph import fit_graph

        rna, atac, n_parameters = self.fit_parts(data, context)
        fit = fit_graph({"rna": rna, "atac": atac}, self.params, context.seed)
        fit.tables["modality_weights"].index = data.obs_names
        return replace(fit, n_parameters=n_parameters)
