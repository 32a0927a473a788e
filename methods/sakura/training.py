"""Steps of training over one or several tasks; a fit can be resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bench.seeds import derive_seed

from ..nn.train import copy_weights
from .config_model import fail
from .model_settings import SakuraSettings, Stage, TrainingTask
from .network import MAIN, SakuraNetwork

if TYPE_CHECKING:
    from bench.contract import Reporter

    from .objective import SakuraObjective, Term, TrainingRows

_REPORTED = ("loss", "reconstruction_loss", "guidance_loss")
_WEIGHT = "weight of "
_BETTER = 1e-4
"""Share by which a held-out loss must fall to count as better."""
_WATCH_BATCH = 1024


class AfterStep(Protocol):
    """Called after each step; ``ended``: whether the step ended an epoch."""

    def __call__(self, *, ended: bool) -> None: ...


class BatchStream:
    """Batches of shuffled passes over rows."""

    def __init__(self, rows: np.ndarray, batch_size: int, seed: int) -> None:
        self._rows, self._size = rows, batch_size
        self._rng = np.random.default_rng(seed)
        self._order, self._at = self._rng.permutation(rows), 0

    def next(self) -> tuple[np.ndarray, bool]:
        """Return the next rows, and whether they end a pass."""
        batch = self._order[self._at : self._at + self._size]
        self._at += self._size
        ended = self._at >= len(self._order)
        if ended:
            self._order, self._at = self._rng.permutation(self._rows), 0
        return batch, ended

    def state(self) -> dict[str, Any]:
        order = torch.from_numpy(self._order.copy())
        return {"order": order, "at": self._at, "rng": self._rng.bit_generator.state}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._order, self._at = state["order"].numpy(), state["at"]
        self._rng.bit_generator.state = state["rng"]


class Trainer:
    """Minimise the terms of a stage's tasks step by step.

    Epochs are passes of the first task. Held-out rows stop the training early; without them the
    last weights stay. Seed torch before :meth:`run`.
    """

    def __init__(
        self, objective: SakuraObjective, rows: TrainingRows, stage: Stage, seed: int
    ) -> None:
        self.objective, self.rows, self.network = objective, rows, objective.network
        self._stage, self._tasks, self._settings = stage, stage.tasks, objective.settings
        self._streams = [
            BatchStream(
                rows.splits[task.split], task.batch_size or self._settings.batch_size,
                derive_seed(seed, "batches", task.name),
            )
            for task in stage.tasks
        ]  # fmt: skip
        self.optimizer = _optimizer(self.network, self._settings)
        self.total = stage.max_epochs
        """Epochs of all stages."""
        self._count({})
        self.tick = self.epoch = self.waited = self.best_epoch = 0
        self.passes = 0
        """Passes over the cells of any task, of all stages: the original's counter of epochs."""
        self.best = float("inf")
        self.best_weights: dict[str, Tensor] | None = None
        self.reported: list[dict[str, float]] = []
        self.term_losses: list[dict[str, dict[str, float]]] = []
        """For each epoch: term → ``weight``, ``loss`` (without the weight), ``held_out_loss``."""
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def run(self, report: Reporter, after_step: AfterStep = lambda *, ended: None) -> None:
        """Train to the end and call ``after_step`` after every step.

        Raises ``Diverged`` through ``report`` if a loss is not finite.
        """
        while not self.finished():
            ended = self.step()
            if ended:
                self._end_epoch(report)
            after_step(ended=ended)

    def take_best(self) -> None:
        """Set the weights of the epoch with the lowest held-out loss, if there is one."""
        if self.best_weights is not None:
            self.network.load_state_dict(self.best_weights)

    def step(self) -> bool:
        """Take one step; return whether it ends a pass of the first task."""
        numbers = [self.tick % len(self._tasks)]
        if self._stage.schedule == "sum":
            numbers = list(range(len(self._tasks)))
        self.network.train()
        terms: list[Term] = []
        ended = []
        for number in numbers:
            task = self._tasks[number]
            taken, finished = self._streams[number].next()
            terms += self.objective.terms(self.rows.batch(taken), task, self.epochs)
            ended += [number] if finished else []
        # RMSprop keeps idle modules in step: their squared gradients fade. Adam would move them.
        self.optimizer.zero_grad(set_to_none=not isinstance(self.optimizer, torch.optim.RMSprop))
        total = sum((term.weight * term.value for term in terms), torch.zeros(()))
        if total.requires_grad:
            total.backward()
        self.optimizer.step()
        self._record(terms, total)
        self.tick += 1
        self.passes += len(ended)
        for number in ended:
            for name in self._owners_and_terms(self._tasks[number]):
                self.epochs[name] += 1
        return 0 in ended

    def follow(self, previous: Trainer) -> None:
        """Continue with the optimiser, curves and epoch counts of the stage before."""
        self.optimizer = previous.optimizer
        self.reported, self.term_losses = previous.reported, previous.term_losses
        self.passes = previous.passes
        self._count(previous.epochs)

    def adopt(self, state: Mapping[str, Any]) -> None:
        """Continue with weights, optimiser and epoch counts of a training on other cells."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._count(state["epochs"])

    def _count(self, before: Mapping[str, int]) -> None:
        """Start the epoch counts of each owner and term."""
        names = [MAIN]
        for task in self._tasks:
            names += self._owners_and_terms(task)
            for guide, terms in task.terms.items():
                for name in set(terms).difference(self.objective.names(guide)):
                    message = f"guide '{guide}' has no term '{name}'."
                    fail(f"task '{task.name}'", message, "unknown_name")
        self.epochs = dict.fromkeys(names, 0) | dict(before)

    def _owners_and_terms(self, task: TrainingTask) -> list[str]:
        """Return the owners and terms whose epochs a pass of a task counts."""
        names = [MAIN] * task.reconstruct + list(task.guides)
        for guide in task.guides:
            terms = task.terms.get(guide, self.objective.names(guide))
            names += [f"{guide}: {name}" for name in terms]
        return names

    def finished(self) -> bool:
        stage = self._stage
        if self.epoch >= stage.max_epochs or (stage.max_ticks and self.tick >= stage.max_ticks):
            return True
        return len(self.rows.held_out) > 0 and self.waited >= self._settings.patience

    def _end_epoch(self, report: Reporter) -> None:
        self.epoch += 1
        means = {name: float(v) / self._counts[name] for name, v in self._sums.items()}
        self._sums, self._counts = {}, {}
        values = {name: value for name, value in means.items() if name in _REPORTED}
        losses = {
            name: {"weight": means[f"{_WEIGHT}{name}"], "loss": value}
            for name, value in means.items()
            if f"{_WEIGHT}{name}" in means
        }
        if len(self.rows.held_out):
            values["held_out_loss"], watched = self.watch()
            for name, value in watched.items():
                losses.setdefault(name, {})["held_out_loss"] = value
            self._update_best(values["held_out_loss"])
        self.reported.append(values)
        self.term_losses.append(losses)
        report(len(self.reported), self.total, **values)

    def _update_best(self, watched: float) -> None:
        """Record an epoch with a better held-out loss, once the weights of terms are final."""
        if self.epoch <= self.objective.settled(self._stage.max_epochs):
            return
        if watched < self.best - _BETTER * abs(self.best) or not np.isfinite(self.best):
            self.best, self.best_epoch, self.waited = watched, self.epoch, 0
            self.best_weights = copy_weights(self.network)
        else:
            self.waited += 1

    def watch(self) -> tuple[float, dict[str, float]]:
        """Return the held-out loss with the final weights, and its terms without weights."""
        final = dict.fromkeys(self.epochs, self._stage.max_epochs)
        guides = dict.fromkeys(guide for task in self._tasks for guide in task.guides)
        chosen = {guide: names for task in self._tasks for guide, names in task.terms.items()}
        whole = TrainingTask("watch", reconstruct=True, guides=tuple(guides), terms=chosen)
        self.network.eval()
        total, count = 0.0, 0
        sums: dict[str, float] = {}
        with torch.no_grad():
            for start in range(0, len(self.rows.held_out), _WATCH_BATCH):
                taken = self.rows.held_out[start : start + _WATCH_BATCH]
                value = torch.zeros((), device=self.rows.device)
                for term in self.objective.watched(self.rows.batch(taken), whole, final):
                    value = value + term.weight * term.value
                    summed = sums.get(term.label, 0.0)
                    sums[term.label] = summed + float(term.value) * len(taken)
                total, count = total + float(value) * len(taken), count + len(taken)
        return total / count, {name: value / count for name, value in sums.items()}

    def _record(self, terms: Sequence[Term], total: Tensor) -> None:
        sums = {"loss": total.detach()}
        for term in terms:
            kind = "reconstruction_loss" if term.owner == MAIN else "guidance_loss"
            value = term.value.detach()
            sums[kind] = sums.get(kind, 0.0) + term.weight * value
            sums[term.label] = value
            sums[f"{_WEIGHT}{term.label}"] = torch.tensor(term.weight)
        for name, value in sums.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def state(self) -> dict[str, Any]:
        cuda = self.rows.device.type == "cuda"
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "streams": [stream.state() for stream in self._streams],
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state() if cuda else None,
            "sums": self._sums, "counts": self._counts, "reported": self.reported,
            "term_losses": self.term_losses,
            "best_weights": self.best_weights,
            **{name: getattr(self, name) for name in _COUNTERS},
        }  # fmt: skip

    def report_again(self, report: Reporter) -> None:
        for epoch, values in enumerate(self.reported, start=1):
            report(epoch, self.total, **values)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for stream, kept in zip(self._streams, state["streams"], strict=True):
            stream.restore(kept)
        torch.set_rng_state(state["random"].cpu())
        if state["cuda_random"] is not None and self.rows.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_random"].cpu())
        self._sums, self._counts = state["sums"], state["counts"]
        self.best_weights, self.reported = state["best_weights"], state["reported"]
        self.term_losses = state["term_losses"]
        for name in _COUNTERS:
            setattr(self, name, state[name])


_COUNTERS = ("tick", "epoch", "passes", "waited", "best", "best_epoch", "epochs")


def _optimizer(network: SakuraNetwork, settings: SakuraSettings) -> torch.optim.Optimizer:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "rmsprop":
        # Idle modules have a gradient of zero from the first step on, also after a resume.
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        return torch.optim.RMSprop(
            trained, lr=rate, alpha=settings.alpha, momentum=settings.momentum, weight_decay=decay
        )
    return torch.optim.Adam(trained, lr=rate, weight_decay=decay, fused=True)


N_BINS = 10


def decile_bins(n_cells: int, seed: int, base: np.ndarray | None = None) -> np.ndarray:
    """Return a balanced random number 1 … 10 of each cell; 0 outside the mask ``base``."""
    inside = np.ones(n_cells, dtype=bool) if base is None else np.asarray(base, dtype=bool)
    numbers = np.arange(np.count_nonzero(inside)) % N_BINS + 1
    bins = np.zeros(n_cells, dtype=np.int64)
    bins[inside] = np.random.default_rng(derive_seed(seed, "deciles")).permutation(numbers)
    return bins


def decile_split(
    n_cells: int, train_deciles: int, seed: int, base: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of training and test cells in ``base``.

    With more ``train_deciles`` training cells stay training cells.
    """
    bins = decile_bins(n_cells, seed, base)
    return (bins > 0) & (bins <= train_deciles), bins > train_deciles
