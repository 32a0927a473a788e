"""Training in stages, the checkpoint of an interrupted fit, and states that a user keeps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from bench.errors import DataError, UsageError
from bench.seeds import derive_seed

from ..nn.train import copy_weights
from .config_model import fail
from .insertion import InsertedParts
from .training import Trainer

if TYPE_CHECKING:
    from bench.contract import Reporter

    from .model_settings import Stage
    from .objective import SakuraObjective, TrainingRows

SECONDS_APART = 20.0
"""Least time between two checkpoints. Epochs of small models are quicker than the disk."""
MODEL_FILE, FINAL_STATE = "sakura.pt", "training.pt"
"""The fitted model, and its state after the last step, from which training can continue."""
Weights = dict[str, Tensor]
State = Mapping[str, Any]


class Watcher(Protocol):
    """Called after each step of a training.

    ``stage`` counts from 0; ``ended``: whether the step ended an epoch; ``keep(name)`` writes the
    whole state into a file.
    """

    def __call__(
        self, trainer: Trainer, stage: int, *, ended: bool, keep: Callable[[str], None]
    ) -> None: ...


def _watch_nothing(
    trainer: Trainer, stage: int, *, ended: bool, keep: Callable[[str], None]
) -> None: ...


@dataclass(frozen=True)
class TrainingOptions:
    """Start of a training, and the states that it writes beside the model."""

    start: Path | None = None
    """File of a finished or kept state, from which the training continues."""
    parts: InsertedParts = field(default_factory=InsertedParts)
    """Parts of other models, copied into the network before the training."""
    file_features: frozenset[str] = frozenset()
    """Features of the file, also those that its preparation filters out."""
    kept: Path | None = None
    """Folder for the final state and the states of ``watch``; ``None``: no state is written."""
    watch: Watcher = _watch_nothing

    def read_start(self, device: torch.device) -> State | None:
        """Return the state of ``start``; raises ``DataError`` if it cannot be read."""
        return None if self.start is None else read_state(self.start, device)


def read_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return a stored model or state; raises ``DataError`` for another file."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        return state | {"model": state["model"]}
    except Exception as error:  # torch raises anything for files of other kinds
        reason = " ".join(str(error).split())[:120]
        message = f"{path}: no model or state of this method ({reason}); fit again."
        raise DataError(message, code="damaged_model") from None


class CheckpointFile:
    """File with the state of a training; ``facts`` identify the fit, ``cells`` are stored too.

    Without a path nothing is read or written.
    """

    def __init__(
        self, path: Path | None, facts: Mapping[str, Any], cells: Mapping[str, Any]
    ) -> None:
        self._path, self._facts, self._cells = path, dict(facts), cells
        self._written = -math.inf

    def read(self, device: torch.device) -> State | None:
        """Return the state, or ``None``; raises ``UsageError`` for the file of another fit."""
        if self._path is None or not self._path.exists():
            return None
        state = read_state(self._path, device)
        if any(state.get(name) != value for name, value in self._facts.items()):
            raise UsageError(
                f"{self._path}: written by a fit with other settings, guides, features, cells or "
                "seed; remove it or give another file.",
                code="other_fit",
            )
        return state

    def is_of_same_cells(self, state: State) -> bool:
        """Return whether a state is of a training on the same cells and splits."""
        return bool(state["cells"] == self._facts["cells"])

    def write(self, trainer: Trainer, stage: int, ends: Sequence[Weights]) -> None:
        if self._path is None or time.monotonic() - self._written < SECONDS_APART:
            return
        self._written = time.monotonic()
        self.write_to(self._path, trainer, stage, ends)

    def write_to(self, path: Path, trainer: Trainer, stage: int, ends: Sequence[Weights]) -> None:
        """Write the whole state into another file."""
        whole = {**self._facts, **self._cells, "stage": stage, "ends": list(ends)}
        whole |= trainer.state()
        part = path.with_name(path.name + ".part")
        torch.save(whole, part)
        part.replace(path)


def train(
    objective: SakuraObjective, rows: TrainingRows, stages: Sequence[Stage], seed: int,
    report: Reporter, file: CheckpointFile, options: TrainingOptions, start: State | None,
) -> tuple[Trainer, list[Weights]]:  # fmt: skip
    """Train all stages; return the last trainer and the weights after each earlier stage.

    A stage continues with the optimiser and the term weights of the stage before. ``start``: state
    of an earlier training, from which this one continues unless there is a checkpoint. On other
    cells weights, optimiser and term weights continue, and epochs are counted from 0. Seed torch
    first.
    """
    state = interrupted = file.read(rows.device)
    if start is not None and interrupted is None and file.is_of_same_cells(start):
        state = start
    done = state["stage"] if state is not None else 0
    ends: list[Weights] = state["ends"] if state is not None else []
    last: Trainer | None = None
    for number, stage in enumerate(stages):
        own_seed = derive_seed(seed, "stage", str(number)) if number else seed
        trainer = Trainer(objective, rows, stage, own_seed)
        trainer.total = sum(one.max_epochs for one in stages)
        if last is not None:
            trainer.follow(last)
            if number > done:
                ends.append(copy_weights(objective.network))
        last = trainer
        if number < done:
            continue
        if state is not None and number == done:
            trainer.restore(state)
            # Patience that has run out would end the training at once.
            trainer.waited = trainer.waited if interrupted else 0
            if trainer.finished() and number == len(stages) - 1 and not interrupted:
                message = f"it has trained {len(trainer.reported)} epochs; raise max_epochs, "
                fail(f"continue {options.start}", f"{message}or ticks or epochs.", "trained")
            trainer.report_again(report)
        elif start is not None and state is None and number == 0:
            trainer.adopt(start)
        keep = _run_stage(trainer, number, ends, report, file, options)
        if number == len(stages) - 1:
            keep(FINAL_STATE)
        trainer.take_best()
    assert last is not None
    return last, ends


def _run_stage(
    trainer: Trainer, stage: int, ends: Sequence[Weights], report: Reporter, file: CheckpointFile,
    options: TrainingOptions,
) -> Callable[[str], None]:  # fmt: skip
    """Train to the end of a stage; return the function that keeps the state under a name."""
    keep = partial(_keep, file, options.kept, trainer, stage, ends)

    def after_step(*, ended: bool) -> None:
        options.watch(trainer, stage, ended=ended, keep=keep)
        if ended:
            file.write(trainer, stage, ends)

    trainer.run(report, after_step)
    return keep


def _keep(
    file: CheckpointFile, folder: Path | None, trainer: Trainer, stage: int,
    ends: Sequence[Weights], name: str,
) -> None:  # fmt: skip
    """Write the state into the file ``name`` of ``folder``, if there is a folder."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_to(folder / name, trainer, stage, ends)
