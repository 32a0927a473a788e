"""Weighted losses and regularisers of a batch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .guidance import Guide, Signature
from .losses import (
    mixture_prior,
    per_cell,
    reverse_gradient,
    ring_prior,
    sliced_wasserstein,
    uniform_prior,
    weighted_mean,
)
from .network import MAIN, SakuraNetwork

if TYPE_CHECKING:
    from ..nn.batches import Cells
    from .loss_terms import Regularizer
    from .model_settings import TrainingTask


@dataclass(frozen=True)
class Batch:
    raw: Tensor
    """Prepared values, cells × features."""
    weights: Tensor
    """Weight of each row, 1 for a cell."""
    phenotypes: dict[str, Tensor]
    """Class numbers (cells,), -1 if unknown, or values (cells, columns), NaN if unknown."""


class TrainingRows:
    """Training rows on a device, and the row numbers of each split."""

    def __init__(
        self, cells: Cells, weights: Tensor, phenotypes: dict[str, Tensor],
        splits: Mapping[str, np.ndarray], held_out: np.ndarray,
    ) -> None:  # fmt: skip
        self.cells, self.device = cells, cells.device
        self.splits, self.held_out = splits, held_out
        self._weights = weights.to(cells.device)
        self._phenotypes = {name: v.to(cells.device) for name, v in phenotypes.items()}

    def digest(self) -> str:
        tensors = {"": self._weights, **self._phenotypes}
        arrays = {name: value.cpu().numpy() for name, value in tensors.items()}
        digest = hashlib.sha256()
        for name, values in [*self.splits.items(), *arrays.items()]:
            digest.update(f"{name} {values.shape}\0".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def batch(self, rows: np.ndarray) -> Batch:
        at = torch.from_numpy(rows).to(self.device)
        values = {name: v[at] for name, v in self._phenotypes.items()}
        return Batch(self.cells.block(rows).inputs, self._weights[at], values)


@dataclass(frozen=True)
class Term:
    """Loss or regulariser of a batch."""

    owner: str
    """``main`` or a guide's name."""
    name: str
    weight: float
    value: Tensor

    @property
    def label(self) -> str:
        return f"{self.owner}: {self.name}"


class SakuraObjective:
    """Loss of a model as a sum of weighted terms."""

    def __init__(self, network: SakuraNetwork, class_weights: Mapping[str, Tensor]) -> None:
        self.network, self.settings = network, network.settings
        self._guides = {guide.name: guide for guide in network.guidance.guides}
        self._class_weights = class_weights

    def terms(self, batch: Batch, task: TrainingTask, epochs: Mapping[str, int]) -> list[Term]:
        """Return the terms of a task with weights above 0; ``epochs``: finished epochs."""
        net, terms = self.network, list[Term]()
        scaled = net.scaler(batch.raw)
        guides = [self._guides[name] for name in task.guides]
        needed: set[str] | None = None
        if not task.reconstruct:
            needed = {part for guide in guides for part in net.layout.parts(guide)}
        latents = net.encode(scaled, needed, task.detach)
        if task.reconstruct:
            terms += self._main(batch, scaled, latents, epochs.get(MAIN, 0))
        for guide in guides:
            chosen = task.terms.get(guide.name, self.names(guide.name))
            counts = {name: epochs.get(f"{guide.name}: {name}", 0) for name in chosen}
            epoch = epochs.get(guide.name, 0)
            terms += self._guide_terms(guide, batch, scaled, latents, counts, epoch)
        return terms

    def names(self, guide: str) -> tuple[str, ...]:
        """Return the names of a guide's losses and regularisers."""
        one = self._guides[guide]
        return (*one.terms, *dict.fromkeys(prior.name for prior in one.regularizers))

    def watched(self, batch: Batch, task: TrainingTask, epochs: Mapping[str, int]) -> list[Term]:
        """Return the terms of the held-out loss for early stopping.

        It leaves out regularisers, which are random, and guides that are adversarial or detached.
        """
        guides = [self._guides[name] for name in task.guides]
        names = [one.name for one in guides if one.adversarial is None and not one.detached]
        terms = self.terms(batch, replace(task, guides=tuple(names)), epochs)
        return [term for term in terms if not term.name.startswith("prior_")]

    def settled(self, limit: int) -> int:
        """Return the epoch, up to ``limit``, from which all weights are final."""
        schedules = [*self.settings.reconstruction.values()]
        schedules += [one.schedule for one in self.settings.regularizers]
        for guide in self._guides.values():
            schedules += [*guide.terms.values(), *(one.schedule for one in guide.regularizers)]
            schedules += [guide.adversarial] if guide.adversarial else []
        return max((one.settled(limit) for one in schedules), default=0)

    def _main(
        self, batch: Batch, scaled: Tensor, latents: dict[str, Tensor], epoch: int
    ) -> Iterator[Term]:
        reconstructed = self.network.decode(latents)
        target = scaled[:, self.network.inputs]
        for name, schedule in self.settings.reconstruction.items():
            weight = schedule.at(epoch)
            if weight:
                losses = per_cell(name, target, reconstructed)
                value = weighted_mean(losses, batch.weights, batch.weights)
                yield Term(MAIN, name, weight, value)
        priors = self.settings.regularizers
        counts = {one.name: epoch for one in priors}
        yield from self._priors(MAIN, priors, latents[MAIN], batch, counts)

    def _guide_terms(
        self, guide: Guide, batch: Batch, scaled: Tensor,
        latents: dict[str, Tensor], counts: Mapping[str, int], epoch: int,
    ) -> Iterator[Term]:  # fmt: skip
        """Yield the terms of a guide; ``counts``: finished epochs of each term to train."""
        weights = {
            name: schedule.at(counts[name])
            for name, schedule in guide.terms.items()
            if name in counts
        }
        latent = self.network.head_input(guide, latents)
        yield from self._priors(guide.name, guide.regularizers, latent, batch, counts)
        if not any(weights.values()):
            return
        if guide.detached:
            latent = latent.detach()
        elif guide.adversarial is not None and guide.adversary == "reversed":
            latent = reverse_gradient(latent, guide.adversarial.at(epoch))
        target, counted, weighted = self._targets(guide, batch, scaled)
        if guide.adversarial is not None and guide.adversary == "confused":
            strength = guide.adversarial.at(epoch)
            if strength:
                value = weighted_mean(self._confusion(guide, latent, target), weighted, counted)
                yield Term(guide.name, "confusion", strength * self.network.unit, value)
            latent = latent.detach()
            value = weighted_mean(self._slope(guide, latent, target), weighted, counted)
            yield Term(guide.name, "slope", self.network.unit, value)
        predicted = self.network.reader(guide.name)(latent)
        for name, weight in weights.items():
            if weight:
                value = weighted_mean(per_cell(name, target, predicted), weighted, counted)
                if name == "score":
                    value = value / self.network.reader(guide.name).score_variance
                yield Term(guide.name, name, weight * self.network.unit, value)

    def _confusion(self, guide: Guide, latent: Tensor, target: Tensor) -> Tensor:
        """Return the distance of predictions from equal classes or the mean target, (cells,).

        The head gets no gradient.
        """
        head = self.network.reader(guide.name)
        trained = [parameter for parameter in head.parameters() if parameter.requires_grad]
        head.requires_grad_(False)
        predicted: Tensor = head(latent)
        for parameter in trained:
            parameter.requires_grad_(True)
        if guide.categorical:
            return -predicted.mean(dim=1) - math.log(predicted.shape[1])
        return (predicted - target.mean(dim=0)).square().mean(dim=1)

    def _slope(self, guide: Guide, latent: Tensor, target: Tensor) -> Tensor:
        """Return the squared slope of each prediction times the latent variance, (cells,).

        A steep head makes the code oscillate between batches and lose the types. Source:
        Mescheder, Geiger and Nowozin 2018, which training methods for GANs do actually converge,
        eq. 9.
        """
        at = latent.clone().requires_grad_(True)
        predicted = self.network.reader(guide.name)(at)
        if guide.categorical:
            predicted = predicted.gather(1, target[:, None])
        (slopes,) = torch.autograd.grad(predicted.sum(), at, create_graph=True)
        return slopes.square().sum(dim=1) * latent.var(dim=0, correction=0).sum()

    def _targets(
        self, guide: Guide, batch: Batch, scaled: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return targets, weights of known rows, and these times class weights."""
        if isinstance(guide, Signature):
            reader = self.network.reader(guide.name)
            target = signature_targets(guide, reader.columns, reader.unit, batch.raw, scaled)
            return target, batch.weights, batch.weights
        values = batch.phenotypes[guide.name]
        if guide.categorical:
            known = values >= 0
            counted = batch.weights * known
            classes = torch.where(known, values, torch.zeros_like(values))
            return classes, counted, counted * self._class_weights[guide.name][classes]
        known = ~torch.isnan(values).any(dim=1)
        counted = batch.weights * known
        return torch.where(known[:, None], values, torch.zeros_like(values)), counted, counted

    def _priors(
        self, owner: str, regularizers: tuple[Regularizer, ...], latent: Tensor, batch: Batch,
        counts: Mapping[str, int],
    ) -> Iterator[Term]:  # fmt: skip
        for one in regularizers:
            weight = one.schedule.at(counts[one.name]) if one.name in counts else 0.0
            if weight:
                labels = batch.phenotypes[one.labels] if one.labels else None
                yield Term(owner, one.name, weight, regularize(one, latent, labels))


def signature_targets(
    signature: Signature, columns: Tensor, unit: Tensor, raw: Tensor, scaled: Tensor
) -> Tensor:
    """Return the targets of a signature's head, (cells, genes), scaled or binarised."""
    if signature.binarize is None:
        return scaled[:, columns] / unit
    above = raw[:, columns] > signature.binarize.threshold
    chosen = ~above if signature.binarize.inverse else above
    return chosen.to(raw.dtype) * signature.binarize.scale


def regularize(one: Regularizer, latent: Tensor, labels: Tensor | None = None) -> Tensor:
    n_cells, n_dims = latent.shape
    if one.kind == "l1":
        return latent.abs().sum(dim=1).mean()
    if one.kind == "l2":
        return torch.linalg.vector_norm(latent, dim=1).mean()
    if one.kind == "ring":
        prior = ring_prior(n_cells, latent.device)
    elif one.kind == "uniform":
        offsets = torch.tensor(one.offsets, device=latent.device) if one.offsets else None
        prior = uniform_prior(
            n_cells, n_dims, one.low, one.high, latent.device, offsets=offsets, labels=labels
        )
    else:
        prior = mixture_prior(
            n_cells, n_dims, one.n_components, one.radial_sd, one.tangential_sd,
            latent.device, labels=labels,
        )  # fmt: skip
    return sliced_wasserstein(latent, prior, one.n_projections)
