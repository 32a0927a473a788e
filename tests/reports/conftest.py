from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

METHODS = {
    # name: (family, quality, seconds, uses)
    "pca": ("baseline", 0.66, 0.4, ""),
    "vae": ("autoencoder", 0.72, 31.0, ""),
    "ae": ("autoencoder", 0.61, 22.0, ""),
    "sparse_ae[n_latent=16]": ("autoencoder", 0.58, 25.0, ""),
    "nmf": ("factorization", 0.55, 1.3, ""),
    "scsmd": ("factorization", 0.71, 240.0, "n_clusters"),
    "random": ("control", 0.0, 0.01, ""),
    "truth": ("control", 1.0, 0.01, "labels"),
}
DATASETS = {"pbmc68k": 240, "sim_rna": 300}


def job(method: str, dataset: str = "a", seed: int = 0, **more: Any) -> dict[str, Any]:
    """One row of results; ``ari`` is the main metric."""
    row = {
        "method": method,
        "method_name": method.partition("[")[0],
        "family": "autoencoder",
        "dataset": dataset,
        "modality": "RNA",
        "seed": seed,
        "status": "done",
        "reason": "",
        "profile": "default",
        "protocol": "default",
        "uses": "",
        "score_key": f"{method}-{dataset}-{seed}",
        "seconds": 1.0,
        "peak_memory_mb": 10.0,
    }
    if "ari" in more:
        row["kmeans/ari"] = more.pop("ari")
    return row | more


def left(method: str, dataset: str, status: str = "skipped", reason: str = "why") -> dict:
    """A combination that was not run has few columns."""
    name = method.partition("[")[0]
    return {
        "method_name": name,
        "method": method,
        "dataset": dataset,
        "status": status,
        "reason": reason,
    }


def realistic(
    folder: Path, *, artifacts: bool = True, extra: int = 0, dims: int = 6
) -> pd.DataFrame:
    """A run as it comes from the store: 8 methods, 2 datasets, 3 seeds, with failures."""
    rng = np.random.default_rng(0)
    rows = []
    methods = METHODS | {f"more_{i}": ("factorization", 0.4, 2.0, "") for i in range(extra)}
    for dataset, cells in DATASETS.items():
        for method, (family, quality, seconds, uses) in methods.items():
            for seed in range(3):
                values = {"family": family, "uses": uses, "n_cells": cells, "n_features": 765}
                if method == "ae" and dataset == "sim_rna" and seed == 1:
                    reason, log = "the loss is not finite in epoch 3", "epoch 2: 1e30\nDiverged"
                    end = {"status": "diverged", "reason": reason, "log_tail": log}
                    rows.append(job(method, dataset, seed, **values, **end))
                    continue
                values |= _scores(rng, method, quality, seconds)
                row = job(method, dataset, seed, **values)
                if artifacts:
                    row["artifacts"] = str(folder / row["score_key"])
                    write_artifacts(Path(row["artifacts"]), cells, seed, quality, dims)
                rows.append(row)
        rows.append(left("lsi", dataset, reason="made for ATAC, the data are RNA"))
    return pd.DataFrame(rows)


def _scores(rng: np.random.Generator, method: str, quality: float, seconds: float) -> dict:
    spread = 0 if method == "truth" else 0.02
    ari, nmi, leiden = quality + spread * rng.normal(size=3)
    return {
        "kmeans/ari": ari, "kmeans/nmi": nmi, "kmeans/ami": nmi - 0.01,
        "kmeans/accuracy": 0.5 + ari / 2, "leiden/ari": leiden, "leiden/n_clusters": 9.0 + spread,
        "embedding/silhouette_types": ari / 3, "embedding/knn_purity": 0.4 + ari / 2,
        "seconds": seconds * rng.uniform(0.8, 1.2), "cpu_seconds": seconds,
        "peak_memory_mb": 100 + seconds, "n_parameters": 12345.0, "coverage": 1.0,
        "missing": json.dumps({"embedding/ilisi": "no batch is given"}),
    } | ({"argmax/ari": ari - 0.1, "argmax/nmi": nmi} if method == "scsmd" else {})  # fmt: skip


def write_artifacts(folder: Path, cells: int, seed: int, quality: float, dims: int = 6) -> None:
    rng = np.random.default_rng(seed)
    names = ["B", "CD4+ T", "CD8+ T", "NK", "Monocyte", "Dendritic"]
    types = rng.choice(names, cells)
    centres = rng.normal(size=(len(names), dims)) * 8 * max(quality, 0.01)
    points = centres[[names.index(name) for name in types]] + rng.normal(size=(cells, dims))
    folder.mkdir(parents=True, exist_ok=True)
    index = [f"cell{i}" for i in range(cells)]
    columns = [f"z{i}" for i in range(dims)]
    pd.DataFrame(points.astype(np.float32), index, columns).to_parquet(
        folder / "embedding.parquet"
    )
    pd.DataFrame({"type": types, "kmeans": 0}, index).to_parquet(folder / "clusters.parquet")


@pytest.fixture
def make_job():
    return job


@pytest.fixture
def make_left():
    return left


@pytest.fixture
def make_realistic():
    return realistic


@pytest.fixture
def make_artifacts():
    return write_artifacts
