"""The training loop of all networks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bench.seeds import derive_seed

from .params import NetworkParameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.contract import Context

    from .batches import Block, Cells

_BETTER = 1e-4
"""Share by which a loss must fall to count as better."""
_ENCODE_BATCH = 1024
EPOCH_CELLS = 100_000
"""Most cells of an epoch; a pass over more cells takes several epochs."""


class BlockLoss(Protocol):
    """Loss of a block; ``update``: updates so far, ``None`` for held-out cells."""

    def __call__(self, block: Block, update: int | None) -> dict[str, Tensor]:
        """Return scalars by name, the loss first."""


@dataclass(frozen=True)
class Schedule:
    """Options of the training loop; names and meanings are those of ``NetworkParameters``."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    learning_rate_decay: float = 1.0
    learning_rate_floor: float = 0.0
    patience: int = 20
    validation: float = 0.1
    shuffle: bool = True
    drop_last: bool = False
    warmup: int = 0
    """Updates before early stopping counts; epochs before it are no candidates."""
    optimizer: str = "adam"

    @classmethod
    def of(cls, params: NetworkParameters, **changes: Any) -> Schedule:
        """Return the schedule of a method's parameters with ``changes``."""
        names = {field.name for field in fields(cls)} & NetworkParameters.model_fields.keys()
        return cls(**({name: getattr(params, name) for name in names} | changes))


@dataclass(frozen=True)
class TrainingSummary:
    """Number of epochs, and the epoch of the restored weights."""

    epochs: int
    best_epoch: int
    """0: the weights before training."""
    epoch_cells: int = 0
    """Cells of an epoch, if it is no pass over all training cells."""

    def note(self) -> str:
        """Return a line for the notes of a fit."""
        each = f" of {self.epoch_cells} cells" if self.epoch_cells else ""
        return f"{self.epochs} epochs{each}, weights of epoch {self.best_epoch}"


@contextmanager
def seeded(seed: int, *path: str, device: str = "cpu") -> Iterator[None]:
    """Seed torch inside the ``with`` block; its state is restored afterwards."""
    devices = [torch.cuda.current_device()] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(seed, *path))
        yield


def train(
    network: nn.Module,
    objective: BlockLoss,
    cells: Cells,
    schedule: Schedule,
    context: Context,
    *,
    stage: str = "",
) -> TrainingSummary:
    """Minimise ``objective`` over the trained parameters of ``network``.

    The loss on held-out cells stops training early (without them: the training loss). The best
    weights after the warm-up are restored; of all epochs, if it does not end. One report an epoch,
    names prefixed by ``stage``. An epoch has at most ``EPOCH_CELLS`` cells, and at most the share
    ``validation`` of as many cells is held out, so that the time does not grow with further cells.
    Call it inside :func:`seeded`. Raises ``Diverged`` (through ``context.report``) if a loss is
    not finite.
    """
    training, held_out = _split(cells.n_cells, schedule.validation, context.seed)
    order = np.random.default_rng(derive_seed(context.seed, "batches", stage))
    epochs = _epochs(training, order if schedule.shuffle else None)
    optimizer = _optimizer(network, schedule)
    best, best_epoch, best_state = float("inf"), 0, copy_weights(network)
    update = waited = epoch = 0
    settled = not schedule.warmup
    for epoch in range(1, schedule.max_epochs + 1):
        rows = next(epochs)
        network.train()
        sums = _Sums()
        for block in cells.blocks(rows, schedule.batch_size):
            if schedule.drop_last and len(block) < schedule.batch_size <= len(rows):
                continue
            _set_learning_rate(optimizer, schedule, update)
            parts = objective(block, update)
            take_step(optimizer, next(iter(parts.values())))
            sums.add(parts, len(block))
            update += 1
        values = sums.means()
        if len(held_out):
            values |= _evaluate(network, objective, cells, held_out)
        prefixed = {f"{stage}_{name}" if stage else name: v for name, v in values.items()}
        context.report(epoch, schedule.max_epochs, **prefixed)
        watched = values["held_out_loss"] if len(held_out) else values["loss"]
        if not settled and update > schedule.warmup:
            best, settled = float("inf"), True  # an epoch of the warm-up had another objective
        if watched < best - _BETTER * abs(best) or not np.isfinite(best):
            best, best_epoch, best_state, waited = watched, epoch, copy_weights(network), 0
        elif update > schedule.warmup:
            waited += 1
            if waited >= schedule.patience:
                break
    network.load_state_dict(best_state)
    return TrainingSummary(epoch, best_epoch, EPOCH_CELLS * (len(training) > EPOCH_CELLS))


def encode(network: nn.Module, function: Callable[[Block], Tensor], cells: Cells) -> np.ndarray:
    """Return ``function`` of all cells in evaluation mode, float32."""
    network.eval()
    with torch.inference_mode():
        parts = [
            function(block).float().cpu().numpy()
            for block in cells.blocks(np.arange(cells.n_cells), _ENCODE_BATCH)
        ]
    return np.concatenate(parts)


def n_parameters(network: nn.Module) -> int:
    """Return the number of trained weights."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


class _Sums:
    """Running sums on the device, read once an epoch."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, parts: dict[str, Tensor], n_cells: int) -> None:
        for name, value in parts.items():
            summed = value.detach() * n_cells
            self._sums[name] = self._sums[name] + summed if name in self._sums else summed
        self._count += n_cells

    def means(self) -> dict[str, float]:
        return {name: float(value) / self._count for name, value in self._sums.items()}


def _epochs(training: np.ndarray, order: np.random.Generator | None) -> Iterator[np.ndarray]:
    """Yield the positions of each epoch: passes over ``training``, in parts if it is long.

    ``order`` mixes the cells of each pass.
    """
    while True:
        cells = training if order is None else order.permutation(training)
        for start in range(0, max(1, len(cells)), EPOCH_CELLS):
            yield cells[start : start + EPOCH_CELLS]


def _split(n_cells: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return training and held-out positions, both sorted."""
    rng = np.random.default_rng(derive_seed(seed, "held-out"))
    n_held_out = round(share * min(n_cells, EPOCH_CELLS))
    mixed = rng.permutation(n_cells)
    return np.sort(mixed[n_held_out:]), np.sort(mixed[:n_held_out])


def _optimizer(network: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Return the optimiser; weights and biases decay, parameters of priors and noise do not."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad:
                (decayed if isinstance(module, nn.Linear) else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": schedule.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=schedule.learning_rate)
    return torch.optim.Adam(groups, lr=schedule.learning_rate, fused=True)


def _set_learning_rate(optimizer: torch.optim.Optimizer, schedule: Schedule, update: int) -> None:
    if schedule.learning_rate_decay < 1 and update % 10 == 0:
        decayed = schedule.learning_rate * schedule.learning_rate_decay ** (update // 10)
        for group in optimizer.param_groups:
            group["lr"] = max(decayed, schedule.learning_rate_floor)


def _evaluate(
    network: nn.Module, objective: BlockLoss, cells: Cells, rows: np.ndarray
) -> dict[str, float]:
    """Return two mean losses of the cells ``rows``: the objective, and reconstruction plus KL.

    The second has no penalties and weights. It bounds the negative log-likelihood and is
    comparable between fits with different weights.
    """
    network.eval()
    sums = _Sums()
    with torch.inference_mode():
        for block in cells.blocks(rows, _ENCODE_BATCH):
            sums.add(objective(block, None), len(block))
    means = sums.means()
    loss = next(iter(means.values()))
    plain = means.get("reconstruction_loss", loss) + means.get("kl_loss", 0.0)
    return {"held_out_loss": loss, "held_out_likelihood_loss": plain}


def copy_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the weights and buffers of a network."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def take_step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step down the gradient of ``loss``."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
