"""Two phases, each with one step an epoch for all nodes: explain the data, then sharpen clusters.

A model is a module whose call returns its codes by view (``cells``, ``genes``) and its loss terms
by name, the weighted sum of which is minimised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from bench.method import Context

from .losses import cluster_loss, sharpened, soft_assignment

if TYPE_CHECKING:
    from .settings import GraphParameters


class Model(Protocol):
    """What is trained."""

    weights: dict[str, float]
    """Of the loss terms."""

    def __call__(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the codes of each view, (nodes, n_latent), and the loss terms, scalars."""


class SelfTraining(nn.Module):
    """Clusters of the nodes of one view that learn from their own most certain members.

    ``members``: the nodes that take part, all unless given. Source: Xie et al. 2016.
    """

    def __init__(
        self, codes: Tensor, labels: Tensor, weight: float, *, trainable: bool,
        members: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.weight, self.members = weight, members
        taking_part = self._taking_part(codes.detach())
        one_hot = nn.functional.one_hot(labels).to(codes.dtype)
        means = (one_hot.T @ taking_part) / one_hot.sum(dim=0)[:, None]
        self.centres = nn.Parameter(means, requires_grad=trainable)
        self._target: Tensor | None = None
        self._labels = labels

    def soft(self, codes: Tensor) -> Tensor:
        """Return q of the nodes that take part, (members, K)."""
        return soft_assignment(self._taking_part(codes), self.centres)

    def refresh(self, codes: Tensor) -> float:
        """Set the target from the present codes; return the share of changed labels."""
        with torch.no_grad():
            q = self.soft(codes)
            labels = q.argmax(dim=1)
            changed = float((labels != self._labels).float().mean())
            self._target, self._labels = sharpened(q), labels
        return changed

    def loss(self, codes: Tensor, direction: str) -> Tensor:
        """Return the divergence from the target of the last refresh."""
        assert self._target is not None
        return cluster_loss(self.soft(codes), self._target, direction)

    def _taking_part(self, codes: Tensor) -> Tensor:
        return codes if self.members is None else codes[self.members]


@dataclass(frozen=True)
class Ended:
    """How the second phase went."""

    epochs: int
    settled: bool
    """Whether it ended because labels hardly changed."""

    def note(self) -> str:
        """Return a line for the notes of a fit."""
        why = "labels settled" if self.settled else "all epochs"
        return f"{self.epochs} epochs of self-training, {why}"


def pretrain(model: nn.Module, params: GraphParameters, context: Context) -> None:
    """Minimise the loss terms with Adam, without clusters."""
    optimizer = _adam(model.parameters(), params.learning_rate)
    model.train()
    for epoch in range(1, params.pretrain_epochs + 1):
        _, terms = model()
        loss = _weighted(model, terms)
        _step(optimizer, loss)
        context.report(
            epoch, params.pretrain_epochs, pretrain_loss=loss.item(),
            **{f"pretrain_{name}_loss": term.item() for name, term in terms.items()},
        )  # fmt: skip


def self_train(
    model: nn.Module, clusters: dict[str, SelfTraining], params: GraphParameters, context: Context
) -> Ended:
    """Minimise the loss terms and the divergences of ``clusters`` (by view) with Adam.

    Targets are set anew every ``update_interval`` epochs; the phase ends there when at most the
    share ``tolerance`` of the labels of each view has changed since the last time.
    """
    moving = [*model.parameters(), *(p for one in clusters.values() for p in one.parameters())]
    optimizer = _adam((p for p in moving if p.requires_grad), params.cluster_learning_rate)
    model.train()
    for epoch in range(1, params.max_epochs + 1):
        codes, terms = model()
        values: dict[str, float] = {}
        if (epoch - 1) % params.update_interval == 0:
            changed = {name: one.refresh(codes[name]) for name, one in clusters.items()}
            values = {f"{name}_changed": share for name, share in changed.items()}
            if epoch > 1 and params.tolerance and max(changed.values()) <= params.tolerance:
                return Ended(epoch - 1, settled=True)
        loss = _weighted(model, terms)
        for name, one in clusters.items():
            divergence = one.loss(codes[name], params.kl_direction)
            loss = loss + one.weight * divergence
            values[f"{name}_divergence"] = divergence.item()
        _step(optimizer, loss)
        values |= {f"{name}_loss": term.item() for name, term in terms.items()}
        context.report(epoch, params.max_epochs, loss=loss.item(), **values)
    return Ended(params.max_epochs, settled=False)


def codes_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the codes of each view with the model in evaluation mode, without gradient."""
    model.eval()
    with torch.no_grad():
        codes, _ = model()
    return codes


def _weighted(model: nn.Module, terms: dict[str, Tensor]) -> Tensor:
    weights: dict[str, float] = model.weights  # type: ignore[assignment]
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def _adam(parameters: object, rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=rate, fused=True)  # type: ignore[arg-type]


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
