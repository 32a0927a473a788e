"""Top-k attention: the sparse form equals the dense one written from the publication."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.methods.sccrossrec.attention import AttentionRules, _top, _top_of_shares, attend


def dense(
    query: Tensor, key: Tensor, mask: Tensor, rules: AttentionRules, bonus: Tensor | None = None
) -> Tensor:
    """Return all weights, genes × peaks, of equal scores the first peaks first."""
    score = query @ key.T
    slots = min(rules.top_k, len(key))
    if rules.sigmoid and rules.fill:
        share = torch.sigmoid(score * mask)
        place = torch.argsort(share, dim=1, descending=True, stable=True)[:, :slots]
        weight = torch.softmax(share.gather(1, place), dim=1)
        weight = torch.zeros_like(score).scatter(1, place, weight)
        return weight * (share > rules.threshold)
    score = score if rules.sigmoid else score / query.shape[1] ** 0.5
    if bonus is not None:
        score = score + bonus
        mask = mask & ~torch.isneginf(bonus)
    score = score.masked_fill(~mask, -torch.inf)
    place = torch.argsort(score, dim=1, descending=True, stable=True)[:, :slots]
    chosen = torch.zeros_like(score, dtype=torch.bool).scatter(1, place, True) & mask
    exponent = torch.sigmoid(score) if rules.sigmoid else score
    exponent = exponent.masked_fill(~chosen, -torch.inf)
    none = ~chosen.any(dim=1, keepdim=True)
    weight = torch.softmax(exponent.masked_fill(none, 0.0), dim=1).masked_fill(none, 0.0)
    return weight * (torch.sigmoid(score) > rules.threshold) if rules.sigmoid else weight


def case(seed: int, n_genes: int, n_peaks: int, n_chromosomes: int, scale: float = 1.0):
    """Return queries, keys, values of peaks, values of genes and codes of chromosomes."""
    make = torch.Generator().manual_seed(seed)
    width = 8
    tables = [torch.randn(n, width, generator=make, dtype=torch.float64) * scale
              for n in (n_genes, n_peaks, n_peaks, n_genes)]  # fmt: skip
    codes = [torch.randint(-1, n_chromosomes, (n,), generator=make) for n in (n_genes, n_peaks)]
    return tables, codes


def compare(
    tables: list[Tensor], codes: list[Tensor], rules: AttentionRules, bonus=None
) -> Tensor:
    """Compare outputs and gradients; return the dense weights."""
    found = []
    mask = (codes[0][:, None] == codes[1][None, :]) & (codes[0] >= 0)[:, None]
    for sparse in (True, False):
        q, k, va, vr = (one.clone().requires_grad_() for one in tables)
        if sparse:
            scores = None if bonus is None else lambda rows, columns: bonus[rows][:, columns]
            attention = attend(q, k, codes[0], codes[1], rules, scores)
            slots = attention.peak.clamp(min=0)
            matrix = q.new_zeros(len(q), len(k)).scatter_add(1, slots, attention.weight)
            genes, peaks = matrix @ va, matrix.T @ vr
            torch.testing.assert_close(attention.to_peaks(vr[:, 0], len(k)), peaks[:, 0])
        else:
            weight = dense(q, k, mask, rules, bonus)
            genes, peaks = weight @ va, weight.T @ vr
        (genes.square().sum() + (peaks * va).sum()).backward()
        grads = [torch.zeros_like(one) if one.grad is None else one.grad for one in (q, k, va, vr)]
        found.append([genes.detach(), peaks.detach(), *grads])
    for one, other in zip(*found, strict=True):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)
    return weight.detach()


PUBLISHED = AttentionRules()
MODES = {
    "published": PUBLISHED,
    "five": AttentionRules(top_k=5, threshold=0.5),
    "no filling": AttentionRules(fill=False),
    "softmax": AttentionRules(top_k=6, sigmoid=False, fill=False),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_sparse_equals_dense(mode: str, scale: float):
    weight = compare(*case(0, 40, 120, 4, scale), MODES[mode])
    assert (weight > 0).any()


def test_fillers_of_other_chromosomes_share_in_the_softmax():
    """Small scores: most slots hold pairs across chromosomes, sigmoid 0.5, weight 0."""
    tables, codes = case(1, 30, 60, 6, 0.6)
    weight = compare(tables, codes, PUBLISHED)
    row = weight.sum(dim=1)
    assert ((row > 0) & (row < 0.95)).sum() > 10


@pytest.mark.parametrize("mode", MODES)
def test_fewer_peaks_than_slots(mode: str):
    """Genes with no, with few and with more peaks than slots; a graph with fewer than ten."""
    compare(*case(2, 20, 25, 8), MODES[mode])
    compare(*case(3, 12, 6, 2), MODES[mode])
    compare(*case(4, 5, 1, 1), MODES[mode])


@pytest.mark.parametrize("mode", MODES)
def test_one_chromosome_leaves_negative_scores_in_the_slots(mode: str):
    tables, _ = case(5, 15, 12, 1)
    codes = [torch.zeros(15, dtype=torch.long), torch.zeros(12, dtype=torch.long)]
    compare(tables, codes, MODES[mode])


@pytest.mark.parametrize("mode", MODES)
def test_ties_select_the_first_peaks(mode: str):
    """Peaks in threes with equal keys but values of their own."""
    tables, codes = case(6, 30, 90, 3)
    tables[1] = tables[1][::3].repeat_interleave(3, dim=0)
    codes[1] = codes[1][::3].repeat_interleave(3)
    compare(tables, codes, MODES[mode])


def test_genes_without_chromosome_attend_to_nothing():
    tables, codes = case(7, 20, 60, 3)
    for rules in MODES.values():
        found = attend(tables[0], tables[1], codes[0], codes[1], rules)
        assert (found.weight[codes[0] < 0] == 0).all()
        assert (found.weight[codes[0] >= 0] > 0).any()
        real = found.peak >= 0
        gene = real.nonzero()[:, 0]
        assert (codes[1][found.peak[real]] == codes[0][gene]).all()


def test_added_scores_and_pairs_that_cannot_attend():
    tables, codes = case(8, 25, 80, 3)
    make = torch.Generator().manual_seed(0)
    bonus = torch.randn(25, 80, generator=make, dtype=torch.float64) * 3
    bonus[torch.rand(25, 80, generator=make) < 0.6] = -torch.inf
    weight = compare(tables, codes, MODES["softmax"], bonus)
    assert (weight[torch.isneginf(bonus)] == 0).all()
    rows = weight.sum(dim=1)
    assert ((rows == 0) | ((rows - 1).abs() < 1e-9)).all()


def test_published_weights_hardly_depend_on_the_scores():
    """Why the default has another norm: kept weights of ten lie between 0.083 and 0.155."""
    for scale in (0.7, 1.0, 3.0):
        weight = compare(*case(9, 60, 200, 2, scale), PUBLISHED)
        kept = weight[weight > 0]
        assert kept.min() > 0.083
        assert kept.max() < 0.155


def test_the_first_of_tied_shares_are_selected():
    """Sigmoids that tie at 0 and at 1, and pairs that cannot attend."""
    make = torch.Generator().manual_seed(0)
    share = torch.sigmoid(60 * torch.randn(200, 40, generator=make))
    share[torch.rand(200, 40, generator=make) < 0.2] = -torch.inf
    share[:5] = -torch.inf
    assert (share == 1).sum() > 1000
    for width in (1, 10, 40):
        value, place = _top_of_shares(share, width)
        expected = torch.argsort(share, dim=1, descending=True, stable=True)[:, :width]
        torch.testing.assert_close(place, expected)
        torch.testing.assert_close(value, share.gather(1, expected))
        plain, chosen = _top(share, width)
        torch.testing.assert_close(plain.sort(dim=1).values, value.sort(dim=1).values)
        assert (chosen.sort(dim=1).values == place.sort(dim=1).values)[5:].all()
