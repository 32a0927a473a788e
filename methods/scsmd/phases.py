"""Phases of scSMD: reconstruction, fuzzy clusters, pairs of similar cells.

Losses are sums over a batch divided by the nominal batch size, so that a smaller last batch weighs
less, as published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from bench.seeds import derive_seed

from ..nn.likelihoods import negative_binomial
from ..nn.train import take_step
from .losses import (
    cluster_losses,
    fuzzy_centres,
    memberships,
    pair_loss,
    squared_distances,
    usage_entropy,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.contract import Context

    from ..nn.batches import Block, Cells
    from .network import AssignmentNetwork, ConvolutionalAutoencoder
    from .params import ScSMDParams

_INFERENCE_BATCH = 256
_QUIET_EPOCHS = 2
"""A phase ends after so many epochs with few changed labels."""
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def batches(n_cells: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield all cells once in random order, ``size`` at a time.

    A single last cell joins the batch before, because batch norms need a variance.
    """
    order = rng.permutation(n_cells)
    stops = list(range(size, n_cells, size))
    if stops and n_cells - stops[-1] == 1:
        stops.pop()
    yield from np.split(order, stops)


def map_cells(function: Callable[[Block], Tensor], cells: Cells, network: nn.Module) -> Tensor:
    """Return ``function`` of every cell with the network in evaluation mode."""
    network.eval()
    with torch.no_grad():
        rows = np.arange(cells.n_cells)
        return torch.cat([function(block) for block in cells.blocks(rows, _INFERENCE_BATCH)])


def codes_of(network: ConvolutionalAutoencoder, cells: Cells) -> Tensor:
    return map_cells(lambda block: network.encode(block.inputs), cells, network)


def settle_norms(
    module: nn.Module, function: Callable[[np.ndarray], Tensor], n_cells: int, batch_size: int
) -> None:
    """Set the running statistics of batch norms to their mean over batches.

    ``function`` runs ``module`` on some rows.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, _NORMS)]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    with torch.no_grad():
        for rows in batches(n_cells, batch_size, np.random.default_rng(0)):
            function(rows)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()


def training_mode(network: nn.Module, *, frozen_norms: bool) -> None:
    """Put a network into training mode, frozen batch norms into evaluation mode."""
    network.train()
    if frozen_norms:
        for norm in network.modules():
            if isinstance(norm, _NORMS):
                norm.eval()


def squared_error(network: ConvolutionalAutoencoder, image: Tensor, block: Block) -> Tensor:
    """Return Σ_g (x - x̂)² of each cell."""
    return (image[:, : network.n_genes] - block.inputs).square().sum(dim=1)


def count_loss(
    network: ConvolutionalAutoencoder, image: Tensor, block: Block, *, counts: bool
) -> Tensor:
    """Return the negative-binomial loss of each cell.

    ``counts``: the targets are counts and the mean has the depth; else, as published, rounded
    inputs.
    """
    log_mean, theta = network.count_parameters(image)
    if counts:
        log_mean = log_mean + block.depth.log()
    targets = block.targets if counts else block.inputs.round()
    return negative_binomial(targets, log_mean, theta, theta.log()).sum(dim=1)


def gene_means(cells: Cells, values: Callable[[Block], Tensor]) -> Tensor:
    """Return the mean of each gene over all cells."""
    rows = np.arange(cells.n_cells)
    sums = [values(block).sum(dim=0) for block in cells.blocks(rows, _INFERENCE_BATCH)]
    return torch.stack(sums).sum(dim=0) / len(rows)


class Churn:
    """Share of cells whose label changed since the last epoch."""

    def __init__(self, n_cells: int, tolerance: float, device: torch.device) -> None:
        self.labels = torch.full((n_cells,), -1, dtype=torch.int64, device=device)
        self._before = self.labels.clone()
        self._tolerance, self._quiet = tolerance, 0

    def add(self, rows: np.ndarray, soft: Tensor) -> None:
        """Record the most likely clusters of some cells."""
        index = torch.from_numpy(rows).to(self.labels.device)
        self.labels[index] = soft.detach().argmax(dim=1)

    def end_epoch(self) -> float:
        """Return the share of changed labels."""
        changed = float((self.labels != self._before).float().mean())
        self._before = self.labels.clone()
        self._quiet = self._quiet + 1 if changed <= self._tolerance else 0
        return changed

    def settled(self, epochs: int = _QUIET_EPOCHS) -> bool:
        """Return whether few labels changed in each of the last ``epochs``."""
        return self._tolerance > 0 and self._quiet >= epochs


def pretrain(
    network: ConvolutionalAutoencoder, cells: Cells, params: ScSMDParams, context: Context
) -> None:
    """Minimise the mean squared error of reconstruction with Adam.

    Count heads start at the gene means and train on the detached reconstruction, without influence
    on the code, until phase 2.
    """
    counts = params.models_counts
    heads = network.count_heads()
    if counts:
        network.set_count_means(gene_means(cells, lambda block: block.targets / block.depth))
    if params.center:
        network.offset.copy_(gene_means(cells, lambda block: block.inputs))
    for head in heads:
        head.requires_grad_(counts)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=params.learning_rate, fused=True)
    order = np.random.default_rng(derive_seed(context.seed, "batches", "pretrain"))
    for epoch in range(1, params.pretrain_epochs + 1):
        network.train()
        total = torch.zeros((), device=cells.device)
        for rows in batches(cells.n_cells, params.batch_size, order):
            block = cells.block(rows)
            image = network.decode(network.encode(block.inputs))
            error = squared_error(network, image, block).mean() / network.n_genes
            loss = error
            if counts:
                loss = loss + count_loss(network, image.detach(), block, counts=True).mean()
            take_step(optimizer, loss)
            total += error.detach() * len(rows)
        mean = float(total) / cells.n_cells
        context.report(epoch, params.pretrain_epochs, pretrain_loss=mean)
    for head in heads:
        head.requires_grad_(True)


def joint_step(rate: float, momentum: float, n_clusters: int) -> tuple[float, float]:
    """Return step size and momentum of one step instead of K heavy-ball steps.

    Equal to first order in the step size η: (η (1 - α^K) / (1 - α), α^K).
    """
    joint = momentum**n_clusters
    return rate * (1 - joint) / (1 - momentum), joint


def cluster_phase(
    network: ConvolutionalAutoencoder,
    cells: Cells,
    centres: Tensor,
    params: ScSMDParams,
    context: Context,
) -> Tensor:
    """Minimise the cluster losses with momentum; return the centres, (K, n_latent).

    ``joint``: one step a batch for all losses; ``sequential``: one for each cluster, as published.
    """
    n_clusters = len(centres)
    joint = params.update == "joint"
    rate, momentum = params.cluster_learning_rate, 0.9
    if joint:
        rate, momentum = joint_step(rate, momentum, n_clusters)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum)
    order = np.random.default_rng(derive_seed(context.seed, "batches", "cluster"))
    churn = Churn(cells.n_cells, params.tolerance, cells.device)
    for epoch in range(1, params.max_epochs + 1):
        since_first = epoch - 1 - params.first_centres
        if since_first >= 0 and since_first % params.centre_interval == 0:
            centres = fuzzy_centres(codes_of(network, cells), centres, params.fuzziness)
        training_mode(network, frozen_norms=params.frozen_norms)
        total = torch.zeros((), device=cells.device)
        for rows in batches(cells.n_cells, params.batch_size, order):
            block = cells.block(rows)
            p: Tensor | None = None
            for cluster in range(1 if joint else n_clusters):
                code = network.encode(block.inputs)
                if p is None:
                    p = memberships(code.detach(), centres, params.fuzziness)
                    churn.add(rows, p)
                losses = _cluster_losses(network, block, code, p, centres, params)
                loss = losses.sum() if joint else losses[cluster]
                optimizer.zero_grad(set_to_none=True)
                (loss / params.batch_size).backward()
                if params.max_gradient:
                    nn.utils.clip_grad_norm_(network.parameters(), params.max_gradient)
                optimizer.step()
                total += loss.detach()
        changed = churn.end_epoch()
        mean = float(total) / cells.n_cells
        context.report(epoch, params.max_epochs, cluster_loss=mean, cluster_changed=changed)
        # An update of the centres must be among the quiet epochs.
        if churn.settled(max(_QUIET_EPOCHS, params.centre_interval)):
            break
    return centres


def _cluster_losses(
    network: ConvolutionalAutoencoder,
    block: Block,
    code: Tensor,
    p: Tensor,
    centres: Tensor,
    params: ScSMDParams,
) -> Tensor:
    image = network.decode(code)
    counts = None
    if params.count_weight > 0:
        counts = count_loss(network, image, block, counts=params.count_target == "counts")
    return cluster_losses(
        p.pow(params.fuzziness), squared_error(network, image, block),
        squared_distances(code, centres), counts,
        centering=params.centering, count_weight=params.count_weight,
    )  # fmt: skip


def pair_phase(
    network: ConvolutionalAutoencoder,
    assigner: AssignmentNetwork,
    cells: Cells,
    centres: Tensor,
    params: ScSMDParams,
    context: Context,
) -> tuple[Tensor, Tensor]:
    """Train the assignment network, and slightly the encoder, on pairs of cells.

    Pairs are similar by memberships in the first ``trust_epochs`` + 1 epochs, with updates of the
    centres, then by assignments. Returns centres, (K, n_latent), and codes, (cells, n_latent).
    """
    trains_encoder = params.encoder_learning_rate > 0
    optimizer = _pair_optimizer(network, assigner, params)
    codes = codes_of(network, cells)
    order = np.random.default_rng(derive_seed(context.seed, "batches", "pairs"))
    churn = Churn(cells.n_cells, params.tolerance, cells.device)
    for epoch in range(params.pair_epochs):
        by_memberships = epoch <= params.trust_epochs
        training_mode(network, frozen_norms=params.frozen_norms)
        assigner.train()
        total, entropy = (torch.zeros((), device=cells.device) for _ in range(2))
        for rows in batches(cells.n_cells, params.batch_size, order):
            code = network.encode(cells.block(rows).inputs) if trains_encoder else codes[rows]
            q = assigner(code)
            churn.add(rows, q)
            soft = memberships(code.detach(), centres, params.fuzziness)
            similarity = soft @ soft.T if by_memberships else q.detach() @ q.detach().T
            spread = usage_entropy(q)
            loss = pair_loss(q, similarity, params.similar) / params.batch_size**2
            loss = loss + params.balance_weight * (1 - spread)
            take_step(optimizer, loss)
            total += loss.detach() * len(rows)
            entropy += spread.detach() * len(rows)
        if by_memberships:
            codes = codes_of(network, cells) if trains_encoder else codes
            centres = fuzzy_centres(codes, centres, params.fuzziness)
        context.report(
            epoch + 1, params.pair_epochs, pair_loss=float(total) / cells.n_cells,
            pair_usage=float(entropy) / cells.n_cells, pair_changed=churn.end_epoch(),
        )  # fmt: skip
        if churn.settled() and not by_memberships:
            break
    return centres, codes_of(network, cells) if trains_encoder else codes


def _pair_optimizer(
    network: ConvolutionalAutoencoder, assigner: AssignmentNetwork, params: ScSMDParams
) -> torch.optim.Optimizer:
    groups = [{"params": list(assigner.parameters()), "lr": params.assign_learning_rate}]
    if params.encoder_learning_rate > 0:
        encoder = list(network.encoder.parameters())
        groups.append({"params": encoder, "lr": params.encoder_learning_rate})
    return torch.optim.Adam(groups, fused=True)


def assignments(assigner: AssignmentNetwork, codes: Tensor) -> Tensor:
    assigner.eval()
    with torch.no_grad():
        q: Tensor = assigner(codes)
    return q
