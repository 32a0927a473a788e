"""Gates of gene-peak pairs, learned from expression that open peaks explain.

Standardised expression of gene g in cell i is modelled as

    z_ig = Σ_f u_if W_fg + β_g Σ_p b_gp (x_ip - d_i f_p) + noise of variance σ²_g

with the cell's states u (:mod:`.state_mixture`), fragments x in a peak (at most two), their mean
f, the relative depth d, and b_gp in {0, 1} for each candidate pair. States keep differences
between types from counting as links. A link adds the same to the log rate of any gene; β_g = β
s_g, where s is the mean slope of z by the log rate (:class:`StandardizedExpression`). The
posterior q(b_gp = 1) = sigmoid(S_gp) follows by variational Bayes (mean field). S is the prior log
odds, a function of the distance from the TSS, plus

    [β_g C_gp + β_g² q_gp n_p - β_g² n_p / 2] / σ²_g,

with C the sum over cells of x - d f times the residual, and n_p the sum of (x - f)². β, W, σ² and
the prior are estimated between passes (empirical Bayes). β is positive, so that silencers are not
found. S is the score of the attention. Source: spike-and-slab variational inference, Titsias and
Lázaro-Gredilla 2011 (NeurIPS 24), with one shared slab.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Callable

    from .genome_sites import CandidatePairs

EDGES = (5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6)
"""Bounds of distance classes, base pairs."""
_BLOCK, _PAIR_BLOCK = 512, 2**18
_CLIP = 5.0


@dataclass
class StandardizedExpression:
    mean: np.ndarray
    scale: np.ndarray
    slope: np.ndarray
    """Slope of the standardised value by log rate, relative to the mean gene."""

    @classmethod
    def of(cls, matrix: sp.csr_matrix) -> StandardizedExpression:
        """Fit the standardisation of log(1 + x), cells × genes.

        Its derivative by log x is x / (1 + x) = 1 - exp(-log(1 + x)).
        """
        mean = np.asarray(matrix.mean(axis=0)).ravel()
        square = np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel()
        spread = np.sqrt(np.maximum(square - mean**2, 0.0))
        scale = np.where(spread > 1e-6, spread, np.inf)
        derivative = matrix.copy()
        derivative.data = -np.expm1(-derivative.data)
        slope = np.asarray(derivative.mean(axis=0)).ravel() / scale
        return cls(mean, scale, slope / max(float(slope.mean()), 1e-9))

    def __call__(self, matrix: sp.csr_matrix) -> np.ndarray:
        """Standardise cells, (cells, genes), clipped; 0 for a constant gene."""
        dense = (matrix.toarray() - self.mean) / self.scale
        return np.clip(dense, -_CLIP, _CLIP)


@dataclass
class GateLinks:
    """Fitted gates."""

    pairs: CandidatePairs
    share: np.ndarray
    """f, mean fragments of each peak."""
    score: np.ndarray
    """S of each pair."""
    factors: np.ndarray
    """W, components × genes."""
    effect: np.ndarray
    """β of each gene."""
    noise: np.ndarray
    """σ² of each gene."""
    prior: np.ndarray
    """Share of linked pairs by distance class."""

    @property
    def gate(self) -> np.ndarray:
        """Chance that a pair is linked."""
        return _sigmoid(self.score)

    def gate_matrix(self) -> sp.csr_matrix:
        """Return the gates, genes × peaks."""
        return self.pairs.to_matrix(self.gate, len(self.share))

    def soft_count(self, peaks: sp.csr_matrix, gates: sp.csr_matrix | None = None) -> np.ndarray:
        """Return Σ_p gate_gp (x_ip - d_i f_p), (cells, genes)."""
        gates = self.gate_matrix() if gates is None else gates
        return (peaks @ gates.T).toarray() - np.outer(self.depth(peaks), gates @ self.share)

    def depth(self, peaks: sp.csr_matrix) -> np.ndarray:
        """Return the relative depth of each cell."""
        return np.asarray(peaks.sum(axis=1)).ravel() / max(self.share.sum(), 1e-9)

    def predict(self, peaks: sp.csr_matrix, components: np.ndarray) -> np.ndarray:
        """Return expected standardised expression, (cells, genes)."""
        return components @ self.factors + self.effect * self.soft_count(peaks)

    def evidence(self, z: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Return the log likelihood ratio of rows against expectation 0, (pairs,)."""
        return ((z * expected - 0.5 * expected**2) / self.noise).sum(axis=1)


def learn_links(
    pairs: CandidatePairs,
    standardized: StandardizedExpression,
    rna: sp.csr_matrix,
    peaks: sp.csr_matrix,
    components: np.ndarray,
    n_passes: int,
    report: Callable[[int, float], None] | None = None,
) -> GateLinks:
    """Learn the gates of ``pairs`` in ``n_passes`` passes over the cells.

    ``rna``: log-normalised, ``peaks``: fragments, at most two, both CSR; ``components``: cells ×
    factors. ``report(pass, loss)`` follows each pass.
    """
    n_cells, n_genes = rna.shape
    share = np.asarray(peaks.mean(axis=0)).ravel()
    size = np.asarray(peaks.multiply(peaks).sum(axis=0)).ravel() - n_cells * share**2
    classes = _distance_classes(pairs)
    per_gene = max(1.0, len(pairs) / max(1, len(np.unique(pairs.gene))))
    # Two links a gene at first, whatever the distance; both are learned from then on.
    prior = np.full(len(EDGES) + 2, min(0.2, 2 / per_gene))
    links = GateLinks(
        pairs, share, _logit(prior)[classes], np.zeros((components.shape[1], n_genes)),
        0.3 * standardized.slope, np.ones(n_genes), prior,
    )  # fmt: skip
    for number in range(n_passes):
        sums = sum_over_cells(links, standardized, rna, peaks, components)
        _update(
            links, sums, standardized.slope, size[pairs.peak], classes, n_cells,
            damped=number > 0,
        )  # fmt: skip
        if report is not None:
            report(number + 1, float(sums.squares.sum() / (n_cells * n_genes)))
    return links


@dataclass
class CellSums:
    """Sums over cells."""

    cross: np.ndarray
    """C: centred peak times residual, of each pair."""
    squares: np.ndarray
    """Squared residuals, of each gene."""
    explained: np.ndarray
    """Soft count times the residual without gates, of each gene."""
    counted: np.ndarray
    """Squared soft count, of each gene."""
    factor_cross: np.ndarray
    """Component times the residual without components, components × genes."""
    factor_square: np.ndarray
    """Components × components."""


def sum_over_cells(
    links: GateLinks,
    standardized: StandardizedExpression,
    rna: sp.csr_matrix,
    peaks: sp.csr_matrix,
    components: np.ndarray,
) -> CellSums:
    """Go once over the cells, in blocks; arguments as in :func:`learn_links`."""
    n_genes, n_factors = rna.shape[1], components.shape[1]
    gates = links.gate_matrix()
    sums = CellSums(
        np.zeros(len(links.pairs)), np.zeros(n_genes), np.zeros(n_genes), np.zeros(n_genes),
        np.zeros((n_factors, n_genes)), np.zeros((n_factors, n_factors)),
    )  # fmt: skip
    total = np.zeros(n_genes)
    for start in range(0, rna.shape[0], _BLOCK):
        rows = slice(start, start + _BLOCK)
        x, u, z = peaks[rows], components[rows], standardized(rna[rows])
        counted = links.soft_count(x, gates)
        without_gates = z - u @ links.factors
        residual = without_gates - links.effect * counted
        sums.squares += (residual**2).sum(axis=0)
        sums.explained += (counted * without_gates).sum(axis=0)
        sums.counted += (counted**2).sum(axis=0)
        sums.factor_cross += u.T @ (z - links.effect * counted)
        sums.factor_square += u.T @ u
        total += links.depth(x) @ residual
        sums.cross += _pair_sums(links.pairs, x, residual)
    sums.cross -= links.share[links.pairs.peak] * total[links.pairs.gene]
    return sums


def _pair_sums(pairs: CandidatePairs, peaks: sp.csr_matrix, residual: np.ndarray) -> np.ndarray:
    """Return Σ_i residual_ig x_ip of each pair."""
    columns = sp.csc_matrix(peaks)
    sums = np.zeros(len(pairs))
    for start in range(0, len(pairs), _PAIR_BLOCK):
        block = slice(start, start + _PAIR_BLOCK)
        opened = columns[:, pairs.peak[block]]
        n_open = np.diff(opened.indptr)
        terms = opened.data * residual[opened.indices, np.repeat(pairs.gene[block], n_open)]
        sums[block] = np.bincount(np.repeat(np.arange(len(n_open)), n_open), terms, len(n_open))
    return sums


def _update(
    links: GateLinks,
    sums: CellSums,
    slope: np.ndarray,
    size: np.ndarray,
    classes: np.ndarray,
    n_cells: int,
    *,
    damped: bool,
) -> None:
    """Set gates, prior, noise, effect and factors."""
    gate, gene = links.gate, links.pairs.gene
    noise, beta = links.noise[gene], links.effect[gene]
    evidence = (beta * (sums.cross + beta * gate * size) - 0.5 * beta**2 * size) / noise
    target = _logit(links.prior)[classes] + evidence
    # Half steps: gates of correlated peaks would oscillate.
    links.score = 0.5 * links.score + 0.5 * target if damped else target
    new = links.gate
    for number in range(len(links.prior)):
        members = classes == number
        if members.any():
            # A Beta prior worth two pairs, one linked in a hundred.
            links.prior[number] = (new[members].sum() + 0.02) / (members.sum() + 2.0)
    spread = np.bincount(gene, gate * (1 - gate) * size, len(links.noise))
    links.noise = np.maximum((sums.squares + links.effect**2 * spread) / n_cells, 0.05)
    weight = slope / links.noise
    power = ((sums.counted + spread) * slope * weight).sum()
    if power > 0:
        links.effect = np.clip((sums.explained * weight).sum() / power, 0.05, 3.0) * slope
    if len(sums.factor_square):
        links.factors = _ridge(sums.factor_square, sums.factor_cross, links)


def _ridge(square: np.ndarray, cross: np.ndarray, links: GateLinks) -> np.ndarray:
    """Return the posterior mean of W; its prior variance is that of the present W."""
    variance = (links.factors**2).mean() + 1e-3
    penalty = float(np.median(links.noise)) / variance
    factors: np.ndarray = np.linalg.solve(square + penalty * np.eye(len(square)), cross)
    return factors


def _distance_classes(pairs: CandidatePairs) -> np.ndarray:
    """Return the distance class of each pair; pairs without a distance have the last class."""
    if pairs.distance is None:
        return np.full(len(pairs), len(EDGES) + 1)
    classes = np.searchsorted(EDGES, pairs.distance, side="right")
    return np.where(pairs.distance < 0, len(EDGES) + 1, classes)


def _sigmoid(score: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * score))


def _logit(share: np.ndarray) -> np.ndarray:
    bounded = np.clip(share, 1e-6, 1 - 1e-6)
    return np.log(bounded / (1 - bounded))
