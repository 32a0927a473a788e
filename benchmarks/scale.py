"""scIMTA on many cells: seconds and peak memory of each stage.

    python benchmarks/scale.py --cells 1300000 [--method scimta] [--threads 2] [--json FILE]

Counts of 1,000 genes, 20 types of cells, about 6 % not zero, are drawn block by block (not timed).
Then: ``prepare`` (filters, normalisation, log), ``points`` (z-scores, principal components),
``graph`` (approximate neighbours, surfing, mutual information), ``build`` (the parts of the graph
and, for scimta, imputation and gene graph), ``train`` (one epoch without and one with clusters),
``embed`` (the codes of all cells), ``cluster`` (k-means and Leiden). More than 100,000 cells are
clustered by a random 100,000 of them, the others join the nearest mean; the output says so. Peak
memory is the resident memory of the process, libraries and counts included.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

from _figures import Clock, context, show
from bench.methods.nn.train import seeded
from bench.methods.scimta.cell_model import CellData
from bench.methods.scimta.initial_clusters import nearest_mean
from bench.methods.scimta.training import all_codes, pretrain, self_train
from bench.prepare.in_memory import describe_counts, prepare_counts
from bench.registry import methods
from bench.scoring.clustering import kmeans, leiden

if TYPE_CHECKING:
    from collections.abc import Callable

N_GENES, N_TYPES, BLOCK, COUNTS = 1000, 20, 10_000, 75.0
CLUSTERED = 100_000


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    n_cells = 2000 if options.quick else options.cells
    cls = methods().get(options.method)
    # Also small cases go through the parts, so that the growth is that of one thing.
    method = cls(
        cls.Params.build(
            {"pretrain_epochs": 1, "max_epochs": 1, "n_clusters": N_TYPES,
             "minibatch_above": min(25_000, n_cells // 2)},
            owner=options.method,
        )
    )  # fmt: skip
    figures = {"cells": float(n_cells), "cells that are clustered": float(min(n_cells, CLUSTERED))}
    run = Stages(figures)
    counts, types = simulated(n_cells)
    figures["share of entries above 0"] = counts.nnz / n_cells / N_GENES
    embedding = fit(method, counts, options.threads, run)
    chosen = np.random.default_rng(0).permutation(n_cells)[:CLUSTERED]
    for name, found in run("cluster", lambda: clusterings(embedding, chosen)).items():
        figures[f"ARI of {name}"] = float(adjusted_rand_score(types, found))
    for unit in ("s", "CPU s"):
        figures[f"all/{unit}"] = sum(figures[f"{name}/{unit}"] for name in run.names)
    figures["all/GiB"] = max(figures[f"{name}/GiB"] for name in run.names)
    if n_cells > CLUSTERED:
        print(f"clustered by {CLUSTERED} random cells; the others join the nearest mean")
    show(figures, options.json)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="2,000 cells")
    parser.add_argument("--method", default="scimta", choices=["scmgca", "sctag", "scimta"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


class Stages:
    """Run functions and note seconds, CPU seconds and peak memory of each."""

    def __init__(self, figures: dict[str, float]) -> None:
        self._figures = figures
        self.names: list[str] = []

    def __call__(self, name: str, function: Callable[[], Any]) -> Any:
        """Return what ``function`` returns."""
        # From here on the peak is counted anew (Linux; elsewhere it is that of the process).
        Path("/proc/self/clear_refs").write_text("5")
        started, cpu = time.perf_counter(), time.process_time()
        found = function()
        values = {
            "s": time.perf_counter() - started,
            "CPU s": time.process_time() - cpu,
            "GiB": peak_memory(),
        }
        self.names.append(name)
        self._figures.update({f"{name}/{unit}": value for unit, value in values.items()})
        print(json.dumps({name: {u: round(v, 3) for u, v in values.items()}}), flush=True)
        return found


def peak_memory() -> float:
    """Return the peak resident memory in GiB since it was last counted anew."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**20


def simulated(n_cells: int) -> tuple[sp.csr_matrix, np.ndarray]:
    """Return counts, cells × genes, float32, and the type of each cell."""
    rng = np.random.default_rng(0)
    profiles = rng.gamma(0.5, size=N_GENES) * np.exp(rng.normal(0, 1.0, (N_TYPES, N_GENES)))
    profiles /= profiles.sum(axis=1, keepdims=True)
    types = rng.integers(0, N_TYPES, n_cells)
    blocks = []
    for start in range(0, n_cells, BLOCK):
        here = types[start : start + BLOCK]
        depth = COUNTS * rng.lognormal(0.0, 0.3, (len(here), 1))
        drawn = rng.poisson((depth * profiles[here]).astype(np.float32))
        blocks.append(sp.csr_matrix(drawn, dtype=np.float32))
    return sp.vstack(blocks, format="csr"), types


def fit(method: Any, counts: sp.csr_matrix, threads: int, run: Stages) -> np.ndarray:
    """Return the codes of all cells; the steps are those of ``method.fit``."""
    from dataclasses import replace

    told = replace(context(Clock()), threads=threads)
    info = describe_counts(counts, name="benchmark", modality="rna", has_batch=False)
    data = run("prepare", lambda: prepare_counts(AnnData(counts), method.recipe(info)))
    model_fit = method.new_fit()
    inputs = model_fit.inputs(data, None)
    points = run("points", lambda: model_fit.points(inputs, told))
    graph, notes = run("graph", lambda: model_fit.cell_graph(points, told))
    print(json.dumps({"edges_a_cell": graph.target.nnz / len(points)} | notes), flush=True)
    with seeded(told.seed, "network"):
        cells = CellData(
            inputs, sp.csr_matrix(data.layers["counts"]), graph, method.params,
            conv_hops=model_fit.conv_hops, device="cpu",
        )  # fmt: skip
        model, (batches, notes) = run(
            "build",
            lambda: (
                model_fit.build(data, cells, told),
                model_fit.make_batches(cells, points, told),
            ),
        )
        print(json.dumps(notes), flush=True)
        run("train", lambda: train(model_fit, model, batches, graph, told))
        return run("embed", lambda: all_codes(model, batches)["cells"]).numpy()


def train(model_fit: Any, model: Any, batches: Any, graph: Any, told: Any) -> None:
    """Train one epoch without and one with clusters."""
    pretrain(model, batches, model_fit.params, told)
    codes = all_codes(model, batches)
    labels = model_fit.first_labels(codes["cells"], graph, told)
    clusters = model_fit.views(codes, labels)
    self_train(model, batches, clusters, model_fit.params, told)


def clusterings(embedding: np.ndarray, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Return k-means and Leiden labels of all cells from those of the ``chosen``."""
    some = embedding[chosen]
    found = {"kmeans": kmeans(some, N_TYPES, 0), "leiden": leiden(some, 0)}
    return {name: nearest_mean(embedding, some, labels) for name, labels in found.items()}


if __name__ == "__main__":
    main()
