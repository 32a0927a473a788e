"""Which open peaks explain the expression of a gene: gates of pairs, learned from both parts.

The expression of gene g in cell i, standardised over the training cells, is modelled as

    z_ig = Σ_f u_if W_fg + β_g Σ_p b_gp (x_ip - d_i f_p) + noise of variance σ²_g

with u the states of the cell (:mod:`.states`; so that what cell types share is not taken for a
link), x the fragments in a peak, at most two, f their mean, d the depth of the cell relative to
the mean, and b_gp in {0, 1} for each candidate pair. A link adds the same to the log rate of any
gene; how far z follows the log rate is the gene's own: β_g = β s_g, s the mean slope of z
(:class:`Expression`), small where counts are few. The prior log odds of b depend on the distance
from the gene's start only. The posterior q(b_gp = 1) = sigmoid(S_gp)
is found by variational Bayes (mean field): S is the prior log odds plus

    [β_g C_gp + β_g² q_gp n_p - β_g² n_p / 2] / σ²_g,

C the sum over cells of x - d f times the residual, n_p the sum of (x - f)². S is the score of the
attention, Σ_p sigmoid(S_gp) (x - d f)_p the soft count of open linked peaks. β, W, σ² and the
prior are estimated between passes (empirical Bayes); the prior is learned across genes, not given.

One β for all pairs, positive: a peak that silences a gene is not found.
Source: spike-and-slab variational inference as in Titsias and Lázaro-Gredilla 2011 (NeurIPS 24),
with one shared slab.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from .genome_sites import Candidates

EDGES = (5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6)
"""Bounds of the classes of distance, base pairs."""
_BLOCK, _PAIR_BLOCK = 512, 2**18
_CLIP = 5.0


@dataclass
class Expression:
    """Standardised log expression of all genes in a block of cells."""

    mean: np.ndarray
    scale: np.ndarray
    slope: np.ndarray
    """How far the standardised value follows the log rate, relative to the mean gene."""

    @classmethod
    def of(cls, matrix: sp.csr_matrix) -> Expression:
        """Return the standardisation of these cells, given log(1 + x).

        The derivative of log(1 + x) by log x is x / (1 + x) = 1 - exp(-log(1 + x)).
        """
        mean = np.asarray(matrix.mean(axis=0)).ravel()
        square = np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel()
        spread = np.sqrt(np.maximum(square - mean**2, 0.0))
        scale = np.where(spread > 1e-6, spread, np.inf)
        bent = matrix.copy()
        bent.data = -np.expm1(-bent.data)
        slope = np.asarray(bent.mean(axis=0)).ravel() / scale
        return cls(mean, scale, slope / max(float(slope.mean()), 1e-9))

    def __call__(self, matrix: sp.csr_matrix) -> np.ndarray:
        """Return (cells, genes), clipped; 0 for a gene that does not vary."""
        dense = (matrix.toarray() - self.mean) / self.scale
        return np.clip(dense, -_CLIP, _CLIP)


@dataclass
class Links:
    """The fitted gates, and what predicts expression from open peaks."""

    pairs: Candidates
    share: np.ndarray
    """f, mean of each peak over the training cells."""
    score: np.ndarray
    """S of each pair."""
    factors: np.ndarray
    """W, components × genes."""
    effect: np.ndarray
    """β of each gene."""
    noise: np.ndarray
    """σ² of each gene."""
    prior: np.ndarray
    """Share of linked pairs in each class of distance."""
    curve: list[float] = field(default_factory=list)
    """Mean squared residual after each pass."""

    @property
    def gate(self) -> np.ndarray:
        """Posterior probability that a pair is linked."""
        return _sigmoid(self.score)

    def matrix(self) -> sp.csr_matrix:
        """Return the gates, genes × peaks, sparse."""
        return self.pairs.matrix(self.gate, len(self.share))

    def soft_count(self, peaks: sp.csr_matrix, gates: sp.csr_matrix | None = None) -> np.ndarray:
        """Return Σ_p gate_gp (x_ip - d_i f_p), (cells, genes)."""
        gates = self.matrix() if gates is None else gates
        return (peaks @ gates.T).toarray() - np.outer(self.depth(peaks), gates @ self.share)

    def depth(self, peaks: sp.csr_matrix) -> np.ndarray:
        """Return the number of open peaks of each cell over the mean of the training cells."""
        return np.asarray(peaks.sum(axis=1)).ravel() / max(self.share.sum(), 1e-9)

    def predict(self, peaks: sp.csr_matrix, components: np.ndarray) -> np.ndarray:
        """Return the expected standardised expression, (cells, genes)."""
        return components @ self.factors + self.effect * self.soft_count(peaks)

    def evidence(self, z: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Return the log likelihood ratio of each row pair against expectation 0, (pairs,)."""
        return ((z * expected - 0.5 * expected**2) / self.noise).sum(axis=1)


def learn(
    pairs: Candidates, z_of: Expression, rna: sp.csr_matrix, peaks: sp.csr_matrix,
    components: np.ndarray, n_passes: int, report: object = None,
) -> Links:  # fmt: skip
    """Return the gates of ``pairs`` after ``n_passes`` passes over the cells.

    ``rna``: log-normalised expression, ``peaks``: fragments, at most two, both CSR;
    ``components``: cells × factors.
    ``report(pass, loss)`` is called after each pass.
    """
    n_cells, n_genes = rna.shape
    share = np.asarray(peaks.mean(axis=0)).ravel()
    size = np.asarray(peaks.multiply(peaks).sum(axis=0)).ravel() - n_cells * share**2
    kind = _classes(pairs)
    genes = pairs.gene
    per_gene = max(1.0, len(pairs) / max(1, len(np.unique(genes))))
    # Two links a gene to begin with, whatever the distance; both are learned from then on.
    prior = np.full(len(EDGES) + 2, min(0.2, 2 / per_gene))
    state = Links(
        pairs, share, _logit(prior)[kind], np.zeros((components.shape[1], n_genes)),
        0.3 * z_of.slope, np.ones(n_genes), prior,
    )  # fmt: skip
    for number in range(n_passes):
        sums = _pass(state, z_of, rna, peaks, components)
        _update(state, sums, z_of.slope, size[pairs.peak], kind, n_cells, first=number == 0)
        state.curve.append(float(sums.squares.sum() / (n_cells * n_genes)))
        if callable(report):
            report(number + 1, state.curve[-1])
    return state


@dataclass
class _Sums:
    """What a pass over the cells adds up, with the gates of before."""

    cross: np.ndarray
    """C: centred peak times residual, of each pair."""
    squares: np.ndarray
    """Squared residuals of each gene."""
    explained: np.ndarray
    """Of each gene: soft count times the residual without the gates."""
    counted: np.ndarray
    """Of each gene: squared soft count."""
    factor_cross: np.ndarray
    """Components × genes: component times the residual without the components."""
    factor_square: np.ndarray
    """Components × components."""


def _pass(
    state: Links, z_of: Expression, rna: sp.csr_matrix, peaks: sp.csr_matrix,
    components: np.ndarray,
) -> _Sums:  # fmt: skip
    n_genes, n_factors = rna.shape[1], components.shape[1]
    gates = state.matrix()
    sums = _Sums(
        np.zeros(len(state.pairs)), np.zeros(n_genes), np.zeros(n_genes), np.zeros(n_genes),
        np.zeros((n_factors, n_genes)), np.zeros((n_factors, n_factors)),
    )  # fmt: skip
    total = np.zeros(n_genes)
    for start in range(0, rna.shape[0], _BLOCK):
        rows = slice(start, start + _BLOCK)
        x, u, z = peaks[rows], components[rows], z_of(rna[rows])
        counted = state.soft_count(x, gates)
        without_gates = z - u @ state.factors
        residual = without_gates - state.effect * counted
        sums.squares += (residual**2).sum(axis=0)
        sums.explained += (counted * without_gates).sum(axis=0)
        sums.counted += (counted**2).sum(axis=0)
        sums.factor_cross += u.T @ (z - state.effect * counted)
        sums.factor_square += u.T @ u
        total += state.depth(x) @ residual
        sums.cross += _at_pairs(state.pairs, x, residual)
    sums.cross -= state.share[state.pairs.peak] * total[state.pairs.gene]
    return sums


def _at_pairs(pairs: Candidates, peaks: sp.csr_matrix, residual: np.ndarray) -> np.ndarray:
    """Return Σ_i residual_ig x_ip of each pair; only cells where the peak is open count."""
    columns = sp.csc_matrix(peaks)
    out = np.zeros(len(pairs))
    for start in range(0, len(pairs), _PAIR_BLOCK):
        here = slice(start, start + _PAIR_BLOCK)
        opened = columns[:, pairs.peak[here]]
        n_open = np.diff(opened.indptr)
        terms = opened.data * residual[opened.indices, np.repeat(pairs.gene[here], n_open)]
        out[here] = np.bincount(np.repeat(np.arange(len(n_open)), n_open), terms, len(n_open))
    return out


def _update(
    state: Links, sums: _Sums, slope: np.ndarray, size: np.ndarray, kind: np.ndarray,
    n_cells: int, *, first: bool,
) -> None:  # fmt: skip
    """Set gates, prior, noise, effect and factors from the sums of a pass."""
    gate, gene = state.gate, state.pairs.gene
    noise, beta = state.noise[gene], state.effect[gene]
    found = (beta * (sums.cross + beta * gate * size) - 0.5 * beta**2 * size) / noise
    target = _logit(state.prior)[kind] + found
    # Half steps: gates of correlated peaks would swing against each other.
    state.score = target if first else 0.5 * state.score + 0.5 * target
    new = state.gate
    for number in range(len(state.prior)):
        here = kind == number
        if here.any():
            # One linked pair in a hundred is worth as much as two pairs of data.
            state.prior[number] = (new[here].sum() + 0.02) / (here.sum() + 2.0)
    spread = np.bincount(gene, gate * (1 - gate) * size, len(state.noise))
    state.noise = np.maximum((sums.squares + state.effect**2 * spread) / n_cells, 0.05)
    weight = slope / state.noise
    power = ((sums.counted + spread) * slope * weight).sum()
    if power > 0:
        state.effect = np.clip((sums.explained * weight).sum() / power, 0.05, 3.0) * slope
    if len(sums.factor_square):
        state.factors = _ridge(sums.factor_square, sums.factor_cross, state)


def _ridge(square: np.ndarray, cross: np.ndarray, state: Links) -> np.ndarray:
    """Return the posterior mean of W; its prior variance is that of the present W and 1e-3."""
    variance = (state.factors**2).mean() + 1e-3
    penalty = float(np.median(state.noise)) / variance
    factors: np.ndarray = np.linalg.solve(square + penalty * np.eye(len(square)), cross)
    return factors


def _classes(pairs: Candidates) -> np.ndarray:
    """Return the class of distance of each pair; one more for pairs without distance."""
    if pairs.distance is None:
        return np.full(len(pairs), len(EDGES) + 1)
    kind = np.searchsorted(EDGES, pairs.distance, side="right")
    return np.where(pairs.distance < 0, len(EDGES) + 1, kind)


def _sigmoid(score: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * score))


def _logit(share: np.ndarray) -> np.ndarray:
    bounded = np.clip(share, 1e-6, 1 - 1e-6)
    return np.log(bounded / (1 - bounded))
