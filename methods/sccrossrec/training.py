"""Training on right and wrong pairs of cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.seeds import derive_seed

from ..nn.train import copy_weights

if TYPE_CHECKING:
    from bench.contract import Context

    from .cell_graphs import CellGraphs
    from .network import BipartiteNetwork
    from .params import ScCrossRecParameters

_EVALUATION_BATCH = 16
_MAX_HELD_OUT = 200
"""Held-out cells, at most."""

_FAR_QUANTILE = 0.5
"""``lsi_far``: distances above this quantile."""

WrongPairs = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Returns wrong pairs of some cells, (pairs, 2): RNA of one, ATAC of another."""


def wrong_pairs(
    cells: np.ndarray,
    mode: str,
    ratio: int,
    rng: np.random.Generator,
    *,
    components: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """Return ``ratio`` wrong pairs for each cell: RNA cell and another ATAC cell, (pairs, 2).

    Both are among ``cells``. ``components``: LSI of all cells, for ``lsi_far``. ``labels``: of all
    cells, for ``label_easy`` (another type) and ``label_hard`` (the same type).
    """
    if len(cells) < 2:
        return np.empty((0, 2), dtype=np.int64)
    if mode == "random_cell":
        n = len(cells)
        first = np.tile(np.arange(n), ratio)
        second = (first + rng.integers(1, n, len(first))) % n
        return np.column_stack([cells[first], cells[second]])
    pairs = []
    for _ in range(ratio):
        for number, cell in enumerate(cells):
            others = _eligible_cells(cells, number, mode, components, labels)
            pairs.append((cell, others[rng.integers(len(others))]))
    return np.array(pairs, dtype=np.int64)


def _eligible_cells(
    cells: np.ndarray, number: int, mode: str, components: np.ndarray | None,
    labels: np.ndarray | None,
) -> np.ndarray:  # fmt: skip
    """Return the cells that may stand in a wrong pair with ``cells[number]``."""
    others = np.delete(cells, number)
    if mode == "lsi_far" and components is not None and components.shape[1]:
        distance = ((components[others] - components[cells[number]]) ** 2).sum(axis=1)
        return others[distance >= np.quantile(distance, _FAR_QUANTILE)]
    if mode.startswith("label") and labels is not None:
        same = labels[others] == labels[cells[number]]
        eligible = others[same] if mode == "label_hard" else others[~same]
        return eligible if len(eligible) else others
    return others


def split_cells(n_cells: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted training and held-out cells."""
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
    """Minimise the cross entropy of matching and, without links, the translation error.

    The best epoch on held-out cells has the lowest cross entropy or, with translation, the highest
    accuracy minus mean absolute error, as published. Returns a note.
    """
    rng = np.random.default_rng(derive_seed(context.seed, "pairs"))
    held_out_rng = np.random.default_rng(derive_seed(context.seed, "held-out"))
    held_out_pairs = _labelled_pairs(held_out, wrong, held_out_rng)
    step = _make_step(network, p)
    best, best_epoch, best_state, epoch = -np.inf, 0, copy_weights(network), 0
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
            best, best_epoch, best_state = score, epoch, copy_weights(network)
        elif p.patience and epoch - best_epoch >= p.patience:
            break
    network.load_state_dict(best_state)
    network.eval()
    return f"{epoch} epochs, weights of epoch {best_epoch}"


def evaluate(
    network: BipartiteNetwork, cells: CellGraphs, pairs: np.ndarray, p: ScCrossRecParameters
) -> dict[str, float]:
    """Return loss, accuracy and, of right pairs, the translation error."""
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
    """Return the logits of pairs of cells, (pairs, 2)."""
    return _evaluate_pairs(network, cells, pairs)[1]


def cell_pools(network: BipartiteNetwork, cells: CellGraphs, pairs: np.ndarray) -> np.ndarray:
    """Return pooled genes and peaks of pairs, (pairs, 2 · hidden)."""
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
    """Return RNA cell, ATAC cell and 1 for a right pair, (pairs, 3)."""
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
    """Return a function that takes a step; sparse embeddings have their own optimiser."""
    tables = [network.genes.table.weight, network.peaks.table.weight]
    sparse = {id(one) for one in tables} if p.sparse else set()
    others = [one for one in network.parameters() if id(one) not in sparse]
    # Fused, because a step of the published network updates all embeddings.
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Adam(
            others, lr=p.learning_rate, weight_decay=p.weight_decay, fused=not p.sparse
        )
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
