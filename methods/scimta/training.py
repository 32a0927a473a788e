"""Training: reconstruction, then self-training of clusters.

A model returns, for the cells of a step, its codes by view (``cells``, ``genes``) and its loss
terms by name. Their weighted sum is minimised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..nn.clusters import label_means
from ..nn.train import take_step
from .losses import cluster_loss, sharpened, soft_assignment

if TYPE_CHECKING:
    import numpy as np

    from bench.contract import Context

    from .batches import Batches
    from .cell_model import CellModel
    from .params import GraphParameters


class SelfTraining(nn.Module):
    """Clusters of one view, trained towards their most certain members (Xie et al. 2016).

    ``members``: the clustered nodes, by default all.
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
        """Return the divergence from the last target; ``codes`` are those of ``rows``."""
        assert self._target is not None
        return cluster_loss(self.soft(codes), self._target[rows], direction)

    def _select(self, codes: Tensor) -> Tensor:
        return codes if self.members is None else codes[self.members]


def pretrain(
    model: CellModel, batches: Batches, params: GraphParameters, context: Context
) -> None:
    optimizer = _adam(model.parameters(), params.learning_rate)
    for epoch in range(1, params.pretrain_epochs + 1):
        steps: list[dict[str, float]] = []
        model.train()
        for model.cells in batches.epoch():
            _, terms = model()
            loss = weighted(model, terms)
            take_step(optimizer, loss)
            values = {"pretrain_loss": loss} | {
                f"pretrain_{name}_loss": term for name, term in terms.items()
            }
            steps.append({name: value.item() for name, value in values.items()})
        context.report(epoch, params.pretrain_epochs, **_means(steps))


def self_train(
    model: CellModel, batches: Batches, clusters: dict[str, SelfTraining],
    params: GraphParameters, context: Context,
) -> str:  # fmt: skip
    """Minimise loss terms and cluster divergences; return a note on the end.

    Targets change every ``update_interval`` epochs, or with every pass over the cells if it has
    several steps. Training ends when at most ``tolerance`` of each view's labels change.
    """
    modules = [model, *clusters.values()]
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    optimizer = _adam(parameters, params.cluster_learning_rate)
    interval = params.update_interval if batches.parts is None else batches.epochs_a_pass
    for epoch in range(1, params.max_epochs + 1):
        shares: dict[str, float] = {}
        if (epoch - 1) % interval == 0:
            codes = all_codes(model, batches)
            changed = {name: view.refresh(codes[name]) for name, view in clusters.items()}
            shares = {f"{name}_changed": share for name, share in changed.items()}
            if epoch > 1 and params.tolerance and max(changed.values()) <= params.tolerance:
                return f"{epoch - 1} epochs of self-training, labels settled"
        steps: list[dict[str, float]] = []
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
            take_step(optimizer, loss)
            values = {"loss": loss}
            values |= {f"{name}_divergence": value for name, value in divergences.items()}
            values |= {f"{name}_loss": term for name, term in terms.items()}
            steps.append({name: value.item() for name, value in values.items()})
        context.report(epoch, params.max_epochs, **_means(steps), **shares)
    return f"{params.max_epochs} epochs of self-training, all epochs"


def all_codes(model: CellModel, batches: Batches) -> dict[str, Tensor]:
    """Return the codes of each view in evaluation mode."""
    codes = {"cells": batches.codes(model)}
    encode_genes = getattr(model, "encode_genes", None)
    if encode_genes is not None:
        with torch.no_grad():
            codes["genes"] = encode_genes()
    return codes


def weighted(model: CellModel, terms: dict[str, Tensor]) -> Tensor:
    return torch.stack([model.weights[name] * term for name, term in terms.items()]).sum()


def _means(steps: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each value over the steps of an epoch."""
    return {name: sum(step[name] for step in steps) / len(steps) for name in steps[0]}


def _adam(parameters: object, rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=rate, fused=True)  # type: ignore[arg-type]
