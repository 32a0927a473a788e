"""Likelihood and KL warm-up of ``vae`` for RNA, on the data on which the defaults were chosen.

    python benchmarks/vae_training.py [--quick] [--json FILE]

500 random cells of three datasets in ``BENCH_DATA_DIR`` and three simulations of 500 cells × 1,000
genes, two seeds. Scores: ARI of k-means (k from truth, mean of three), loss of held-out cells in
nats (another scale for the Gaussian), seconds of the processor. ``scvi`` runs if it is installed.
"""

from __future__ import annotations

import os
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import torch
from _figures import flags, show
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

import bench
from bench.datasets.sim_rna import SimRNA
from bench.scoring.clustering import kmeans

N_CELLS = 500
REAL = ("mouse_bladder_2100", "kang_ifnb", "zeisel_200genes")
SIMULATED: dict[str, dict[str, Any]] = {
    "six_types": {"seed": 21},
    "one_type_of_65": {"n_types": 6, "n_rare": 5, "rare": 0.07, "separation": 1.2, "seed": 22},
    "hard": SimRNA.Params.presets["hard"] | {"seed": 23},
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {}),
    "vae_short_warmup": ("vae", {"count_warmup": 200}),
    "vae_gaussian": ("vae", {"likelihood": "gaussian"}),
    "scvi": ("scvi", {}),
}


def main() -> None:
    options = flags(__doc__)
    torch.set_num_threads(1)
    seeds = 1 if options.quick else 2
    sets = list(SIMULATED) if options.quick else [*REAL, *SIMULATED]
    figures: dict[str, float] = {}
    for name in sets:
        data = load(name)
        for variant, (method, values) in VARIANTS.items():
            if method == "scvi" and find_spec("scvi") is None:
                continue
            found = np.array([fit(data, method, values, seed) for seed in range(seeds)])
            ari, loss, seconds = found.T
            figures[f"{name}_{variant}_ari"] = float(ari.mean())
            figures[f"{name}_{variant}_ari_range"] = float(np.ptp(ari))
            figures[f"{name}_{variant}_loss"] = float(loss.mean())
            figures[f"{name}_{variant}_seconds"] = float(seconds.mean())
    show(figures, options.json)


def load(name: str) -> AnnData:
    """Return a simulation, or the same random cells of a dataset each time."""
    if name in SIMULATED:
        sizes = {"n_cells": N_CELLS, "n_features": 1000}
        return SimRNA(SimRNA.Params(**(SIMULATED[name] | sizes))).load()
    data = anndata.read_h5ad(Path(os.environ["BENCH_DATA_DIR"]) / f"{name}.h5ad")
    rows = np.random.default_rng(0).choice(data.n_obs, N_CELLS, replace=False)
    return data[np.sort(rows)].copy()


def fit(
    data: AnnData, method: str, values: dict[str, Any], seed: int
) -> tuple[float, float, float]:
    """Return ARI, best loss of held-out cells, and seconds of the processor."""
    started = time.process_time()
    fitted = bench.estimator(method, **values).fit(data, seed=seed)
    seconds = time.process_time() - started
    types = data.obs["cell_type"].astype(str).to_numpy()
    codes, k = fitted.embedding_, len(set(types))
    ari = np.mean([adjusted_rand_score(types, kmeans(codes, k, start)) for start in range(3)])
    losses = fitted.curves_.get("held_out_likelihood_loss", [np.nan])
    return float(ari), float(min(losses)), seconds


if __name__ == "__main__":
    main()
