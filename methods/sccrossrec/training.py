"""Training of the network: right and wrong pairs of cells, several graphs an update."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contract import Context
from bench.seeds import derive_seed

from .cell_graphs import Cells
from .network import Network
from .params import CrossParameters

_EVALUATED = 16
_HELD_OUT = 200
"""Most cells that are held out: enough to choose an epoch, and asked after each."""

Wrong = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From cells to (pairs, 2): RNA of one, ATAC of another of them."""


@dataclass(frozen=True)
class Trained:
    """How training went."""

    epochs: int
    best_epoch: int

    def note(self) -> str:
        """Return a line for the notes of a fit."""
        return f"{self.epochs} epochs, weights of epoch {self.best_epoch}"


def split(n_cells: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return training and held-out cells, both sorted; wrong pairs never cross the two."""
    mixed = np.random.default_rng(derive_seed(seed, "held-out")).permutation(n_cells)
    n_held_out = min(round(share * n_cells), _HELD_OUT)
    n_held_out = n_held_out if n_held_out >= 2 else 0
    return np.sort(mixed[n_held_out:]), np.sort(mixed[:n_held_out])


def train(
    network: Network, cells: Cells, training: np.ndarray, held_out: np.ndarray, wrong: Wrong,
    p: CrossParameters, context: Context,
) -> Trained:  # fmt: skip
    """Minimise the cross entropy of matching and, without links, the error of translation.

    The weights of the best epoch stay: highest accuracy minus mean absolute error of translation
    on the held-out cells as published, without translation their lowest cross entropy.
    """
    order = np.random.default_rng(derive_seed(context.seed, "pairs"))
    fixed = _labelled(held_out, wrong, np.random.default_rng(derive_seed(context.seed, "held-out")))
    translated = p.translates
    step = _stepper(network, p)
    best, best_epoch, best_state, epoch = -np.inf, 0, _copy(network), 0
    for epoch in range(1, p.max_epochs + 1):
        network.train()
        some = np.sort(order.choice(training, min(p.epoch_cells, len(training)), replace=False))
        pairs = order.permutation(_labelled(some, wrong, order))
        total = 0.0
        for group in _groups(pairs, p.accumulate):
            loss = _loss(network, cells, group, p, translated=translated)
            step(loss)
            total += float(loss.detach()) * len(group)
        reported = {"loss": total / max(1, len(pairs))}
        reached = -reported["loss"]
        if len(held_out):
            found = evaluate(network, cells, fixed, p, translated=translated)
            reported |= {f"held_out_{name}": value for name, value in found.items()}
            reached = found["accuracy"] - found["mae"] if translated else -found["loss"]
        context.report(epoch, p.max_epochs, **reported)
        if reached > best:
            best, best_epoch, best_state = reached, epoch, _copy(network)
        elif p.patience and epoch - best_epoch >= p.patience:
            break
    network.load_state_dict(best_state)
    network.eval()
    return Trained(epoch, best_epoch)


def evaluate(
    network: Network, cells: Cells, pairs: np.ndarray, p: CrossParameters, *, translated: bool
) -> dict[str, float]:
    """Return loss, accuracy and, of right pairs, the mean absolute error of translation."""
    network.eval()
    logits = logits_of(network, cells, pairs[:, :2])
    found = {
        "loss": float(functional.cross_entropy(logits, _targets(pairs, logits.device))),
        "accuracy": float((logits.argmax(dim=1).cpu().numpy() == pairs[:, 2]).mean()),
    }
    if translated:
        errors = []
        with torch.no_grad():
            for cell, _, right in pairs:
                if right:
                    on = _translation(network, cells, int(cell), p)
                    errors.append(float((on - (cells.expression(cell) > 0).float()).abs().mean()))
        found["mae"] = float(np.mean(errors)) if errors else 0.0
    return found


def logits_of(network: Network, cells: Cells, pairs: np.ndarray) -> Tensor:
    """Return the logits of pairs of cells, (pairs, 2), in evaluation mode."""
    return _both(network, cells, pairs)[1]


def pools_of(network: Network, cells: Cells, pairs: np.ndarray) -> np.ndarray:
    """Return the pooled genes and peaks of pairs of cells, (pairs, 2 · hidden)."""
    pools: np.ndarray = _both(network, cells, pairs)[0].cpu().numpy()
    return pools


def _both(network: Network, cells: Cells, pairs: np.ndarray) -> tuple[Tensor, Tensor]:
    network.eval()
    with torch.no_grad():
        parts = [
            network([cells.graph(int(a), int(b)) for a, b in group[:, :2]])
            for group in _groups(pairs, _EVALUATED)
        ]
    return torch.cat([one[0] for one in parts]), torch.cat([one[1] for one in parts])


def _labelled(cells: np.ndarray, wrong: Wrong, rng: np.random.Generator) -> np.ndarray:
    """Return (pairs, 3): RNA cell, ATAC cell, 1 for a right pair."""
    right = np.column_stack([cells, cells, np.ones_like(cells)])
    others = wrong(cells, rng)
    return np.concatenate([right, np.column_stack([others, np.zeros(len(others), np.int64)])])


def _groups(pairs: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]


def _loss(
    network: Network, cells: Cells, group: np.ndarray, p: CrossParameters, *, translated: bool
) -> Tensor:
    graphs = [cells.graph(int(a), int(b)) for a, b, _ in group]
    _, logits = network(graphs)
    loss = functional.cross_entropy(logits, _targets(group, logits.device))
    if not translated:
        return loss
    errors = [
        functional.mse_loss(_translation(network, cells, int(a), p), _target(cells, int(a), p))
        for a, _, right in group
        if right
    ]
    return loss + p.alpha_translation * torch.stack(errors).sum() / len(group) if errors else loss


def _translation(network: Network, cells: Cells, cell: int, p: CrossParameters) -> Tensor:
    return network.translate(
        cells.graph(cell, cell), hard=True, threshold=p.on_count_threshold
    )  # fmt: skip


def _target(cells: Cells, cell: int, p: CrossParameters) -> Tensor:
    values = cells.expression(cell)
    return (values > 0).float() if p.translation_target == "binary" else values


def _targets(pairs: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pairs[:, 2])).to(device)


def _stepper(network: Network, p: CrossParameters) -> Callable[[Tensor], None]:
    """Return what takes one step; embeddings with sparse gradients have an optimiser of theirs."""
    tables = [network.genes.table.weight, network.peaks.table.weight]
    kept = {id(one) for one in tables} if p.sparse else set()
    others = [one for one in network.parameters() if id(one) not in kept]
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
