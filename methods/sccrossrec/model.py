"""Fitted scCrossRec: embedding, matching, translation and links."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from . import calibration, training
from .attention import AttentionRules
from .cell_graphs import (
    CellGraphs,
    encode_scores,
    fragments,
    log_relative_counts,
)
from .evidence import Evidence, Profiles
from .genome_sites import GenomeSites, candidate_pairs, to_csr
from .network import BipartiteNetwork, Nodes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData
    from torch import Tensor

    from .params import ScCrossRecParameters

_SMALLEST_LISTED = 1e-3
"""Smallest weight of a listed link."""


@dataclass
class FittedModel:
    """State of a fit; features are in the order of the training data."""

    params: ScCrossRecParameters
    features: dict[str, list[str]]
    """Names of genes (``rna``) and peaks (``atac``)."""
    sites: GenomeSites
    network: BipartiteNetwork
    idf: np.ndarray
    rate: np.ndarray
    """Share of training cells in which each gene is detected."""
    evidence: Evidence | None = None
    blend: np.ndarray = field(default_factory=lambda: np.array([0.0, 1.0, 0.0]))
    """Constant and weights of network and evidence in the matching score."""
    slopes: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0]))
    """Log odds of detection per expected expression and per log depth."""
    device: str = "cpu"

    def graphs(self, rna: sp.csr_matrix, peaks: sp.csr_matrix) -> CellGraphs:
        """Return the graphs of cells, with link scores for the attention."""
        return CellGraphs(
            rna, peaks, by_value=self.params.normalize, idf=self.idf, device=self.device,
            scores=_pair_scores(self.params, self.sites, self.evidence),
        )  # fmt: skip

    def embed(self, data: MuData) -> np.ndarray:
        """Return coordinates among the states, or pooled genes and peaks."""
        if self.evidence is not None and self.params.embedding == "states":
            return self.evidence.coordinates(read_profiles(data["rna"], data["atac"]))
        graphs = self.graphs(to_csr(data["rna"].X), to_csr(data["atac"].X))
        return training.cell_pools(self.network, graphs, right_pairs(np.arange(data.n_obs)))

    def match(self, data: MuData, rna_cells: np.ndarray, atac_cells: np.ndarray) -> np.ndarray:
        """Return the log odds that RNA and ATAC are of one cell, (pairs,)."""
        pairs = np.column_stack([rna_cells, atac_cells]).astype(np.int64)
        score = np.full(len(pairs), self.blend[0])
        if self.blend[1]:
            graphs = self.graphs(to_csr(data["rna"].X), to_csr(data["atac"].X))
            score += self.blend[1] * self.network_log_odds(graphs, pairs)
        if self.evidence is not None:
            profiles = read_profiles(data["rna"], data["atac"])
            score += self.blend[2] * self.evidence.log_odds(profiles, pairs)
        return score

    def network_log_odds(self, graphs: CellGraphs, pairs: np.ndarray) -> np.ndarray:
        """Return the network's log odds of pairs."""
        logits = training.matching_logits(self.network, graphs, pairs)
        odds: np.ndarray = (logits[:, 1] - logits[:, 0]).cpu().numpy().astype(np.float64)
        return odds

    def translate(self, atac: AnnData, rna: AnnData | None = None) -> np.ndarray:
        """Return log odds that each gene is detected, (cells, genes).

        Without links: the published soft count of open peaks, which ignores ``rna``.
        """
        if self.evidence is not None:
            peaks = fragments(atac)
            counts = None if rna is None else to_csr(rna.layers["counts"])
            expected = self.evidence.expected_expression(peaks, counts)
            depth = self.evidence.links.depth(peaks)
            return calibration.detection_log_odds(self.rate, self.slopes, expected, depth)
        peaks = to_csr(atac.X)
        no_genes = sp.csr_matrix((peaks.shape[0], len(self.rate)), dtype=np.float32)
        graphs = self.graphs(no_genes, peaks)
        with torch.no_grad():
            rows = [
                self.network.translate(graphs.graph(cell, cell), hard=False, threshold=0.0)
                for cell in range(peaks.shape[0])
            ]
        return torch.stack(rows).cpu().numpy()

    def link_weights(self, data: MuData) -> sp.csr_matrix:
        """Return the weight of each link, genes × peaks.

        A weight is the gate of a pair whose gene and peak are detected in any cell; without gates
        it is the mean attention.
        """
        rna, peaks = to_csr(data["rna"].X), to_csr(data["atac"].X)
        if self.evidence is None:
            return _mean_attention(self.network, self.graphs(rna, peaks))
        opened = np.asarray((peaks > 0).sum(axis=0)).ravel() > 0
        detected = np.asarray((rna > 0).sum(axis=0)).ravel() > 0
        gates = self.evidence.links.gate_matrix()
        return sp.csr_matrix(sp.diags_array(detected * 1.0) @ gates @ sp.diags_array(opened * 1.0))

    def link_table(self, data: MuData) -> pd.DataFrame:
        """Return ``gene``, ``peak`` and ``weight`` of links above 0.001."""
        links = self.link_weights(data).tocoo()
        listed = links.data > _SMALLEST_LISTED
        genes, peaks = (pd.Index(self.features[part]) for part in ("rna", "atac"))
        return pd.DataFrame({
            "gene": genes[links.row[listed]], "peak": peaks[links.col[listed]],
            "weight": links.data[listed],
        })  # fmt: skip

    def save(self, path: Path) -> None:
        state = {
            "features": self.features, "sites": asdict(self.sites), "idf": self.idf,
            "rate": self.rate, "blend": self.blend, "slopes": self.slopes,
            "evidence": asdict(self.evidence) if self.evidence else None,
            "network": {name: one.cpu() for name, one in self.network.state_dict().items()},
        }  # fmt: skip
        torch.save(_map_leaves(_to_tensor, state), path)

    @classmethod
    def load(cls, path: Path, params: ScCrossRecParameters) -> FittedModel:
        state = torch.load(path, weights_only=True, map_location="cpu")
        weights = state.pop("network")
        state = _map_leaves(_to_array, state)
        sites, evidence = GenomeSites(**state.pop("sites")), state.pop("evidence")
        network = build_network(
            params, sites, weights["genes.static"], weights["peaks.static"],
            weights.get("peaks.codes"),
        )  # fmt: skip
        network.load_state_dict(weights)
        network.eval()
        if evidence is not None:
            evidence = Evidence.from_dict(evidence)
        return cls(params, sites=sites, network=network, evidence=evidence, **state)


def read_profiles(rna: AnnData, atac: AnnData) -> Profiles:
    """Return the matrices for the evidence."""
    return Profiles(to_csr(rna.layers["counts"]), log_relative_counts(rna), fragments(atac))


def right_pairs(cells: np.ndarray) -> np.ndarray:
    return np.column_stack([cells, cells])


def build_network(
    p: ScCrossRecParameters, sites: GenomeSites, gene_static: Tensor, peak_static: Tensor,
    codes: Tensor | None,
) -> BipartiteNetwork:  # fmt: skip
    """Return the untrained network; ``codes``: bases of the peaks."""
    genes = Nodes(gene_static, None, p.id_dim, p.hidden, sparse=p.sparse)
    peaks = Nodes(peak_static, codes, p.id_dim, p.hidden, sparse=p.sparse)
    rules = AttentionRules(
        p.top_k, p.edge_threshold, sigmoid=p.attn_norm == "faithful_sigmoid",
        fill=p.mask_mode == "multiply",
    )  # fmt: skip
    return BipartiteNetwork(
        genes, peaks, p.hidden, p.dropout, rules, torch.from_numpy(sites.gene_chrom),
        torch.from_numpy(sites.peak_chrom),
    )  # fmt: skip


def _pair_scores(
    p: ScCrossRecParameters, sites: GenomeSites, evidence: Evidence | None
) -> sp.csr_matrix | None:  # fmt: skip
    """Return scores to add to pairs; ``None`` if chromosomes alone decide."""
    n_peaks = len(sites.peak_chrom)
    if evidence is not None:
        links = evidence.links
        return encode_scores(links.pairs.to_matrix(links.score, n_peaks))
    if p.mask_mode == "distance_kb" and sites.positions() is not None:
        pairs = candidate_pairs(sites, p.distance_kb * 1000)
        return encode_scores(pairs.to_matrix(np.zeros(len(pairs)), n_peaks))
    return None


def _map_leaves(function: Callable[[Any], Any], state: Any) -> Any:
    """Apply a function to all values of nested dictionaries and lists."""
    if isinstance(state, dict):
        return {name: _map_leaves(function, one) for name, one in state.items()}
    if isinstance(state, list):
        return [_map_leaves(function, one) for one in state]
    return function(state)


def _to_tensor(value: Any) -> Any:
    is_array = isinstance(value, np.ndarray)
    return torch.from_numpy(np.ascontiguousarray(value)) if is_array else value


def _to_array(value: Any) -> Any:
    return value.numpy() if isinstance(value, torch.Tensor) else value


def _mean_attention(network: BipartiteNetwork, graphs: CellGraphs) -> sp.csr_matrix:
    """Return the mean attention of genes to peaks over the cells."""
    shape = (graphs.rna.shape[1], graphs.peaks.shape[1])
    total = sp.csr_matrix(shape)
    network.eval()
    for cell in range(len(graphs)):
        graph = graphs.graph(cell, cell)
        if not len(graph.genes) or not len(graph.peaks):
            continue
        with torch.no_grad():
            maps = network.genes(graph.genes), network.peaks(graph.peaks)
            attention = network.attention(graph, *network.with_values(graph, *maps))
        gene, slot = (attention.weight > 0).nonzero(as_tuple=True)
        weight = attention.weight[gene, slot].cpu().numpy()
        peaks = graph.peaks[attention.peak[gene, slot]].cpu().numpy()
        total += sp.csr_matrix((weight, (graph.genes[gene].cpu().numpy(), peaks)), shape=shape)
    return total / max(1, len(graphs))
