"""scIMTA as a method of the harness: cells, genes and imputation together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from bench.contract import Context, DatasetInfo, Recipe, Search, log_normalized
from bench.seeds import derive_seed

from .graph_autoencoder import GraphAutoencoder
from .params import SurfingParameters

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData
    from torch import Tensor, nn

    from .cell_graph import Graph
    from .cell_model import CellData
    from .gene_graph import GeneGraph
    from .imputation import Imputation
    from .joint_model import JointModel
    from .training import SelfTraining

_GENE_CELLS = 25_000
"""The gene graph, communities and their interpretation are of up to so many cells."""
_IMPUTED = (("denoiser", ("alra", "deep")),)
_BY_RANK = (("denoiser", ("alra",)),)
_DEEP = (("denoiser", ("deep",)),)


@dataclass(frozen=True)
class _Sides:
    """What is found before training: residuals, gene graph, first communities, imputation."""

    cells: np.ndarray
    """Which cells the residuals are of: all, or a random part."""
    residuals: np.ndarray
    graph: GeneGraph
    modules: np.ndarray
    """Number of the first community of each gene, -1: takes no part."""
    imputation: Imputation | None


class ScIMTA(GraphAutoencoder):
    """Cells and genes as two graphs, explained together, with imputation (Yu et al. 2025).

    What the publication describes; its public code is :class:`.method.ScMGCA` and holds no genes.
    Every part the abstract and figure leave open is filled by a published technique: a gene graph
    of correlated Pearson residuals; a graph autoencoder of the genes whose codes meet those of the
    cells in the counts' likelihood; communities of genes that sharpen themselves as the cells'
    clusters do, with genes that belong to none; ALRA for the imputation, or an autoencoder under
    its thresholds. The objective is γ (cell graph + gene graph) + (1 - γ) (counts + restored
    values) plus both divergences.

    The imputation neither reaches the graphs nor the encoder: it is a result, and tells which
    zeros the reconstruction of log values must not be held to. Genes without a correlation beyond
    chance, or in modules of fewer than ``min_community`` genes, take no part in communities.
    """

    name = "scimta"
    summary = "graphs of cells and genes learned together, imputation, gene communities"
    reference = (
        "Yu et al. 2025, Interdisciplinary Sciences: Computational Life Sciences, "
        "doi 10.1007/s12539-025-00765-9"
    )

    class Params(SurfingParameters):
        """Parameters of scIMTA."""

        gamma: Annotated[float, Search(0.05, 0.9)] = Field(
            0.25, ge=0, le=1, description="weight of the graphs; the counts have 1 - gamma"
        )
        cluster_weight: Annotated[float, Search(0.1, 3.0, log=True)] = Field(
            0.5, ge=0, description="weight of the divergence of the cells' clusters"
        )
        community_weight: Annotated[float, Search(0.05, 2.0, log=True, zero=True)] = Field(
            0.5, ge=0, description="weight of the divergence of the genes' communities"
        )
        couple_genes: bool = Field(
            True, description="products of the codes of cells and genes explain the counts too"
        )
        gene_neighbors: Annotated[int, Search(5, 30)] = Field(
            10, ge=1, description="strongest correlations of a gene, at most"
        )
        gene_power: Annotated[float, Search(4, 12)] = Field(
            6.0, gt=0, le=30, description="power of (1 + correlation) / 2, the weight of an edge"
        )
        gene_rank: Annotated[int, Search(20, 100, log=True)] = Field(
            50, ge=1, le=1000, description="components of the residuals, at most"
        )
        gene_resolution: Annotated[float, Search(0.3, 3.0, log=True)] = Field(
            1.0, gt=0, description="resolution of the first communities (Leiden)"
        )
        min_community: int = Field(10, ge=2, description="genes of a community, at least")
        min_membership: float = Field(
            0.1, ge=0, le=1, description="correlation with the community's eigengene, at least"
        )
        denoiser: Literal["alra", "deep", "none"] = Field(
            "alra",
            description="imputation: low rank, or a Gaussian variational autoencoder under the "
            "same thresholds",
        )
        denoiser_epochs: int = Field(
            60, ge=1, le=1000, description="passes over all cells, denoiser=deep only"
        )
        beta: Annotated[float, Search(1e-3, 1.0, log=True, when=_DEEP)] = Field(
            0.1, ge=0, description="weight of the divergence of the codes, denoiser=deep only"
        )
        alra_quantile: Annotated[float, Search(1e-4, 1e-2, log=True, when=_IMPUTED)] = Field(
            1e-3, gt=0, lt=0.5, description="of a gene's low-rank values; tells its zeros' reach"
        )
        alra_threshold: Annotated[float, Search(3.0, 8.0, when=_BY_RANK)] = Field(
            6.0, gt=0, description="standard deviations of the gap that shows the rank"
        )
        zero_weight: Annotated[float, Search(0.01, 1.0, log=True, zero=True, when=_IMPUTED)] = (
            Field(0.1, ge=0, le=1, description="weight of biological zeros in restored values")
        )
        graph_loss: Literal["balanced"] = Field(
            "balanced", description="edges weigh as much as the other pairs"
        )
        expression_target: Literal["counts"] = Field(
            "counts", description="what the count decoder explains"
        )

        presets: ClassVar = {"quick": {"pretrain_epochs": 100, "max_epochs": 50}}

    params: Params
    imputation_: Imputation | None
    """After a fit: the imputed values and, from them, the zeros that count as biological."""

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised variable genes, not scaled: imputation must see zeros."""
        plain = log_normalized(info, n_top_genes=self.params.n_top_genes, scale=False)
        aware = self.params.batches != "ignored" and plain.n_top_features is not None
        return replace(plain, batch_aware=aware)

    def make_graph(self, adjacency: Any) -> Graph:
        """Return surfed neighbours, weighed by pointwise mutual information."""
        from .cell_graph import surfing_graph

        p = self.params
        most = p.n_neighbors**2 if self.in_parts(adjacency.shape[0]) else None
        return surfing_graph(
            adjacency, hops=p.hops, alpha=p.alpha, parity=p.published_graph, most=most
        )

    def head(self) -> type[nn.Module]:
        """Return the multinomial."""
        from .network import MultinomialHead

        return MultinomialHead

    def impute(self, data: AnnData) -> np.ndarray:
        """Return the imputed log-normalised values of the cells of the fit, (cells, genes).

        Expected counts with ``denoiser=none``. Raises ``DataError`` for other cells.
        """
        self.check_cells(data)
        if self.imputation_ is None:
            return super().impute(data)
        return self.imputation_.rows(slice(None))

    def build(self, data: AnnData, cells: CellData, context: Context) -> JointModel:
        """Return the network of cells and genes."""
        from .cell_graph import surfing_graph
        from .joint_model import GeneTensors, JointModel, RestorationTargets

        p = self.params
        self._sides = sides = self._find_sides(data, context)
        self.imputation_ = sides.imputation
        graph = surfing_graph(sides.graph.adjacency, hops=p.hops, alpha=p.alpha)
        genes = GeneTensors.of(sides.graph, graph, device=context.device)
        restored = None
        if sides.imputation is not None:
            restored = RestorationTargets(
                sides.imputation.observed, sides.imputation, p.zero_weight
            )
            cells.restored = restored
        return JointModel(cells, genes, p, restored)

    def views(self, codes: dict[str, Tensor], labels: Tensor) -> dict[str, SelfTraining]:
        """Return the clusters of the cells, and of the genes if there are communities."""
        import numpy as np
        import torch

        from .training import SelfTraining

        found = super().views(codes, labels)
        modules = self._sides.modules
        members = np.flatnonzero(modules >= 0)
        if len(members):
            device = codes["genes"].device
            found["genes"] = SelfTraining(
                codes["genes"], torch.from_numpy(modules[members]).to(device),
                self.params.community_weight, trainable=self.params.train_centres,
                members=torch.from_numpy(members).to(device),
            )  # fmt: skip
        return found

    def results(
        self, model: Any, codes: dict[str, Tensor], clusters: dict[str, SelfTraining],
        data: AnnData,
    ) -> dict[str, Any]:  # fmt: skip
        """Return also the tables ``genes``, ``gene_embedding`` and ``interpretation``.

        ``genes``: community, its share q, membership (correlation with the community's eigengene)
        and residual variance of each gene. ``interpretation``: see
        :func:`.interpret.interpretation`. With ``keep_graphs`` also ``gene_graph``.
        """
        import pandas as pd
        import torch

        from .cell_graph import edges
        from .interpret import eigengenes, interpretation

        found = super().results(model, codes, clusters, data)
        genes = codes["genes"]
        names = pd.Index(data.var_names, name="gene")
        units = [f"latent{number + 1}" for number in range(self.params.n_latent)]
        found["tables"]["gene_embedding"] = pd.DataFrame(genes.cpu().numpy(), names, units)
        community, table = self._communities(genes, clusters.get("genes"), names)
        found["tables"]["genes"] = table
        if self.params.keep_graphs:
            found["tables"]["gene_graph"] = edges(self._sides.graph.adjacency)
        n_communities = len(clusters["genes"].centres) if "genes" in clusters else 0
        eigen = eigengenes(self._sides.residuals, community, n_communities)
        affinity = torch.zeros(len(clusters["cells"].centres), n_communities)
        if n_communities:
            with torch.no_grad():
                affinity = model.affinity(clusters["cells"].centres, clusters["genes"].centres)
        of_cell = found["tables"]["assignment"].to_numpy().argmax(axis=1)[self._sides.cells]
        found["tables"]["interpretation"] = interpretation(
            eigen, of_cell, affinity.cpu().numpy(), table
        )
        found["notes"] |= self._side_notes(community, n_communities)
        return found

    def _find_sides(self, data: AnnData, context: Context) -> _Sides:
        import numpy as np
        import scipy.sparse as sp

        from .gene_graph import gene_graph, modules, pearson_residuals

        p = self.params
        cells = np.arange(data.n_obs)
        if len(cells) > _GENE_CELLS:
            random = np.random.default_rng(derive_seed(context.seed, "cells of gene graph"))
            cells = np.sort(random.permutation(len(cells))[:_GENE_CELLS])
        depth = np.asarray(data.obs["size_factor"], dtype=np.float64)[cells]
        residuals = pearson_residuals(sp.csr_matrix(data.layers["counts"])[cells], depth)
        graph = gene_graph(
            residuals, k=p.gene_neighbors, power=p.gene_power, max_rank=p.gene_rank,
            seed=context.seed,
        )  # fmt: skip
        first = modules(
            graph.adjacency, resolution=p.gene_resolution, smallest=p.min_community,
            seed=derive_seed(context.seed, "gene modules"),
        )  # fmt: skip
        imputation = self._imputation(sp.csr_matrix(data.X), context)
        return _Sides(cells, residuals, graph, first, imputation)

    def _imputation(self, values: sp.csr_matrix, context: Context) -> Imputation | None:
        from .denoiser import deep_imputation
        from .imputation import low_rank_imputation

        p = self.params
        if p.denoiser == "alra":
            return low_rank_imputation(
                values, seed=context.seed, quantile=p.alra_quantile, threshold=p.alra_threshold
            )
        if p.denoiser == "deep":
            return deep_imputation(
                values, context, epochs=p.denoiser_epochs, beta=p.beta,
                quantile=p.alra_quantile,
            )  # fmt: skip
        return None

    def _communities(
        self, codes: Tensor, training: SelfTraining | None, names: pd.Index
    ) -> tuple[np.ndarray, pd.DataFrame]:
        """Return the number of each gene's community, -1 for none, and the table of genes.

        None have genes that take no part, whose largest q is below 1.5 / communities, or whose
        membership is too low.
        """
        import numpy as np
        import pandas as pd
        import torch

        from .interpret import UNASSIGNED, eigengenes, membership

        sides = self._sides
        community, share = np.full(len(names), -1), np.full(len(names), np.nan)
        belongs = np.full(len(names), np.nan)
        if training is not None:
            with torch.no_grad():
                q = training.soft(codes).cpu().numpy()
            members = np.flatnonzero(sides.modules >= 0)
            share[members] = q.max(axis=1)
            sure = (share[members] >= 1.5 / q.shape[1]) | (q.shape[1] == 1)
            community[members[sure]] = q.argmax(axis=1)[sure]
            eigen = eigengenes(sides.residuals, community, q.shape[1])
            belongs = membership(sides.residuals, community, eigen)
            community[~(belongs >= self.params.min_membership)] = -1
        called = [f"community{number + 1}" if number >= 0 else UNASSIGNED for number in community]
        return community, pd.DataFrame(
            {"community": called, "share": share, "membership": belongs,
             "variance": sides.residuals.var(axis=0, dtype=np.float64)},
            names,
        )  # fmt: skip

    def _side_notes(self, community: np.ndarray, n_communities: int) -> dict[str, str]:
        assigned = int((community >= 0).sum())
        notes = {
            "communities": f"{len(set(community[community >= 0].tolist()))} of {n_communities} "
            f"modules, {assigned} of {len(community)} genes assigned",
            "gene components": str(self._sides.graph.rank),
        }
        if len(self._sides.cells) < len(self._names):
            notes["gene graph"] = f"of {len(self._sides.cells)} random cells"
        found = self._sides.imputation
        if found is not None and self.params.denoiser == "alra":
            how = "by the gap of singular values" if found.by_gap else "no gap, a guess"
            notes["imputation rank"] = f"{found.rank}, {how}"
        return notes
