"""Settings between which a default was chosen, on the data kept for such choices.

    python benchmarks/defaults.py vae|scmgca|sctag|scimta [--quick] [--json FILE]

500 random cells of three datasets in ``BENCH_DATA_DIR`` and three simulations of 500 cells × 1,000
genes, two seeds. Scores: ARI of the method's own clusters, or else of k-means (mean of three
starts), k from truth; loss of held-out cells in nats (another scale for each likelihood); seconds
of the processor. A method that is not installed is left out.
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
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

import bench
from _figures import flags, show
from bench.datasets.sim_rna import SimRNA
from bench.scoring.clustering import kmeans

N_CELLS = 500
REAL = ("mouse_bladder_2100", "kang_ifnb", "zeisel_200genes")
MIXED: dict[str, dict[str, Any]] = {
    "six_types": {"seed": 21},
    "one_type_of_65": {"n_types": 6, "n_rare": 5, "rare": 0.07, "separation": 1.2, "seed": 22},
    "hard": {**SimRNA.Params.presets["hard"], "seed": 23},
}
DOMINATED: dict[str, dict[str, Any]] = {
    "six_types_one_of_65": {"n_types": 6, "rare": 0.07, "separation": 0.8, "seed": 31},
    "four_types_one_of_70": {"n_types": 4, "rare": 0.1, "separation": 0.7, "seed": 32},
    "nine_types_one_of_60": {"n_types": 9, "rare": 0.05, "separation": 1.0, "seed": 33},
}
for one in DOMINATED.values():
    one["n_rare"] = one["n_types"] - 1
# A variant is the method with values of parameters, or another method.
_GRAPH: dict[str, dict[str, Any]] = {
    "default": {},
    "published_graph": {"published_graph": True},
    "scores": {"expression_target": "scores"},
    "both": {"published_graph": True, "expression_target": "scores"},
}
QUESTIONS: dict[str, tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]] = {
    "vae": (
        MIXED,
        {
            "default": {},
            "short_warmup": {"kl_warmup": 200},
            "gaussian": {"likelihood": "gaussian"},
            "scvi": {"method": "scvi"},
        },
    ),
    "scmgca": (DOMINATED, _GRAPH),
    "sctag": (DOMINATED, _GRAPH),
    "scimta": (DOMINATED, _GRAPH),
}


def main() -> None:
    """Fit all variants of a method to all sets."""
    options = flags(__doc__, method=list(QUESTIONS))
    torch.set_num_threads(1)
    seeds = 1 if options.quick else 2
    simulated, variants = QUESTIONS[options.method]
    figures: dict[str, float] = {}
    for name in [*simulated] if options.quick else [*REAL, *simulated]:
        data = simulate(simulated[name]) if name in simulated else read(name)
        for variant, values in variants.items():
            if values.get("method") == "scvi" and find_spec("scvi") is None:
                continue
            parameters = {"method": options.method, **values}
            found = np.array([fit(data, seed=seed, **parameters) for seed in range(seeds)])
            ari, loss, seconds = found.T
            shown = {"ari": ari.mean(), "ari_range": np.ptp(ari), "loss": loss.mean()}
            shown["seconds"] = seconds.mean()
            figures |= {f"{name}/{variant}/{key}": float(one) for key, one in shown.items()}
            show(figures, options.json)


def simulate(values: dict[str, Any]) -> AnnData:
    """Return a simulation."""
    return SimRNA(SimRNA.Params(**(values | {"n_cells": N_CELLS, "n_features": 1000}))).load()


def read(name: str) -> AnnData:
    """Return the same random cells of a dataset each time."""
    data = anndata.read_h5ad(Path(os.environ["BENCH_DATA_DIR"]) / f"{name}.h5ad")
    rows = np.random.default_rng(0).choice(data.n_obs, N_CELLS, replace=False)
    return data[np.sort(rows)].copy()


def fit(data: AnnData, *, method: str, seed: int, **values: Any) -> tuple[float, float, float]:
    """Return ARI, best loss of held-out cells, and seconds of the processor."""
    types = data.obs["cell_type"].astype(str).to_numpy()
    k = len(set(types))
    started = time.process_time()
    if QUESTIONS.get(method, ("", ""))[1] is _GRAPH:
        values["n_clusters"] = k
    fitted = bench.estimator(method, **values).fit(data, seed=seed)
    seconds = time.process_time() - started
    starts = [kmeans(fitted.embedding_, k, start) for start in range(3)]
    found = list(fitted.own_labels_.values()) or starts
    ari = np.mean([adjusted_rand_score(types, labels) for labels in found])
    curves = fitted.curves_
    losses = curves.get("held_out_likelihood_loss") or curves.get("held_out_loss", [np.nan])
    return float(ari), float(min(losses)), seconds


if __name__ == "__main__":
    main()
