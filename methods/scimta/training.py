"""The two phases of training: reconstruction, then self-training of clusters.

The call of a model returns, for the cells of the current step, its codes by view (``cells``,
``genes``) and its loss terms by name. The weighted sum of the terms is minimised.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..nn.clusters import label_means
from .losses import cluster_loss, sharpened, soft_assignment

if TYPE_CHECKING:
    import numpy as np

    from bench.contract import Context

    from .batches import Batches
    from .cell_model import CellModel
    from .params import GraphParameters


class SelfTraining(nn.Module):
    """Clusters of the nodes of one view, trained towards their own most certain members.

    ``members``: numbers of the clustered nodes, by default all. Source: Xie et al. 2016.
    """

    def __init__(
        self, codes: Tensor, labels: Tensor, weight: float, *, trainable: bool,
        members: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.weight, self.members = weight, members
        means = label_means(self._select(codes.detach()), labels)
        self.centres = nn.Parameter(means, requires_grad=trainable)
        self._target: Tensor | None = None
        self._labels = labels

    def soft(self, codes: Tensor) -> Tensor:
        """Return q of the members, (members, K)."""
        return soft_assignment(self._select(codes), self.centres)

    def refresh(self, codes: Tensor) -> float:
        """Set the target from the current codes; return the share of changed labels."""
        with torch.no_grad():
            q = self.soft(codes)
            labels = q.argmax(dim=1)
            changed = float((labels != self._labels).float().mean())
            self._target, self._labels = sharpened(q), labels
        return changed

    def loss(
        self, codes: Tensor, direction: str, rows: np.ndarray | slice = slice(None)
    ) -> Tensor:
        """Return the divergence from the target of the last refresh; ``codes`` are of ``rows``."""
        assert self._target is not None
        return cluster_loss(self.soft(codes), self._target[rows], direction)

    def _select(self, codes: Tensor) -> Tensor:
        return codes if self.members is None else codes[self.members]


@dataclass(frozen=True)
class SelfTrainingSummary:
    """Number of epochs of the second phase, and why it ended."""

    epochs: int
    settled: bool
    """Whether it ended because labels hardly changed."""

    def note(self) -> str:
        """Return a line for the notes of a fit."""
        why = "labels settled" if self.settled else "all epochs"
        return f"{self.epochs} epochs of self-training, {why}"


def pretrain(
    model: CellModel, batches: Batches, params: GraphParameters, context: Context
) -> None:
    """Minimise the loss terms with Adam, without clusters."""
    optimizer = _adam(model.parameters(), params.learning_rate)
    for epoch in range(1, params.pretrain_epochs + 1):
        means = _Means()
        model.train()
        for model.cells in batches.epoch():
            _, terms = model()
            loss = weighted(model, terms)
            _step(optimizer, loss)
            means.add(pretrain_loss=loss, **{f"pretrain_{k}_loss": v for k, v in terms.items()})
        context.report(epoch, params.pretrain_epochs, **means.values())


def self_train(
    model: CellModel, batches: Batches, clusters: dict[str, SelfTraining],
    params: GraphParameters, context: Context,
) -> SelfTrainingSummary:  # fmt: skip
    """Minimise the loss terms and the divergences of ``clusters`` (by view) with Adam.

    Targets are updated every ``update_interval`` epochs (every epoch if it has several steps).
    The phase ends at an update at which at most the share ``tolerance`` of the labels of each view
    has changed.
    """
    modules = [model, *clusters.values()]
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    optimizer = _adam(parameters, params.cluster_learning_rate)
    interval = params.update_interval if batches.parts is None else 1
    for epoch in range(1, params.max_epochs + 1):
        shares: dict[str, float] = {}
        if (epoch - 1) % interval == 0:
            codes = all_codes(model, batches)
            changed = {name: view.refresh(codes[name]) for name, view in clusters.items()}
            shares = {f"{name}_changed": share for name, share in changed.items()}
            if epoch > 1 and params.tolerance and max(changed.values()) <= params.tolerance:
                return SelfTrainingSummary(epoch - 1, settled=True)
        means = _Means()
        model.train()
        for model.cells in batches.epoch():
            codes, terms = model()
            divergences = {
                name: view.loss(
                    codes[name], params.kl_direction,
                    model.cells.rows if name == "cells" else slice(None),
                )
                for name, view in clusters.items()
            }  # fmt: skip
            loss = weighted(model, terms)
            for name, view in clusters.items():
                loss = loss + view.weight * divergences[name]
            _step(optimizer, loss)
            means.add(
                loss=loss, **{f"{name}_divergence": value for name, value in divergences.items()},
                **{f"{name}_loss": term for name, term in terms.items()},
            )  # fmt: skip
        context.report(epoch, params.max_epochs, **means.values(), **shares)
    return SelfTrainingSummary(params.max_epochs, settled=False)


def all_codes(model: CellModel, batches: Batches) -> dict[str, Tensor]:
    """Return the codes of each view with the model in evaluation mode, without gradient."""
    codes = {"cells": batches.codes(model)}
    encode_genes = getattr(model, "encode_genes", None)
    if encode_genes is not None:
        with torch.no_grad():
            codes["genes"] = encode_genes()
    return codes


def weighted(model: CellModel, terms: dict[str, Tensor]) -> Tensor:
    """Return the weighted sum of the loss terms."""
    return torch.stack([model.weights[name] * term for name, term in terms.items()]).sum()


class _Means:
    """Means of the values of an epoch's steps."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._steps = 0

    def add(self, **values: Tensor) -> None:
        self._steps += 1
        for name, value in values.items():
            self._sums[name] += value.item()

    def values(self) -> dict[str, float]:
        return {name: total / self._steps for name, total in self._sums.items()}


def _adam(parameters: object, rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=rate, fused=True)  # type: ignore[arg-type]


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
