"""A fitted scCrossRec: made from data, asked for embeddings, matches, translations and links."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from bench.method import Context
from bench.seeds import derive

from . import features, training
from .attention import Rules
from .cells import Cells, Chromatin, opened, relative, stored_scores, svd_start, values
from .graph import Candidates, Sites, candidates, sites_of
from .links import Expression, Links, learn
from .negatives import wrong_pairs
from .network import Network, Nodes
from .params import CrossParameters

if TYPE_CHECKING:
    from mudata import MuData

_LSI = 10
_LESS = 0.01
"""The network takes part in the matching if the held-out loss falls by this share."""


@dataclass
class Model:
    """What a fit leaves behind; arrays of features are in the order of the training data."""

    params: CrossParameters
    sites: Sites
    network: Network
    chromatin: Chromatin
    expression: Expression
    links: Links | None
    rate: np.ndarray
    """Share of the training cells in which each gene is detected."""
    blend: np.ndarray = field(default_factory=lambda: np.array([0.0, 1.0, 0.0]))
    """Constant, weight of the network's logit and of the evidence in the matching score."""
    slope: float = 1.0
    """Log odds of detection per standard deviation of expected expression."""
    trained: str = ""
    device: str = "cpu"

    def cells(self, rna: sp.csr_matrix, peaks: sp.csr_matrix) -> Cells:
        """Return cells with the scores that steer the attention."""
        return Cells(
            rna, peaks, by_value=self.params.normalize, idf=self.chromatin.idf,
            device=self.device, scores=_scores(self.params, self.sites, self.links),
        )  # fmt: skip

    def embed(self, data: MuData) -> np.ndarray:
        """Return pooled genes and pooled peaks of each cell's own pair, (cells, 2 · hidden)."""
        cells = self.cells(values(data["rna"]), values(data["atac"]))
        return training.pools_of(self.network, cells, _own(np.arange(data.n_obs)))

    def match(self, data: MuData, rna_cells: np.ndarray, atac_cells: np.ndarray) -> np.ndarray:
        """Return the log odds that RNA and ATAC are of one cell, (pairs,)."""
        pairs = np.column_stack([rna_cells, atac_cells]).astype(np.int64)
        score = np.full(len(pairs), self.blend[0])
        if self.blend[1]:
            cells = self.cells(values(data["rna"]), values(data["atac"]))
            score += self.blend[1] * _log_odds(training.logits_of(self.network, cells, pairs))
        if self.blend[2]:
            rna, peaks = relative(data["rna"]), opened(data["atac"])
            score += self.blend[2] * self.evidence(rna, peaks, pairs)
        return score

    def evidence(self, rna: sp.csr_matrix, peaks: sp.csr_matrix, pairs: np.ndarray) -> np.ndarray:
        """Return how much better each RNA is explained by the peaks, log likelihood ratio."""
        assert self.links is not None
        expected = self.links.predict(peaks, self.chromatin(peaks))
        out = np.empty(len(pairs))
        for start in range(0, len(pairs), 1024):
            rows = pairs[start : start + 1024]
            z = self.expression(rna[rows[:, 0]])
            out[start : start + 1024] = self.links.evidence(z, expected[rows[:, 1]])
        return out

    def translate(self, peaks: sp.csr_matrix, stored: sp.csr_matrix) -> np.ndarray:
        """Return log odds that each gene is detected, (cells, genes).

        Without links the published soft count of open peaks; ``stored`` are its values.
        """
        if self.links is not None:
            expected = self.links.predict(peaks, self.chromatin(peaks))
            return _logit(self.rate) + self.slope * expected
        genes = sp.csr_matrix((peaks.shape[0], len(self.rate)), dtype=np.float32)
        cells = self.cells(genes, stored)
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
        if self.links is not None:
            seen = np.asarray((peaks > 0).sum(axis=0)).ravel() > 0
            on = np.asarray((rna > 0).sum(axis=0)).ravel() > 0
            gates = self.links.matrix()
            return sp.csr_matrix(sp.diags_array(on * 1.0) @ gates @ sp.diags_array(seen * 1.0))
        return _summed_attention(self.network, self.cells(rna, peaks))

    def state(self) -> dict[str, Any]:
        """Return everything as tensors, numbers and strings."""
        kept: dict[str, Any] = {
            "network": {name: one.cpu() for name, one in self.network.state_dict().items()},
            "chromosomes": list(self.sites.names), "slope": self.slope, "trained": self.trained,
        }  # fmt: skip
        arrays = {
            "gene_chrom": self.sites.gene_chrom, "peak_chrom": self.sites.peak_chrom,
            "tss": self.sites.tss, "centre": self.sites.centre, "idf": self.chromatin.idf,
            "lsi_mean": self.chromatin.mean, "loadings": self.chromatin.loadings,
            "mean": self.expression.mean, "scale": self.expression.scale, "rate": self.rate,
            "blend": self.blend,
        }  # fmt: skip
        if self.links is not None:
            one = self.links
            arrays |= {
                "pair_start": one.pairs.start, "pair_peak": one.pairs.peak,
                "pair_distance": one.pairs.distance, "share": one.share, "score": one.score,
                "factors": one.factors, "noise": one.noise, "prior": one.prior,
            }  # fmt: skip
            kept["effect"] = one.effect
        kept["arrays"] = {
            name: torch.from_numpy(np.ascontiguousarray(one))
            for name, one in arrays.items() if one is not None
        }  # fmt: skip
        return kept

    @classmethod
    def from_state(cls, params: CrossParameters, kept: dict[str, Any]) -> Model:
        """Return the model that :meth:`state` described, on the CPU."""
        a = {name: one.numpy() for name, one in kept["arrays"].items()}
        sites = Sites(
            tuple(kept["chromosomes"]), a["gene_chrom"], a["peak_chrom"], a.get("tss"),
            a.get("centre"),
        )  # fmt: skip
        links = None
        if "score" in a:
            pairs = Candidates(a["pair_start"], a["pair_peak"], a.get("pair_distance"))
            links = Links(
                pairs, a["share"], a["score"], a["factors"], kept["effect"], a["noise"],
                a["prior"],
            )  # fmt: skip
        weights = kept["network"]
        network = _network(
            params, sites, weights["genes.static"], weights["peaks.static"],
            weights.get("peaks.codes"),
        )  # fmt: skip
        network.load_state_dict(weights)
        network.eval()
        chromatin = Chromatin(a["idf"], a["lsi_mean"], a["loadings"])
        return cls(
            params, sites, network, chromatin, Expression(a["mean"], a["scale"]), links,
            a["rate"], a["blend"], kept["slope"], kept["trained"],
        )  # fmt: skip


def fit_model(data: MuData, p: CrossParameters, context: Context) -> Model:
    """Return the model fitted on all cells of ``data``."""
    from ..nn.train import seeded

    sites = sites_of(data)
    rna, peaks = relative(data["rna"]), opened(data["atac"])
    chromatin = Chromatin.of(peaks, max(_LSI, p.n_factors), derive(context.seed, "lsi"))
    inside, held_out = training.split(data.n_obs, p.validation, context.seed)
    expression = Expression.of(rna)
    rate = np.asarray((rna > 0).mean(axis=0), dtype=np.float64).ravel()
    with seeded(context.seed, "network", device=context.device):
        network = _start(data, sites, chromatin, p, context)
        model = Model(p, sites, network, chromatin, expression, None, rate, device=context.device)
        if p.links == "evidence":
            model = replace(model, links=_learned(model, rna, peaks, inside, context))
        wrong = _wrong(p, chromatin(peaks), context)
        cells = model.cells(values(data["rna"]), values(data["atac"]))
        if p.normalize:
            model.network.standardise(training.pools_of(model.network, cells, _own(inside)))
        done = training.train(model.network, cells, inside, held_out, wrong, p, context)
        model.trained = done.note()
        if p.links == "evidence":
            _calibrate(model, cells, rna, peaks, held_out if len(held_out) else inside)
            if len(held_out):
                everyone = np.arange(data.n_obs)
                model.links = _learned(model, rna, peaks, everyone, context, said=False)
    return model


def _learned(
    model: Model, rna: sp.csr_matrix, peaks: sp.csr_matrix, cells: np.ndarray, context: Context,
    *, said: bool = True,
) -> Links:  # fmt: skip
    """Return the gates learned from some cells."""
    p = model.params
    reach = p.distance_kb * 1000 if p.mask_mode == "distance_kb" else None

    def report(number: int, loss: float) -> None:
        context.report(number, p.link_passes, links_residual=loss)

    return learn(
        candidates(model.sites, reach), model.expression, rna[cells], peaks[cells],
        model.chromatin(peaks[cells])[:, : p.n_factors], p.link_passes, report if said else None,
    )  # fmt: skip


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
    model: Model, cells: Cells, rna: sp.csr_matrix, peaks: sp.csr_matrix, held_out: np.ndarray
) -> None:
    """Set how network and evidence share in the matching, and the slope of the translation."""
    assert model.links is not None
    n = len(held_out)
    shifts = [0, *range(1, min(n, 5))]
    pairs = np.concatenate([np.column_stack([held_out, np.roll(held_out, s)]) for s in shifts])
    right = np.repeat([1.0] + [0.0] * (len(shifts) - 1), n)
    found = model.evidence(rna, peaks, pairs)
    model.blend = np.array([0.0, 0.0, 1.0])
    if len(shifts) > 1 and found.std() > 0:
        alone, base = _logistic(found[:, None], right)
        model.blend = np.array([alone[0], 0.0, alone[1]])
        network = _log_odds(training.logits_of(model.network, cells, pairs))
        both, loss = _logistic(np.column_stack([network, found]), right)
        if loss < (1 - _LESS) * base and (both[1:] > 0).all():
            model.blend = both
    expected = model.links.predict(peaks[held_out], model.chromatin(peaks[held_out]))
    detected = (rna[held_out] > 0).toarray()
    model.slope = _slope(_logit(model.rate) + 0 * expected, expected, detected)


def _logistic(inputs: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
    """Return constant and weights of a balanced logistic regression, and its loss."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    spread = np.where(inputs.std(axis=0) > 0, inputs.std(axis=0), 1.0)
    fitted = LogisticRegression(class_weight="balanced").fit(inputs / spread, right)
    weights = np.concatenate([fitted.intercept_, fitted.coef_[0] / spread])
    weight = np.where(right > 0, 1 / right.mean(), 1 / (1 - right.mean()))
    loss = log_loss(right, fitted.predict_proba(inputs / spread)[:, 1], sample_weight=weight)
    return weights, float(loss)


def _slope(offset: np.ndarray, expected: np.ndarray, detected: np.ndarray) -> float:
    """Return the slope of a logistic regression with known offsets, by Newton's method."""
    slope = 0.0
    for _ in range(20):
        share = 0.5 * (1 + np.tanh(0.5 * (offset + slope * expected)))
        curvature = (share * (1 - share) * expected**2).sum()
        if curvature < 1e-9:
            return max(slope, 1e-3)
        slope += float(np.clip(((detected - share) * expected).sum() / curvature, -1.0, 1.0))
    return max(slope, 1e-3)


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
            seed = derive(context.seed, "svd", str(matrix.shape[1]))
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


def _scores(p: CrossParameters, sites: Sites, links: Links | None) -> sp.csr_matrix | None:
    """Return what is added to scores of pairs; ``None`` if chromosomes alone decide."""
    n_peaks = len(sites.peak_chrom)
    if links is not None:
        return stored_scores(links.pairs.matrix(links.score, n_peaks))
    if p.mask_mode == "distance_kb" and sites.measured:
        pairs = candidates(sites, p.distance_kb * 1000)
        return stored_scores(pairs.matrix(np.zeros(len(pairs)), n_peaks))
    return None


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


def _logit(share: np.ndarray) -> np.ndarray:
    bounded = np.clip(share, 1e-3, 1 - 1e-3)
    return np.log(bounded / (1 - bounded))
