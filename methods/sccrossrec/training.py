"""Training of the network: right and wrong pairs of cells, several graphs an update."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.seeds import derive_seed

if TYPE_CHECKING:
    from bench.contract import Context

    from .cell_graphs import CellGraphs
    from .network import BipartiteNetwork
    from .params import ScCrossRecParameters

_EVALUATION_BATCH = 16
_MAX_HELD_OUT = 200
"""Largest number of held-out cells: enough to choose an epoch."""

WrongPairs = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Returns wrong pairs of some cells, (pairs, 2): RNA of one, ATAC of another."""


def split_cells(n_cells: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return training and held-out cells, both sorted; wrong pairs never cross the two."""
    mixed = np.random.default_rng(derive_seed(seed, "held-out")).permutation(n_cells)
    n_held_out = min(round(share * n_cells), _MAX_HELD_OUT)
    n_held_out = n_held_out if n_held_out >= 2 else 0
    return np.sort(mixed[n_held_out:]), np.sort(mixed[:n_held_out])


def train(
    network: BipartiteNetwork,
    cells: CellGraphs,
    training: np.ndarray,
    held_out: np.ndarray,
    wrong: WrongPairs,
    p: ScCrossRecParameters,
    context: Context,
) -> str:
    """Minimise the cross entropy of matching and, without links, the error of translation.

    The network ends with the weights of the best epoch on the held-out cells: the highest accuracy
    minus mean absolute error of translation, as published; without translation the lowest cross
    entropy. Returns a note on the epochs.
    """
    rng = np.random.default_rng(derive_seed(context.seed, "pairs"))
    held_out_rng = np.random.default_rng(derive_seed(context.seed, "held-out"))
    held_out_pairs = _labelled_pairs(held_out, wrong, held_out_rng)
    step = _make_step(network, p)
    best, best_epoch, best_state, epoch = -np.inf, 0, _copy(network), 0
    for epoch in range(1, p.max_epochs + 1):
        network.train()
        drawn = np.sort(rng.choice(training, min(p.epoch_cells, len(training)), replace=False))
        pairs = rng.permutation(_labelled_pairs(drawn, wrong, rng))
        total = 0.0
        for batch in _batches(pairs, p.accumulate):
            loss = _loss(network, cells, batch, p)
            step(loss)
            total += float(loss.detach()) * len(batch)
        curves = {"loss": total / max(1, len(pairs))}
        score = -curves["loss"]
        if len(held_out):
            values = evaluate(network, cells, held_out_pairs, p)
            curves |= {f"held_out_{name}": value for name, value in values.items()}
            score = values["accuracy"] - values["mae"] if p.translates else -values["loss"]
        context.report(epoch, p.max_epochs, **curves)
        if score > best:
            best, best_epoch, best_state = score, epoch, _copy(network)
        elif p.patience and epoch - best_epoch >= p.patience:
            break
    network.load_state_dict(best_state)
    network.eval()
    return f"{epoch} epochs, weights of epoch {best_epoch}"


def evaluate(
    network: BipartiteNetwork, cells: CellGraphs, pairs: np.ndarray, p: ScCrossRecParameters
) -> dict[str, float]:
    """Return loss, accuracy and, of right pairs, the mean absolute error of translation."""
    network.eval()
    logits = matching_logits(network, cells, pairs[:, :2])
    values = {
        "loss": float(functional.cross_entropy(logits, _targets(pairs, logits.device))),
        "accuracy": float((logits.argmax(dim=1).cpu().numpy() == pairs[:, 2]).mean()),
    }
    if p.translates:
        errors = []
        with torch.no_grad():
            for cell, _, right in pairs:
                if right:
                    translated = _translate(network, cells, int(cell), p)
                    detected = (cells.expression(cell) > 0).float()
                    errors.append(float((translated - detected).abs().mean()))
        values["mae"] = float(np.mean(errors)) if errors else 0.0
    return values


def matching_logits(network: BipartiteNetwork, cells: CellGraphs, pairs: np.ndarray) -> Tensor:
    """Return the logits of pairs of cells, (pairs, 2), in evaluation mode."""
    return _evaluate_pairs(network, cells, pairs)[1]


def cell_pools(network: BipartiteNetwork, cells: CellGraphs, pairs: np.ndarray) -> np.ndarray:
    """Return the pooled genes and peaks of pairs of cells, (pairs, 2 · hidden)."""
    pools: np.ndarray = _evaluate_pairs(network, cells, pairs)[0].cpu().numpy()
    return pools


def _evaluate_pairs(
    network: BipartiteNetwork, cells: CellGraphs, pairs: np.ndarray
) -> tuple[Tensor, Tensor]:
    network.eval()
    with torch.no_grad():
        parts = [
            network([cells.graph(int(a), int(b)) for a, b in batch[:, :2]])
            for batch in _batches(pairs, _EVALUATION_BATCH)
        ]
    return torch.cat([one[0] for one in parts]), torch.cat([one[1] for one in parts])


def _labelled_pairs(cells: np.ndarray, wrong: WrongPairs, rng: np.random.Generator) -> np.ndarray:
    """Return (pairs, 3): RNA cell, ATAC cell, 1 for a right pair."""
    right = np.column_stack([cells, cells, np.ones_like(cells)])
    pairs = wrong(cells, rng)
    return np.concatenate([right, np.column_stack([pairs, np.zeros(len(pairs), np.int64)])])


def _batches(pairs: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]


def _loss(
    network: BipartiteNetwork, cells: CellGraphs, batch: np.ndarray, p: ScCrossRecParameters
) -> Tensor:
    _, logits = network([cells.graph(int(a), int(b)) for a, b, _ in batch])
    loss = functional.cross_entropy(logits, _targets(batch, logits.device))
    if not p.translates:
        return loss
    errors = [
        functional.mse_loss(_translate(network, cells, int(a), p), _expression(cells, int(a), p))
        for a, _, right in batch
        if right
    ]
    return loss + p.alpha_translation * torch.stack(errors).sum() / len(batch) if errors else loss


def _translate(
    network: BipartiteNetwork, cells: CellGraphs, cell: int, p: ScCrossRecParameters
) -> Tensor:
    graph = cells.graph(cell, cell)
    return network.translate(graph, hard=True, threshold=p.on_count_threshold)


def _expression(cells: CellGraphs, cell: int, p: ScCrossRecParameters) -> Tensor:
    values = cells.expression(cell)
    return (values > 0).float() if p.translation_target == "binary" else values


def _targets(pairs: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pairs[:, 2])).to(device)


def _make_step(network: BipartiteNetwork, p: ScCrossRecParameters) -> Callable[[Tensor], None]:
    """Return a function that takes one step; sparse embeddings have an optimiser of their own."""
    tables = [network.genes.table.weight, network.peaks.table.weight]
    sparse = {id(one) for one in tables} if p.sparse else set()
    others = [one for one in network.parameters() if id(one) not in sparse]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Adam(others, lr=p.learning_rate, weight_decay=p.weight_decay)
    ]
    if p.sparse:
        optimizers.append(torch.optim.SparseAdam(tables, lr=p.learning_rate))

    def step(loss: Tensor) -> None:
        for one in optimizers:
            one.zero_grad(set_to_none=True)
        loss.backward()
        for one in optimizers:
            one.step()

    return step


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
