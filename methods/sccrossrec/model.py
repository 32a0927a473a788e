"""A fitted scCrossRec: made from data, asked for embeddings, matches, translations and links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from bench.contract import Context
from bench.seeds import derive_seed

from ..nn.train import seeded
from . import calibration, training
from . import node_features as features
from . import state_mixture as states
from .attention import Rules
from .cell_graphs import (
    Cells,
    Chromatin,
    fragments,
    opened,
    relative,
    stored_scores,
    svd_start,
    values,
)
from .evidence import Evidence, Profiles, Settings
from .genome_sites import Sites, candidates, csr, sites_of
from .negatives import wrong_pairs
from .network import Network, Nodes
from .params import CrossParameters

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_LSI = 10


@dataclass
class Model:
    """What a fit leaves behind; arrays of features are in the order of the training data."""

    params: CrossParameters
    sites: Sites
    network: Network
    chromatin: Chromatin
    evidence: Evidence | None
    rate: np.ndarray
    """Share of the training cells in which each gene is detected."""
    blend: np.ndarray = field(default_factory=lambda: np.array([0.0, 1.0, 0.0]))
    """Constant, weight of the network's logit and of the evidence in the matching score."""
    slopes: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0]))
    """Log odds of detection per unit of expected expression, and of the chromatin's log depth."""
    trained: str = ""
    device: str = "cpu"

    def cells(self, rna: sp.csr_matrix, peaks: sp.csr_matrix) -> Cells:
        """Return cells with the scores that steer the attention."""
        return Cells(
            rna, peaks, by_value=self.params.normalize, idf=self.chromatin.idf,
            device=self.device, scores=_scores(self.params, self.sites, self.evidence),
        )  # fmt: skip

    def embed(self, data: MuData) -> np.ndarray:
        """Return where each cell lies among the states, or its pooled genes and pooled peaks."""
        if self.evidence is not None and self.params.embedding == "states":
            return self.evidence.coordinates(profiles(data["rna"], data["atac"]))
        cells = self.cells(values(data["rna"]), values(data["atac"]))
        return training.pools_of(self.network, cells, _own(np.arange(data.n_obs)))

    def match(self, data: MuData, rna_cells: np.ndarray, atac_cells: np.ndarray) -> np.ndarray:
        """Return the log odds that RNA and ATAC are of one cell, (pairs,)."""
        pairs = np.column_stack([rna_cells, atac_cells]).astype(np.int64)
        score = np.full(len(pairs), self.blend[0])
        if self.blend[1]:
            cells = self.cells(values(data["rna"]), values(data["atac"]))
            score += self.blend[1] * _log_odds(training.logits_of(self.network, cells, pairs))
        if self.evidence is not None:
            score += self.blend[2] * self.evidence(profiles(data["rna"], data["atac"]), pairs)
        return score

    def translate(self, atac: AnnData, rna: AnnData | None = None) -> np.ndarray:
        """Return log odds that each gene is detected, (cells, genes).

        Without links the published soft count of open peaks, which ``rna`` does not change.
        """
        if self.evidence is not None:
            peaks = fragments(atac)
            counts = None if rna is None else csr(rna.layers["counts"])
            expected = self.evidence.expected(peaks, counts)
            return calibration.detection(
                self.rate, self.slopes, expected, self.evidence.links.depth(peaks)
            )
        peaks = values(atac)
        genes = sp.csr_matrix((peaks.shape[0], len(self.rate)), dtype=np.float32)
        cells = self.cells(genes, peaks)
        with torch.no_grad():
            rows = [
                self.network.translate(cells.graph(cell, cell), hard=False, threshold=0.0)
                for cell in range(peaks.shape[0])
            ]
        return torch.stack(rows).cpu().numpy()

    def regulation(self, data: MuData) -> sp.csr_matrix:
        """Return how strongly each peak is linked to each gene, genes × peaks, sparse.

        With links the gates of peaks open in any of the cells, which do not follow how often a
        peak is open; without, the sum of the attention over the cells, divided by their number.
        """
        rna, peaks = values(data["rna"]), values(data["atac"])
        if self.evidence is not None:
            seen = np.asarray((peaks > 0).sum(axis=0)).ravel() > 0
            on = np.asarray((rna > 0).sum(axis=0)).ravel() > 0
            gates = self.evidence.links.matrix()
            return sp.csr_matrix(sp.diags_array(on * 1.0) @ gates @ sp.diags_array(seen * 1.0))
        return _summed_attention(self.network, self.cells(rna, peaks))

    def state(self) -> dict[str, Any]:
        """Return everything as tensors, numbers and strings."""
        kept: dict[str, Any] = {
            "network": {name: one.cpu() for name, one in self.network.state_dict().items()},
            "chromosomes": list(self.sites.names), "trained": self.trained,
        }  # fmt: skip
        arrays = {
            "gene_chrom": self.sites.gene_chrom, "peak_chrom": self.sites.peak_chrom,
            "tss": self.sites.tss, "centre": self.sites.centre, "idf": self.chromatin.idf,
            "lsi_mean": self.chromatin.mean, "loadings": self.chromatin.loadings,
            "rate": self.rate, "blend": self.blend, "slopes": self.slopes,
        }  # fmt: skip
        kept["arrays"] = _tensors(arrays)
        if self.evidence is not None:
            kept["evidence"] = _tensors(self.evidence.state())
        return kept

    @classmethod
    def from_state(cls, params: CrossParameters, kept: dict[str, Any]) -> Model:
        """Return the model that :meth:`state` described, on the CPU."""
        a = {name: one.numpy() for name, one in kept["arrays"].items()}
        sites = Sites(
            tuple(kept["chromosomes"]), a["gene_chrom"], a["peak_chrom"], a.get("tss"),
            a.get("centre"),
        )  # fmt: skip
        evidence = None
        if "evidence" in kept:
            known = {name: one.numpy() for name, one in kept["evidence"].items()}
            evidence = Evidence.from_state(known)
        weights = kept["network"]
        network = _network(
            params, sites, weights["genes.static"], weights["peaks.static"],
            weights.get("peaks.codes"),
        )  # fmt: skip
        network.load_state_dict(weights)
        network.eval()
        chromatin = Chromatin(a["idf"], a["lsi_mean"], a["loadings"])
        return cls(
            params, sites, network, chromatin, evidence, a["rate"], a["blend"], a["slopes"],
            kept["trained"],
        )  # fmt: skip


def fit_model(data: MuData, p: CrossParameters, context: Context) -> Model:
    """Return the model fitted on all cells of ``data``."""
    sites = sites_of(data)
    peaks = opened(data["atac"])
    chromatin = Chromatin.of(peaks, _LSI, derive_seed(context.seed, "lsi"))
    inside, held_out = training.split(data.n_obs, p.validation, context.seed)
    rate = np.asarray((csr(data["rna"].layers["counts"]) > 0).mean(axis=0), np.float64).ravel()
    wrong = _wrong(p, chromatin(peaks), context)
    with seeded(context.seed, "network", device=context.device):
        network = _start(data, sites, chromatin, p, context)
        model = Model(p, sites, network, chromatin, None, rate, device=context.device)
        known = profiles(data["rna"], data["atac"])
        settings = _settings(sites, data.n_obs, p, context)
        if p.links == "evidence":
            # The network is steered, and compared, with what other cells than the held-out say.
            model.evidence = Evidence.of(known[inside], settings, _reporter(p, context))
            rng = np.random.default_rng(derive_seed(context.seed, "folds"))
            model.evidence.weigh(known, settings, wrong, rng)
        cells = model.cells(values(data["rna"]), values(data["atac"]))
        if p.normalize:
            some = inside[:: max(1, len(inside) // p.epoch_cells)]
            model.network.standardise(training.pools_of(model.network, cells, _own(some)))
        done = training.train(model.network, cells, inside, held_out, wrong, p, context)
        model.trained = done.note()
        if model.evidence is not None:
            _calibrate(model, cells, known, held_out, context.seed)
            if len(held_out):
                weights = model.evidence.weights
                model.evidence = Evidence.of(known, settings)
                model.evidence.weights = weights
    return model


def profiles(rna: AnnData, atac: AnnData) -> Profiles:
    """Return what the evidence sees of cells."""
    return Profiles(csr(rna.layers["counts"]), relative(rna), fragments(atac))


def _settings(sites: Sites, n_cells: int, p: CrossParameters, context: Context) -> Settings:
    reach = p.distance_kb * 1000 if p.mask_mode == "distance_kb" else None
    seed = derive_seed(context.seed, "states")
    return Settings(
        candidates(sites, reach), states.sizes(p.n_states, n_cells), p.link_passes, seed
    )


def _reporter(p: CrossParameters, context: Context) -> Callable[[int, float], None]:
    return lambda number, loss: context.report(number, p.link_passes, links_residual=loss)


def _own(cells: np.ndarray) -> np.ndarray:
    """Return the right pair of each cell, (cells, 2)."""
    return np.column_stack([cells, cells])


def _wrong(p: CrossParameters, components: np.ndarray, context: Context) -> training.Wrong:
    labels = context.knowledge.labels if p.neg_mode.startswith("label") else None

    def wrong(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return wrong_pairs(
            cells, p.neg_mode, p.neg_ratio, rng, components=components, labels=labels
        )

    return wrong


def _calibrate(
    model: Model, cells: Cells, known: Profiles, held_out: np.ndarray, seed: int
) -> None:
    """Set the share of the network in the matching, and the slopes of the translation.

    Without held-out cells the network has no share: nothing says that it helps.
    """
    assert model.evidence is not None
    model.blend = np.array([0.0, 0.0, 1.0])
    if len(held_out) < 2:
        return
    rng = np.random.default_rng(derive_seed(seed, "blend"))
    pairs = np.concatenate([_own(held_out), wrong_pairs(held_out, "random_cell", 5, rng)])
    model.blend = calibration.blend(
        _log_odds(training.logits_of(model.network, cells, pairs)), model.evidence(known, pairs),
        np.arange(len(pairs)) < len(held_out),
    )  # fmt: skip
    these = known[held_out]
    model.slopes = calibration.slopes(
        model.rate, model.evidence.expected(these.fragments),
        model.evidence.links.depth(these.fragments), (these.counts > 0).toarray(),
    )  # fmt: skip


def _start(
    data: MuData, sites: Sites, chromatin: Chromatin, p: CrossParameters, context: Context
) -> Network:
    """Return the untrained network; torch is seeded when this is called."""
    gene_static = features.gene_features(data, sites, scaled=p.normalize)
    peak_static = features.peak_features(sites)
    codes = None
    texts = features.sequences(data["atac"].var, p.dna)
    if texts is not None and p.dna_encoder == "ordinal256":
        peak_static = np.column_stack([peak_static, features.ordinal(texts)])
    elif texts is not None:
        codes = torch.from_numpy(features.central(texts))
    network = _network(
        p, sites, torch.from_numpy(gene_static), torch.from_numpy(peak_static), codes
    )
    if p.id_start == "svd":
        peaks = chromatin.weighted(opened(data["atac"]))
        for nodes, matrix in ((network.genes, values(data["rna"])), (network.peaks, peaks)):
            seed = derive_seed(context.seed, "svd", str(matrix.shape[1]))
            nodes.start_from(torch.from_numpy(svd_start(matrix, p.id_dim, _LSI, seed)))
        network.start_without_neighbours()
    return network.to(context.device)


def _network(
    p: CrossParameters, sites: Sites, gene_static: Tensor, peak_static: Tensor,
    codes: Tensor | None,
) -> Network:  # fmt: skip
    genes = Nodes(gene_static, None, p.id_dim, p.hidden, sparse=p.sparse)
    peaks = Nodes(peak_static, codes, p.id_dim, p.hidden, sparse=p.sparse)
    rules = Rules(
        p.top_k, p.edge_threshold, sigmoid=p.attn_norm == "faithful_sigmoid",
        fill=p.mask_mode == "multiply",
    )  # fmt: skip
    return Network(
        genes, peaks, p.hidden, p.dropout, rules, torch.from_numpy(sites.gene_chrom),
        torch.from_numpy(sites.peak_chrom),
    )  # fmt: skip


def _scores(
    p: CrossParameters, sites: Sites, evidence: Evidence | None
) -> sp.csr_matrix | None:  # fmt: skip
    """Return what is added to scores of pairs; ``None`` if chromosomes alone decide."""
    n_peaks = len(sites.peak_chrom)
    if evidence is not None:
        links = evidence.links
        return stored_scores(links.pairs.matrix(links.score, n_peaks))
    if p.mask_mode == "distance_kb" and sites.measured:
        pairs = candidates(sites, p.distance_kb * 1000)
        return stored_scores(pairs.matrix(np.zeros(len(pairs)), n_peaks))
    return None


def _tensors(arrays: Mapping[str, np.ndarray | None]) -> dict[str, Tensor]:
    """Return arrays that there are as tensors."""
    return {
        name: torch.from_numpy(np.ascontiguousarray(one))
        for name, one in arrays.items() if one is not None
    }  # fmt: skip


def _summed_attention(network: Network, cells: Cells) -> sp.csr_matrix:
    """Return the attention of each gene to each peak, mean over the cells, sparse."""
    shape = (cells.rna.shape[1], cells.peaks.shape[1])
    total = sp.csr_matrix(shape)
    network.eval()
    for cell in range(len(cells)):
        graph = cells.graph(cell, cell)
        if not len(graph.genes) or not len(graph.peaks):
            continue
        with torch.no_grad():
            maps = network.genes(graph.genes), network.peaks(graph.peaks)
            found = network.attention(graph, *network.with_values(graph, *maps))
        gene, slot = (found.weight > 0).nonzero(as_tuple=True)
        weight = found.weight[gene, slot].cpu().numpy()
        place = graph.peaks[found.peak[gene, slot]].cpu().numpy()
        total += sp.csr_matrix((weight, (graph.genes[gene].cpu().numpy(), place)), shape=shape)
    return total / max(1, len(cells))


def _log_odds(logits: Tensor) -> np.ndarray:
    odds: np.ndarray = (logits[:, 1] - logits[:, 0]).cpu().numpy().astype(np.float64)
    return odds
