"""Fit of scIMTA: cells, genes and imputation together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from bench.seeds import derive_seed

from ..nn.clusters import numbered
from .cell_graph import edges, surfing_graph
from .denoiser import deep_imputation
from .gene_graph import (
    UNASSIGNED,
    GeneGraph,
    eigengenes,
    gene_graph,
    gene_modules,
    interpretation,
    membership,
    pearson_residuals,
)
from .graph_fit import SurfedFit
from .imputation import Imputation, RestorationTargets, low_rank_imputation
from .joint_model import GeneTensors, JointModel
from .training import SelfTraining

if TYPE_CHECKING:
    from anndata import AnnData

    from bench.contract import Context, Fit

    from .cell_model import CellData
    from .params import ScIMTAParams

_GENE_CELLS = 25_000
"""Cells, at most, of the gene graph and the communities."""


class JointFit(SurfedFit):
    params: ScIMTAParams
    model: JointModel
    imputation: Imputation | None
    """Imputed values; their zeros count as biological."""
    gene_cells: np.ndarray
    """Cells of the residuals and of the gene graph: all, or a random part."""
    residuals: np.ndarray
    gene_graph: GeneGraph
    modules: np.ndarray
    """First community of each gene, -1 for none."""

    def impute(self, data: AnnData) -> np.ndarray:
        self.check_cells(data)
        if self.imputation is None:
            return self.expected_counts()
        return self.imputation.rows(slice(None))

    def impute_mask(self, data: AnnData) -> np.ndarray:
        """Return 1 for observed entries, 2 for filled zeros, 0 for zeros that stay, int8."""
        observed = sp.csr_matrix(data.layers["counts"]).toarray() > 0
        filled = self.impute(data) > 0
        return np.where(observed, 1, 2 * filled).astype(np.int8)

    def build(self, data: AnnData, cells: CellData, context: Context) -> JointModel:
        p = self.params
        self._learn_gene_graph(data, context)
        self.imputation = self._impute(sp.csr_matrix(data.X), context)
        graph = surfing_graph(self.gene_graph.adjacency, hops=p.hops, alpha=p.alpha)
        tensors = GeneTensors.of(
            self.gene_graph.features, graph, balanced=p.graph_loss == "balanced",
            device=context.device,
        )  # fmt: skip
        targets = None
        if self.imputation is not None:
            targets = RestorationTargets(self.imputation, p.zero_weight)
            cells.restored = targets
        return JointModel(cells, tensors, p, targets)

    def views(self, codes: dict[str, Tensor], labels: Tensor) -> dict[str, SelfTraining]:
        """Return the view of the cells and that of the communities of genes, if there are any."""
        views = super().views(codes, labels)
        modules = self.modules
        members = np.flatnonzero(modules >= 0)
        if len(members):
            device = codes["genes"].device
            views["genes"] = SelfTraining(
                codes["genes"], torch.from_numpy(modules[members]).to(device),
                self.params.community_weight, trainable=self.params.train_centres,
                members=torch.from_numpy(members).to(device),
            )  # fmt: skip
        return views

    def results(
        self, codes: dict[str, Tensor], clusters: dict[str, SelfTraining], data: AnnData
    ) -> Fit:
        """Return the fit with the tables ``genes``, ``gene_embedding`` and ``interpretation``.

        ``genes``: community, its share q, membership (correlation with the eigengene) and residual
        variance. With ``keep_graphs`` also ``gene_graph``.
        """
        fit = super().results(codes, clusters, data)
        names = pd.Index(data.var_names, name="gene")
        units = numbered("latent", self.params.n_latent)
        community, genes = self._communities(codes["genes"], clusters.get("genes"), names)
        fit.tables["gene_embedding"] = pd.DataFrame(codes["genes"].cpu().numpy(), names, units)
        fit.tables["genes"] = genes
        if self.params.keep_graphs:
            fit.tables["gene_graph"] = edges(self.gene_graph.adjacency)
        n_communities = len(clusters["genes"].centres) if "genes" in clusters else 0
        eigen = eigengenes(self.residuals, community, n_communities)
        affinity = torch.zeros(len(clusters["cells"].centres), n_communities)
        if n_communities:
            with torch.no_grad():
                affinity = self.model.affinity(
                    clusters["cells"].centres, clusters["genes"].centres
                )
        clusters_of_cells = fit.tables["assignment"].to_numpy().argmax(axis=1)
        fit.tables["interpretation"] = interpretation(
            eigen, clusters_of_cells[self.gene_cells], affinity.cpu().numpy(), genes
        )
        fit.notes |= self._gene_notes(community, n_communities)
        return fit

    def _learn_gene_graph(self, data: AnnData, context: Context) -> None:
        p = self.params
        cells = np.arange(data.n_obs)
        if len(cells) > _GENE_CELLS:
            random = np.random.default_rng(derive_seed(context.seed, "cells of gene graph"))
            cells = np.sort(random.permutation(len(cells))[:_GENE_CELLS])
        depth = np.asarray(data.obs["size_factor"], dtype=np.float64)[cells]
        counts = sp.csr_matrix(data.layers["counts"])[cells]
        self.gene_cells, self.residuals = cells, pearson_residuals(counts, depth)
        self.gene_graph = gene_graph(
            self.residuals, k=p.gene_neighbors, power=p.gene_power, max_rank=p.gene_rank,
            seed=context.seed,
        )  # fmt: skip
        self.modules = gene_modules(
            self.gene_graph.adjacency, resolution=p.gene_resolution, smallest=p.min_community,
            seed=derive_seed(context.seed, "gene modules"),
        )  # fmt: skip

    def _impute(self, values: sp.csr_matrix, context: Context) -> Imputation | None:
        p = self.params
        if p.denoiser == "alra":
            return low_rank_imputation(
                values, seed=context.seed, quantile=p.alra_quantile, threshold=p.alra_threshold
            )
        if p.denoiser == "deep":
            return deep_imputation(
                values, context, epochs=p.denoiser_epochs, beta=p.beta, quantile=p.alra_quantile
            )
        return None

    def _communities(
        self, codes: Tensor, training: SelfTraining | None, names: pd.Index
    ) -> tuple[np.ndarray, pd.DataFrame]:
        """Return the community of each gene, -1 for none, and the table of genes.

        Genes have none if their largest q is below 1.5 / communities or their membership
        below ``min_membership``.
        """
        modules, residuals = self.modules, self.residuals
        community, share = np.full(len(names), -1), np.full(len(names), np.nan)
        correlation = np.full(len(names), np.nan)
        if training is not None:
            with torch.no_grad():
                q = training.soft(codes).cpu().numpy()
            members = np.flatnonzero(modules >= 0)
            share[members] = q.max(axis=1)
            certain = (share[members] >= 1.5 / q.shape[1]) | (q.shape[1] == 1)
            community[members[certain]] = q.argmax(axis=1)[certain]
            eigen = eigengenes(residuals, community, q.shape[1])
            correlation = membership(residuals, community, eigen)
            community[~(correlation >= self.params.min_membership)] = -1
        labels = [f"community{number + 1}" if number >= 0 else UNASSIGNED for number in community]
        return community, pd.DataFrame(
            {"community": labels, "share": share, "membership": correlation,
             "variance": residuals.var(axis=0, dtype=np.float64)},
            names,
        )  # fmt: skip

    def _gene_notes(self, community: np.ndarray, n_communities: int) -> dict[str, str]:
        assigned = int((community >= 0).sum())
        notes = {
            "communities": f"{len(set(community[community >= 0].tolist()))} of {n_communities} "
            f"modules, {assigned} of {len(community)} genes assigned",
            "gene components": str(self.gene_graph.rank),
        }
        if len(self.gene_cells) < len(self.obs_names):
            notes["gene graph"] = f"of {len(self.gene_cells)} random cells"
        if self.imputation is not None and self.params.denoiser == "alra":
            how = "by the gap of singular values" if self.imputation.by_gap else "no gap, a guess"
            notes["imputation rank"] = f"{self.imputation.rank}, {how}"
        return notes
