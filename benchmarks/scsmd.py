"""scSMD: CPU seconds an epoch of each phase, against the published schedule, in one run.

    python benchmarks/scsmd.py [--quick] [--json FILE]

400 cells × 784 genes, K = 8 and 10, one thread. The published schedule is the same code made to
work as often as the published program: all taps of every dilation as PyTorch computes them, in
phase 2 K further forward passes a batch and one step a cluster, in phase 3 one further forward
pass a batch, and one pass an epoch to evaluate. It keeps the faster memory layout, so the ratios
understate rather than flatter. Here the encoder learns in phase 3 as published; the row of the
encoder at rest is the default. ``cosine`` compares how far both ways of phase 2 move the weights
of a small network.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional

from _figures import Clock, context, flags, show
from bench.datasets.sim_rna import SimRNA
from bench.methods.nn.batches import Block, Cells
from bench.methods.nn.clusters import label_means
from bench.methods.scsmd import ScSMD, network
from bench.methods.scsmd.network import AssignmentNetwork, ConvolutionalAutoencoder
from bench.methods.scsmd.phases import (
    cluster_phase,
    codes_of,
    map_cells,
    pair_phase,
    pretrain,
    settle_norms,
)
from bench.prepare.in_memory import describe_counts, prepare_counts

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

PHASES = ("pretrain", "cluster", "pair")
SHORT = {"pretrain_epochs": 3, "max_epochs": 3, "pair_epochs": 4, "tolerance": 0.0}


def main() -> None:
    options = flags(__doc__)
    torch.set_num_threads(1)
    cells = simulated(100 if options.quick else 400, 784)
    figures = {"cells": float(cells.n_cells), "cosine": cosine()}
    learns = {"encoder_learning_rate": 1e-6}
    here = ScSMD.Params.build(SHORT | learns, owner="scsmd")
    for k in (8,) if options.quick else (8, 10):
        now = dict(zip(PHASES, epochs(cells, k, here), strict=True))
        before = dict(zip(PHASES, published(cells, k), strict=True))
        for name in PHASES:
            figures[f"{name}, {k} clusters/CPU s"] = now[name]
            figures[f"{name}, {k} clusters/published"] = before[name]
            figures[f"{name}, {k} clusters/ratio"] = before[name] / now[name]
        whole = sum(before.values())
        figures[f"as many epochs of each, {k} clusters/ratio"] = whole / sum(now.values())
        resting = pairs(cells, k, ScSMD.Params.build(SHORT, owner="scsmd"))
        figures[f"pair with the encoder at rest, {k} clusters/CPU s"] = resting
        cheaper = now | {"pair": resting}
        row = f"as many epochs of each, encoder at rest, {k} clusters"
        figures[f"{row}/ratio"] = whole / sum(cheaper.values())
    show(figures, options.json)


def simulated(n_cells: int, n_genes: int) -> Cells:
    """Return prepared simulated cells."""
    adata = SimRNA(SimRNA.Params(n_cells=n_cells, n_features=max(1000, n_genes))).load()
    info = describe_counts(adata.X, name="benchmark", modality="rna", has_batch=False)
    recipe = ScSMD(ScSMD.Params(n_top_genes=n_genes)).recipe(info)
    return Cells(prepare_counts(adata, recipe), counts=True, device="cpu")


def epochs(cells: Cells, k: int, params: ScSMD.Params) -> tuple[float, float, float]:
    """Return the CPU seconds of an epoch of each phase.

    Two epochs of phase 2 have one move of the centres; phase 3 is timed after its last move.
    """
    torch.manual_seed(0)
    model = untrained(cells)
    times = Times()
    pretrain(model, cells, params, context(times))
    cluster_phase(model, cells, start(model, cells, k), params, context(times))
    first, second = (times.of[name] for name in ("pretrain_loss", "cluster_loss"))
    return (first[2] - first[0]) / 2, (second[2] - second[0]) / 2, pairs(cells, k, params)


def pairs(cells: Cells, k: int, params: ScSMD.Params) -> float:
    """Return the CPU seconds of an epoch of phase 3."""
    torch.manual_seed(0)
    model, times = untrained(cells), Times()
    centres = start(model, cells, k)
    pair_phase(model, AssignmentNetwork(10, k), cells, centres, params, context(times))
    ends = times.of["pair_loss"]
    return (ends[3] - ends[1]) / 2


class Times(Clock):
    """The CPU seconds of the process at every report, by curve.

    CPU seconds, because other processes disturb them less than wall time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, list[float]] = {}

    def __call__(self, step: int, total: int | None = None, /, **values: float) -> None:
        """Note the time of these values."""
        super().__call__(step, total, **values)
        for name in values:
            self.of.setdefault(name, []).append(time.process_time())


def untrained(cells: Cells) -> ConvolutionalAutoencoder:
    """Return a network in the memory layout that fits use."""
    model = ConvolutionalAutoencoder(cells.n_features, 10)
    # PyTorch's own types lack this form of `to`.
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def published(cells: Cells, k: int) -> tuple[float, float, float]:
    """Return the same for the published schedule."""
    params = ScSMD.Params.build(SHORT, presets=("faithful",), owner="scsmd")
    model = untrained(cells)
    with patch.object(network, "dilated", all_taps):
        first, second, third = epochs(cells, k, params)
        forward = seconds(
            lambda: map_cells(lambda b: model.decode(model.encode(b.inputs)), cells, model)
        )
    return first, second + (k + 1) * forward, third + 2 * forward


def all_taps(maps: Tensor, weight: Tensor, bias: Tensor, rate: int) -> Tensor:
    """Return the convolution as PyTorch computes it."""
    return functional.conv2d(maps, weight, bias, padding=rate, dilation=rate)


def start(model: ConvolutionalAutoencoder, cells: Cells, k: int) -> Tensor:
    """Return centres of arbitrary groups, which take the same time as any other."""
    return label_means(codes_of(model, cells), torch.arange(cells.n_cells) % k)


def seconds(function: Callable[[], object]) -> float:
    """Return the CPU seconds of a call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def cosine() -> float:
    """Return the cosine between the moves of all weights by joint and by sequential steps."""
    cells, moves = simulated(100, 100), []
    for update in ("joint", "sequential"):
        torch.manual_seed(0)
        model = ConvolutionalAutoencoder(100, 5)
        settle_norms(model, partial(_encode, model, cells), 100, 50)
        centres = start(model, cells, 4)
        before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
        params = ScSMD.Params(
            update=update, batch_size=50, max_epochs=4, cluster_learning_rate=1e-6,
            max_gradient=0.0, tolerance=0.0,
        )  # fmt: skip
        cluster_phase(model, cells, centres, params, context(Clock()))
        moves.append(nn.utils.parameters_to_vector(model.parameters()).detach() - before)
    return float(torch.cosine_similarity(moves[0], moves[1], dim=0))


def _rebuild(model: ConvolutionalAutoencoder, block: Block) -> Tensor:
    return model.decode(model.encode(block.inputs))


def _encode(model: ConvolutionalAutoencoder, cells: Cells, rows: np.ndarray) -> Tensor:
    return model.encode(cells.block(rows).inputs)


if __name__ == "__main__":
    main()
