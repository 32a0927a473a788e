"""Top-k attention of genes to peaks, exact, without a tensor of size genes × peaks.

Peaks are selected chromosome by chromosome without gradients. Scores of selected pairs are
computed again with gradients. In the published form pairs across chromosomes have score 0 and
sigmoid 0.5. They fill slots that no positive score takes and get weight 0 by the threshold; here
they are slots without a peak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

PairScores = Callable[[Tensor, Tensor], Tensor]
"""Returns scores to add for genes and peaks of a graph, (genes, peaks); minus infinity for pairs
that cannot attend."""


@dataclass(frozen=True)
class AttentionRules:
    """Rules that turn scores of pairs into attention weights."""

    top_k: int = 10
    threshold: float = 0.8
    sigmoid: bool = True
    """Softmax of sigmoids, cut at the threshold; else softmax of scores / √width."""
    fill: bool = True
    """Pairs across chromosomes have score 0 (``multiply``); else they cannot attend."""


@dataclass(frozen=True)
class Attention:
    """Weights of selected pairs, genes × slots; 0 for slots without a peak."""

    weight: Tensor
    peak: Tensor

    def to_peaks(self, of_genes: Tensor, n_peaks: int) -> Tensor:
        """Return Aᵀ · of_genes, (peaks,)."""
        spread = (self.weight * of_genes.unsqueeze(1)).flatten()
        sums = of_genes.new_zeros(n_peaks)
        return sums.index_add(0, self.peak.clamp(min=0).flatten(), spread)


def attend(
    query: Tensor,
    key: Tensor,
    gene_chrom: Tensor,
    peak_chrom: Tensor,
    rules: AttentionRules,
    pair_scores: PairScores | None = None,
) -> Attention:
    """Return the attention of each gene (``query`` rows) to the peaks (``key`` rows).

    Chromosome codes of -1 pair with nothing. Ties select the first peaks.
    """
    with torch.no_grad():
        peak, filled, added = _select(query, key, gene_chrom, peak_chrom, rules, pair_scores)
    real = peak >= 0
    # Only slots with a peak are computed: many slots of a small graph have none.
    gene, slot = real.nonzero(as_tuple=True)
    # index_select, because the gradient of plain indexing is many times slower on a CPU.
    chosen = key.index_select(0, peak[gene, slot])
    pairs = (query.index_select(0, gene) * chosen).sum(dim=1) * _scale(query, rules)
    score = torch.where(filled, 0.0, -torch.inf).to(query.dtype)
    score = score.index_put((gene, slot), pairs + added[gene, slot])
    if rules.sigmoid:
        share = torch.sigmoid(score)
        exponent = torch.where(real | filled, share, -torch.inf)
        weight = _softmax(exponent) * ((share > rules.threshold) & real)
    else:
        weight = _softmax(score)
    return Attention(weight, peak)


def _softmax(score: Tensor) -> Tensor:
    """Return the softmax of each row; zeros, also of the gradient, for rows without candidates."""
    none = torch.isneginf(score).all(dim=1, keepdim=True)
    return torch.softmax(score.masked_fill(none, 0.0), dim=1).masked_fill(none, 0.0)


def _scale(query: Tensor, rules: AttentionRules) -> float:
    return 1.0 if rules.sigmoid else query.shape[1] ** -0.5


def _select(
    query: Tensor, key: Tensor, gene_chrom: Tensor, peak_chrom: Tensor, rules: AttentionRules,
    pair_scores: PairScores | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return the peaks that genes select, whether slots are filled, and added scores.

    Shapes: genes × slots. Peak -1: none. A filled slot holds a pair across chromosomes, of score
    0.
    """
    n_genes, n_peaks = len(query), len(key)
    slots = min(rules.top_k, n_peaks)
    best = query.new_full((n_genes, slots), -torch.inf)
    peak = torch.full((n_genes, slots), -1, device=query.device)
    selected_added = torch.zeros_like(best)
    n_within = torch.zeros(n_genes, dtype=torch.long, device=query.device)
    for chromosome in torch.unique(gene_chrom):
        rows = (gene_chrom == chromosome).nonzero().flatten()
        columns = (peak_chrom == chromosome).nonzero().flatten()
        if chromosome < 0 or not len(columns):
            continue
        n_within[rows] = len(columns)
        score = (query[rows] @ key[columns].T).mul_(_scale(query, rules))
        added = None if pair_scores is None else pair_scores(rows, columns)
        if added is not None:
            score += added
        if rules.sigmoid:
            # Of the sigmoids, as published: large scores of float32 tie at 1.
            share = torch.sigmoid(score)
            score = share if added is None else torch.where(torch.isneginf(score), score, share)
        width = min(slots, len(columns))
        value, place = _top_of_shares(score, width) if rules.sigmoid else _top(score, width)
        best[rows, :width] = value
        peak[rows, :width] = torch.where(torch.isneginf(value), -1, columns[place])
        if added is not None:
            selected_added[rows, :width] = added.gather(1, place)
    filled = torch.zeros_like(best, dtype=torch.bool)
    if rules.fill:
        peak, filled, selected_added = _fill(best, peak, selected_added, n_peaks - n_within)
    return peak, filled, selected_added.masked_fill(peak < 0, 0.0)


def _top(score: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return values and columns of the ``width`` largest entries of a row, the first of ties."""
    value, place = torch.topk(score, width, dim=1)
    last = value[:, -1:]
    tied = ((score >= last).sum(dim=1) > width) & ~torch.isneginf(last[:, 0])
    if tied.any():
        order = torch.argsort(score[tied], dim=1, descending=True, stable=True)[:, :width]
        place[tied] = order
        value[tied] = score[tied].gather(1, order)
    return value, place


def _top_of_shares(share: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the same as :func:`_top` for float32 values of at least 0 or minus infinity.

    Many sigmoids tie at 1. The bits of the values, read as integers, have the order of the values.
    The bits of the column number below them break ties.
    """
    if share.dtype != torch.float32:
        return _top(share, width)
    last = share.shape[1] - 1
    columns = torch.arange(last, -1, -1, device=share.device)
    keys = share.view(torch.int32).to(torch.int64).bitwise_left_shift_(32).bitwise_or_(columns)
    place = last - torch.topk(keys, width, dim=1).values.bitwise_and_(2**32 - 1)
    return share.gather(1, place), place


def _fill(
    best: Tensor, peak: Tensor, added: Tensor, n_outside: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return peak, filled and added score of slots, with pairs across chromosomes filled in.

    A pair across chromosomes takes a slot where its sigmoid of 0.5 is among the best.
    ``n_outside``: number of peaks on other chromosomes.
    """
    slots = best.shape[1]
    numbers = torch.arange(slots, device=best.device)
    half = torch.where(numbers < n_outside.unsqueeze(1), 0.5, -torch.inf).to(best.dtype)
    value, place = torch.topk(torch.cat([best, half], dim=1), slots, dim=1)
    own = place < slots
    at = place.clamp(max=slots - 1)
    peak = torch.where(own & ~torch.isneginf(value), peak.gather(1, at), -1)
    filled = ~own & ~torch.isneginf(value)
    return peak, filled, added.gather(1, at)
