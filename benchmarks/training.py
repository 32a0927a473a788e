"""How much of the machine training uses: cells/s, its arithmetic, and the rate of sgemm.

    python benchmarks/training.py [--quick] [--json FILE]

Binary chromatin of the shape of the Forebrain set (2,088 × 11,285, 3 % open), the published widths
1024-128-10, one thread; each figure is the best of three epochs. Arithmetic of a cell: 2 flop a
weight forward, 4 backward, 2 less in the first layer, whose input needs no gradient. The
optimiser and the losses count as time, not as arithmetic.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from _figures import Clock, context, flags, show
from bench.contract import Recipe
from bench.datasets.sim_atac import SimATAC
from bench.execute.threads import keep_large_blocks
from bench.prepare.in_memory import prepare_counts
from bench.registry import methods

if TYPE_CHECKING:
    from anndata import AnnData

MODELS: dict[str, dict[str, Any]] = {
    "ae": {"hidden": "1024-128"},
    "sparse_ae": {"hidden": "1024-128"},
    "stacked_ae": {"hidden": "1024-128", "pretrain_epochs": 0},
    "vae": {"hidden": "1024-128"},
    "scale": {"hidden": "1024-128", "normal_epochs": 0},
}


def main() -> None:
    options = flags(__doc__)
    keep_large_blocks()  # as the process of a fit does
    torch.set_num_threads(1)
    n_cells, n_features = (512, 3000) if options.quick else (2088, 11285)
    params = SimATAC.Params(n_cells=n_cells, n_features=n_features, depth=0.035 * n_features)
    data = prepare_counts(SimATAC(params).load(), Recipe(binarize=True))
    figures = {"share of entries above 0": data.X.nnz / data.X.shape[0] / data.X.shape[1]}
    figures["sgemm, 1e9 flop a second"] = sgemm()
    for name, values in MODELS.items():
        for batch_size in (32, 128, 512):
            rate, flop = epoch(name, data, values | {"batch_size": batch_size})
            share = rate * flop / 1e9 / figures["sgemm, 1e9 flop a second"]
            figures[f"{name}/batch {batch_size}: cells/s"] = rate
            figures[f"{name}/{batch_size}: of sgemm"] = share
    show(figures, options.json)


def sgemm(size: int = 2048) -> float:
    """Return the rate of a square product of single precision, in 1e9 flop/s."""
    a, b = torch.rand(size, size), torch.rand(size, size)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds) / 1e9


def epoch(name: str, data: AnnData, values: dict[str, Any]) -> tuple[float, float]:
    """Return cells a second of the fastest of three epochs, and the flop of one cell."""
    plain = {"max_epochs": 4, "validation": 0.0, "low": 0.0, "high": 1.0, "drop_last": True}
    cls = methods().get(name)
    method: Any = cls(cls.Params.build(plain | values, owner=name))
    clock = Clock()
    method.fit(data, context(clock))
    # The first interval would hold the start of the fit.
    best = min(after - before for before, after in pairwise(clock.times[-4:]))
    layers = [m for m in method.fitted.network.modules() if isinstance(m, torch.nn.Linear)]
    weights = sum(layer.weight.numel() for layer in layers)
    flop = 6 * weights - 2 * layers[0].weight.numel()
    used = data.n_obs // values["batch_size"] * values["batch_size"]
    return used / best, float(flop)


if __name__ == "__main__":
    main()
