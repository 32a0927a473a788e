"""Losses of graphs and clusters."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

_TILE = 1_000_000
"""Entries of the adjacency matrix per block."""
_EXACT_NODES = 3_000
"""Nodes up to which every pair counts; above, a random part of the rows."""


class AdjacencyLoss:
    """Loss of the logits gB gᵀ against a graph, without a matrix of n × n.

    ``balanced``: half the weighted mean of softplus(-s_ij) over edges plus half the mean of
    softplus(s_ij) over other pairs. Constants reach log 2 at best, so that a lower loss means
    structure (Kipf and Welling 2016 also weight edges up). Else, as published, the mean of (a_ij -
    sigmoid(s_ij))² over all pairs, which is small for all-zero predictions.

    Above 3,000 nodes the loss is an unbiased estimate from random rows, about nine million pairs.
    """

    def __init__(
        self, target: sp.csr_matrix, *, balanced: bool, device: str | torch.device,
        exact_nodes: int = _EXACT_NODES,
    ) -> None:  # fmt: skip
        matrix = sp.csr_matrix(target)
        self.n_nodes = n = matrix.shape[0]
        if balanced:
            matrix = sp.csr_matrix(matrix - sp.diags(matrix.diagonal()))
            matrix.eliminate_zeros()
            total, free = float(matrix.sum()), n * (n - 1) - matrix.nnz
            self._edge_factor = 0.5 / total if total else 0.0
            self._free_factor = 0.5 / free if free else 0.0
        self._balanced = balanced
        self._starts = torch.from_numpy(matrix.indptr.astype(np.int64)).to(device)
        self._columns = torch.from_numpy(matrix.indices.astype(np.int64)).to(device)
        self._weights = torch.from_numpy(matrix.data.astype(np.float32)).to(device)
        self._sampled = n if n <= exact_nodes else max(1, exact_nodes**2 // n)

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the loss; it draws rows from torch's random state if there are many."""
        n = self.n_nodes
        rows = torch.arange(n, device=left.device)
        if self._sampled < n:
            rows = torch.randperm(n, device=left.device)[: self._sampled]
        loss: Tensor = _Tiles.apply(left, right, self, rows)
        return loss

    def tile(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the weights of some rows as a dense block, (rows, n)."""
        starts = self._starts[rows]
        counts = self._starts[rows + 1] - starts
        place = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), counts)
        offset = torch.arange(len(place), device=rows.device) - (counts.cumsum(0) - counts)[place]
        entries = starts[place] + offset
        block = torch.zeros(len(rows), self.n_nodes, dtype=dtype, device=rows.device)
        block[place, self._columns[entries]] = self._weights[entries].to(dtype)
        return block

    def of_tile(self, logits: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a block of logits, (rows, n), and its derivative."""
        weights, chance = self.tile(rows, logits.dtype), torch.sigmoid(logits)
        if not self._balanced:
            error, factor = chance - weights, 1.0 / self.n_nodes**2
            return error.square().sum() * factor, 2 * factor * error * chance * (1 - chance)
        free = (weights == 0).to(logits.dtype)
        free[torch.arange(len(rows), device=rows.device), rows] = 0
        weights *= self._edge_factor
        total = weights + self._free_factor * free
        loss = (total * functional.softplus(logits)).sum() - (weights * logits).sum()
        return loss, total * chance - weights


class _Tiles(torch.autograd.Function):
    """Sum over tiles of rows, whose forward pass also computes the gradient."""

    @staticmethod
    def forward(ctx, left, right, loss, rows):  # type: ignore[no-untyped-def]
        n = loss.n_nodes
        factor = n / len(rows)
        total = torch.zeros((), dtype=torch.float64, device=left.device)
        d_left, d_right = torch.zeros_like(left), torch.zeros_like(right)
        for part in rows.split(max(1, _TILE // n)):
            value, slope = loss.of_tile(left[part] @ right.T, part)
            total += value * factor
            d_left[part] = slope @ right * factor
            d_right += slope.T @ left[part] * factor
        ctx.save_for_backward(d_left, d_right)
        return total.to(left.dtype)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        d_left, d_right = ctx.saved_tensors
        return gradient * d_left, gradient * d_right, None, None


def edge_auroc(left: Tensor, right: Tensor, target: sp.csr_matrix, seed: int) -> float:
    """Return the AUROC of the logits for edges against other pairs.

    Computed from up to 20,000 random edges and other pairs; NaN without edges or without other
    pairs.
    """
    rng = np.random.default_rng(seed)
    n = target.shape[0]
    if not target.nnz:
        return float("nan")
    entries = rng.choice(target.nnz, min(20_000, target.nnz), replace=False)
    rows = np.searchsorted(target.indptr, entries, side="right") - 1
    edges = np.column_stack((rows, target.indices[entries])).astype(np.int64)
    edges = edges[edges[:, 0] != edges[:, 1]]
    pairs = rng.integers(0, n, (20_000, 2))
    is_edge = np.asarray(target[pairs[:, 0], pairs[:, 1]]).ravel() != 0
    pairs = pairs[~is_edge & (pairs[:, 0] != pairs[:, 1])]
    if not len(edges) or not len(pairs):
        return float("nan")
    nodes = torch.from_numpy(np.concatenate((edges, pairs))).to(left.device)
    scores = (left[nodes[:, 0]] * right[nodes[:, 1]]).sum(dim=1).detach().cpu().numpy()
    truth = np.repeat([1, 0], [len(edges), len(pairs)])
    return float(roc_auc_score(truth, scores))


def soft_assignment(codes: Tensor, centres: Tensor) -> Tensor:
    """Return q_ik ∝ (1 + ‖z_i - μ_k‖²)^(-1), (n, K), rows sum to one.

    Student's t with one degree of freedom (Xie, Girshick and Farhadi 2016, eq. 1).
    """
    distances = (codes[:, None, :] - centres[None, :, :]).square().sum(dim=2)
    return functional.normalize(1.0 / (1.0 + distances), p=1.0, dim=1)


def sharpened(q: Tensor) -> Tensor:
    """Return the target p_ik ∝ q_ik² / Σ_i q_ik, (n, K), without gradient (Xie et al., eq. 3)."""
    weight = q.detach().square() / q.detach().sum(dim=0).clamp_min(1e-12)
    return functional.normalize(weight, p=1.0, dim=1)


def cluster_loss(q: Tensor, p: Tensor, direction: str) -> Tensor:
    """Return the mean over nodes of KL(P‖Q) (``pq``) or KL(Q‖P) (``qp``)."""
    log_q, log_p = q.clamp_min(1e-12).log(), p.clamp_min(1e-12).log()
    if direction == "pq":
        return (p * (log_p - log_q)).sum(dim=1).mean()
    return (q * (log_q - log_p)).sum(dim=1).mean()
