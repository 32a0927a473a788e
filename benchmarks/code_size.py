"""How many dimensions a guided code should have: a rare type and the others, by ``n_latent``.

    BENCH_DATA_DIR=… python benchmarks/code_size.py sizes.jsonl     # some 11 minutes of one core
    python benchmarks/code_size.py sizes.jsonl --show

Simulations and the sets on which defaults are chosen. A type is made rare (1 %); its markers are
of the literature (kang_ifnb) or computed from the cells that were left out. A line a fit: average
precision of the 15-neighbour vote for the rare type, ARI of k-means on the others, held-out
losses.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, average_precision_score
from sklearn.neighbors import NearestNeighbors

from bench.contract import RNA, Context, Knowledge
from bench.data.marker_lists import literature_markers
from bench.datasets.sim_rna import SimRNA
from bench.methods.sakura import Sakura, SakuraUnguided
from bench.prepare.in_memory import describe_counts, prepare_counts
from bench.reports.tables.statistics import t_interval

SIZES = (5, 10, 20, 50)
Task = tuple[anndata.AnnData, np.ndarray, np.ndarray, tuple[str, ...]]
"""Counts, mask of the rare cells, type of each cell, markers."""


def rare_task(
    name: str, column: str, kind: str, seed: int, n_cells: int, list_name: str = ""
) -> Task:
    """Return a set with a type made rare; ``list_name``: its list of the literature."""
    data = anndata.read_h5ad(Path(os.environ["BENCH_DATA_DIR"]) / f"{name}.h5ad")
    types = data.obs[column].astype(str).to_numpy()
    rng = np.random.default_rng(seed)
    rare, other = np.flatnonzero(types == kind), np.flatnonzero(types != kind)
    other = rng.permutation(other)[:n_cells]
    rare = rng.permutation(rare)
    n_kept = max(8, round(0.01 * len(other)))
    kept, left_out = rare[:n_kept], rare[n_kept:]
    if list_name:
        known = literature_markers(name)
        assert known is not None
        genes = tuple(known.lists[list_name])
    else:
        genes = tuple(data.var_names[markers(data.X, left_out, other)])
    cells = np.sort(np.concatenate([kept, other]))
    return data[cells].copy(), np.isin(cells, kept), types[cells], genes


def markers(counts: Any, left_out: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the numbers of the 8 genes with the largest standardised difference of means."""
    depth = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    logs = np.log1p(sp.diags(1e4 / depth) @ sp.csr_matrix(counts))
    means = [np.asarray(logs[cells].mean(axis=0)).ravel() for cells in (left_out, other)]
    squares = np.asarray(logs[other].power(2).mean(axis=0)).ravel()
    spread = np.sqrt(squares - means[1] ** 2) + 0.1
    best: np.ndarray = np.argsort((means[1] - means[0]) / spread)[:8]
    return best


def simulated_task(seed: int, n_cells: int = 900) -> Task:
    """Return simulated cells; 1.2 % of them, in the largest type, have 6 genes at 6 times."""
    data = SimRNA(SimRNA.Params(n_cells=n_cells, n_features=500, seed=seed)).load()
    rng = np.random.default_rng(seed)
    types = data.obs["cell_type"].astype(str).to_numpy()
    names, sizes = np.unique(types, return_counts=True)
    inside = np.flatnonzero(types == names[sizes.argmax()])
    rare = rng.choice(inside, max(8, round(0.012 * n_cells)), replace=False)
    counts = data.X.toarray()
    mean = counts.mean(axis=0)
    genes = rng.choice(np.flatnonzero((mean > 0.2) & (mean < 2)), 6, replace=False)
    for gene in genes:
        counts[rare, gene] = rng.poisson(6 * mean[gene], len(rare))
    data.X = sp.csr_matrix(counts.astype(np.float32))
    return data, np.isin(np.arange(n_cells), rare), types, tuple(data.var_names[genes])


def tasks() -> Iterator[tuple[str, Task, int]]:
    """Yield name, data and number of variable genes."""
    for seed in (1, 2, 3):
        yield f"sim_rna {seed}", simulated_task(seed), 500
    yield "sim_rna, 3,000 cells", simulated_task(4, 3000), 500
    for seed in (0, 2):
        task = rare_task("kang_ifnb", "cell_type", "CD8 T", seed, 1200, "CD8 effector memory")
        yield f"kang_ifnb, CD8 T {seed}", task, 1000
    yield "kang_ifnb, NK", rare_task("kang_ifnb", "cell_type", "NK", 0, 1200, "NK"), 1000
    for kind in ("5.0", "3.0"):
        task = rare_task("mouse_bladder_2100", "cell_type", kind, 0, 1200)
        yield f"mouse_bladder_2100, type {kind:.1}", task, 1000
    task = rare_task("zeisel_200genes", "level2class", "CA1Pyr1", 0, 1200)
    yield "zeisel_200genes, CA1Pyr1", task, 200


def fit_scores(task: Task, n_latent: int, n_genes: int, *, guided: bool) -> dict[str, Any]:
    """Return scores and held-out losses of one fit."""
    data, is_rare, types, genes = task
    cls = Sakura if guided else SakuraUnguided
    method = cls(cls.Params.build({"n_latent": n_latent, "n_top_genes": n_genes}, owner=cls.name))
    counts = anndata.AnnData(sp.csr_matrix(data.X).astype(np.float32))
    counts.obs_names, counts.var_names = data.obs_names, data.var_names
    info = describe_counts(counts.X, name="x", modality=RNA, has_batch=False)
    cells = prepare_counts(counts, method.recipe(info))
    known = tuple(gene for gene in genes if gene in set(cells.var_names))
    knowledge = Knowledge(markers={"rare": known}) if guided else Knowledge()
    context = Context(
        seed=0, n_clusters=None, device="cpu", threads=1, knowledge=knowledge,
        report=lambda step, total=None, /, **values: None, log=lambda text: None, scratch=Path(),
    )  # fmt: skip
    started = time.process_time()
    code = method.fit(cells, context).embedding
    seconds = time.process_time() - started
    neighbours = NearestNeighbors(n_neighbors=16).fit(code).kneighbors(code)[1][:, 1:]
    others = types[~is_rare]
    k = len(np.unique(others))
    clusters = [KMeans(k, n_init=3, random_state=s).fit_predict(code[~is_rare]) for s in (0, 1)]
    losses = method.model.term_losses[method.model.best_epoch - 1]
    return {
        "n_latent": n_latent, "guided": guided,
        "ap": float(average_precision_score(is_rare, is_rare[neighbours].mean(axis=1))),
        "ari": float(np.mean([adjusted_rand_score(others, one) for one in clusters])),
        "held_out": {term: one.get("held_out_loss") for term, one in losses.items()},
        "seconds": seconds,
    }  # fmt: skip


def show(path: Path) -> None:
    """Print means over the sets, and differences to the largest size with 95 % intervals."""
    rows = pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()])
    for guided, part in rows.groupby("guided"):
        print(f"{'guided' if guided else 'unguided'}, {part['data'].nunique()} sets")
        for score in ("ap", "ari"):
            table = part.pivot(index="data", columns="n_latent", values=score)
            for size in table:
                text = f"  {score} {size:3d}: {table[size].mean():.2f}"
                differences = (table[size] - table[max(SIZES)]).dropna()
                if size != max(SIZES) and len(differences) > 1:
                    found = t_interval(differences)
                    text += f", {found.mean:+.3f} ± {found.half_width:.3f} to {max(SIZES)}"
                print(text)


def main() -> None:
    """Fit every size on every set, or show what was fitted."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    if not arguments.show:
        torch.set_num_threads(1)
        with arguments.file.open("a") as file:
            for name, task, n_genes in tasks():
                for size in SIZES:
                    for guided in (True, False):
                        found = fit_scores(task, size, n_genes, guided=guided)
                        file.write(json.dumps({"data": name} | found) + "\n")
                        file.flush()
    show(arguments.file)


if __name__ == "__main__":
    main()
