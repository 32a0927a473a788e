"""Training stage by stage, and the checkpoint file of an interrupted fit."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.errors import UsageError
from bench.seeds import derive_seed

from ..nn.train import copy_weights
from .training import Trainer

if TYPE_CHECKING:
    from bench.contract import Reporter

    from .model_settings import Stage
    from .objective import SakuraObjective, TrainingRows

SECONDS_APART = 20.0
"""Least time between two checkpoints. Epochs of small models are quicker than the disk."""
Weights = dict[str, Tensor]


class CheckpointFile:
    """File with the state of a training; ``facts`` identify the fit.

    Without a path it does nothing.
    """

    def __init__(self, path: Path | None, facts: Mapping[str, Any]) -> None:
        self._path, self._facts = path, dict(facts)
        self._written = -math.inf

    def read(self, device: torch.device) -> dict[str, Any] | None:
        """Return the state, or ``None``; raises ``UsageError`` for the file of another fit."""
        if self._path is None or not self._path.exists():
            return None
        state: dict[str, Any] = torch.load(self._path, weights_only=True, map_location=device)
        if any(state[name] != value for name, value in self._facts.items()):
            raise UsageError(
                f"{self._path}: written by a fit with other settings, guides, features, cells or "
                "seed; remove it or give another file.",
                code="other_fit",
            )
        return state

    def write(self, trainer: Trainer, stage: int, ends: Sequence[Weights]) -> None:
        if self._path is None or time.monotonic() - self._written < SECONDS_APART:
            return
        self._written = time.monotonic()
        whole = {**self._facts, "stage": stage, "ends": list(ends), **trainer.state()}
        part = self._path.with_name(self._path.name + ".part")
        torch.save(whole, part)
        part.replace(self._path)


def train(
    objective: SakuraObjective, rows: TrainingRows, stages: Sequence[Stage], seed: int,
    report: Reporter, file: CheckpointFile,
) -> tuple[Trainer, list[Weights]]:  # fmt: skip
    """Train all stages; return the last trainer and the weights after each earlier stage.

    A stage continues with the optimiser and the term weights of the stage before. Seed torch
    first.
    """
    state = file.read(rows.device)
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
            trainer.report_again(report)
        trainer.run(report, partial(file.write, trainer, number, ends))
    assert last is not None
    return last, ends
