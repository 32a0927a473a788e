from __future__ import annotations

import json
import re
import sqlite3
from html import unescape
from html.parser import HTMLParser
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
        "files": "",
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


@pytest.fixture(scope="session")
def make_realistic():
    return realistic


@pytest.fixture
def make_artifacts():
    return write_artifacts


SEEDS = {"one": 3, "two": 3, "three": 2, "four": 2, "five": 2, "six": 2}
QUALITY = {"pca": 0.6, "vae": 0.7, "nmf": 0.5, "ae": 0.65, "random": 0.0, "truth": 1.0}
KEYS = ("kmeans/ari", "kmeans/nmi", "leiden/ari", "seconds", "peak_memory_mb")
EPOCHS = 5


def value(rng: np.random.Generator, method: str, dataset: str, key: str) -> float:
    if key in ("seconds", "peak_memory_mb"):
        return float(rng.uniform(1, 90))
    if method == "truth":
        return 1.0
    shift = 0 if method == "random" else list(SEEDS).index(dataset) / 100
    return QUALITY[method] + shift + float(rng.normal()) * 0.03


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """A store written through MLflow: 6 methods × 6 datasets × 2 or 3 seeds.

    One seed of ``ae`` failed on ``two``, all of ``nmf`` on ``six``. The jobs of ``pca`` and
    ``vae`` on ``one`` have clusters and a curve.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric, RunTag

    folder = tmp_path_factory.mktemp("results")
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("bench", (folder / "artifacts").as_uri())
    rng = np.random.default_rng(1)
    for method in QUALITY:
        for dataset, seeds in SEEDS.items():
            for seed in range(seeds):
                failed = (method, dataset, seed) == ("ae", "two", 1) or (
                    (method, dataset) == ("nmf", "six")
                )
                run = client.create_run(experiment, run_name=method).info.run_id
                values = {} if failed else {k: value(rng, method, dataset, k) for k in KEYS}
                metrics = [Metric(k, v, 0, 0) for k, v in values.items()]
                if dataset == "one" and method in ("pca", "vae"):
                    metrics += [Metric("epoch/loss", rng.uniform(), 0, i) for i in range(EPOCHS)]
                    _clusters(folder / "artifacts" / run / "artifacts", rng)
                tags = _tags(method, dataset, seed, failed=failed)
                client.log_batch(run, metrics, tags=[RunTag(*one) for one in tags.items()])
                client.set_terminated(run, "FAILED" if failed else "FINISHED")
    return folder


def _tags(method: str, dataset: str, seed: int, *, failed: bool) -> dict[str, str]:
    family = "control" if method in ("random", "truth") else "model"
    end = {"status": "failed", "reason": "broken", "log_tail": f"line 9 of {method}"}
    return {
        "kind": "job", "method": method, "method_name": method, "family": family,
        "dataset": dataset, "modality": "rna", "seed": str(seed), "threads": "1",
        "timeout": "60", "memory": "1",
        "protocol": "default", "profile": "default", "n_cells": "40", "n_features": "5",
        "n_types": "3", "score_key": f"{method}-{dataset}-{seed}", "fit_key": "f",
        "missing": "{}", "notes": "{}",
    } | (end if failed else {"status": "done", "reason": ""})  # fmt: skip


def _clusters(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    types = rng.choice(["B", "T", "NK"], 40, p=[0.5, 0.3, 0.2])
    clusters = np.where(rng.uniform(size=40) < 0.7, types == "T", rng.integers(4, size=40))
    pd.DataFrame({"type": types, "kmeans": clusters.astype(int)}).to_parquet(
        folder / "clusters.parquet"
    )
    pd.DataFrame(rng.normal(size=(40, 2))).rename(columns=str).to_parquet(
        folder / "embedding.parquet"
    )


@pytest.fixture(scope="session")
def stored(store) -> dict[tuple[str, str, str], dict[int, float]]:
    """(metric, dataset, method) → seed → value, read with SQL alone."""
    with sqlite3.connect(store / "mlflow.db") as base:
        rows = base.execute(
            "select m.key, d.value, n.value, s.value, m.value from latest_metrics m "
            "join tags d on d.run_uuid = m.run_uuid and d.key = 'dataset' "
            "join tags n on n.run_uuid = m.run_uuid and n.key = 'method' "
            "join tags s on s.run_uuid = m.run_uuid and s.key = 'seed'"
        )
        found: dict[tuple[str, str, str], dict[int, float]] = {}
        for key, dataset, method, seed, number in rows:
            found.setdefault((key, dataset, method), {})[int(seed)] = number
    return found


@pytest.fixture(scope="session")
def runs(store) -> dict[tuple[str, str, int], str]:
    """(method, dataset, seed) → run id, read with SQL alone."""
    with sqlite3.connect(store / "mlflow.db") as base:
        rows = base.execute("select value, run_uuid from tags where key = 'score_key'")
        return {
            (key.split("-")[0], key.split("-")[1], int(key.split("-")[2])): run
            for key, run in rows
        }


@pytest.fixture(scope="session")
def page(store) -> Page:
    from bench.reports.page import published_section
    from bench.reports.write import write_report
    from bench.settings import load_settings
    from bench.store.results_table import load_results

    settings = load_settings({"results": store})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            published_section,
            "load_published",
            lambda: published_section.PublishedFile.model_validate(PAPER),
        )
        path = write_report(
            load_results(store, columns="all"), store / "reports" / "all", settings, umap=False
        )
    return Page(path.read_text(encoding="utf-8"))


PAPER = {
    "verdicts": {"V": "read"},
    "notes": [],
    "sets": {"one": {"paper": "One", "n_cells": 40, "n_types": 3}},
    "sources": {"s": {"citation": "Someone 2020", "where": "there"}},
    "records": [
        {
            "source": "s", "method": "theirs", "ours": "vae", "clustering": "kmeans",
            "verdict": "V", "n_runs": 3, "k_from_truth": True, "how": "as printed",
            "values": {"one": {"ari": [0.5, 0.1], "nmi": 0.6}},
        }
    ],
}  # fmt: skip


class Page:
    """The text of a page and what it holds."""

    def __init__(self, text: str) -> None:
        self.text = text

    def table(self, name: str) -> list[dict[str, list[str]]]:
        """The rows of a table: heading → text, sort key and style; a heading again is numbered."""
        parser = _Rows(name)
        parser.feed(self.text)
        heads: list[str] = []
        for text, *_ in parser.rows[0]:
            times = sum(one.split(" #")[0] == text.replace("‑", "-") for one in heads)
            heads.append(text.replace("‑", "-") + (f" #{times + 1}" if times else ""))
        return [dict(zip(heads, row, strict=True)) for row in parser.rows[1:] if len(row) > 1]

    def version(self, key: str, option: str) -> str:
        """The HTML of one choice of a reader."""
        start = f'data-key="{key}" data-option="{option}"'
        return self.text.split(start)[1].split('<div class="version"')[0].split("</section>")[0]

    def tips(self, key: str, option: str) -> list[str]:
        """The texts behind the marks of one choice."""
        return [unescape(t) for t in re.findall(r'data-tip="([^"]*)"', self.version(key, option))]

    def section(self, name: str) -> str:
        """The text of a section without tags."""
        part = self.text.split(f'<section id="{name}"')[1].split("</section>")[0]
        return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", part))


class _Rows(HTMLParser):
    def __init__(self, table: str) -> None:
        super().__init__()
        self.wanted, self.inside, self.cell = table, False, False
        self.rows: list[list[list[str]]] = []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag == "table":
            self.inside = named.get("id") == self.wanted
        elif self.inside and tag == "tr":
            self.rows += [] if named.get("class") == "groups" else [[]]
        elif self.inside and tag in ("th", "td") and self.rows:
            self.rows[-1].append(["", named.get("data-sort", ""), named.get("style", "")])
            self.cell = True

    def handle_endtag(self, tag):
        if tag == "table":
            self.inside = False
        self.cell = self.cell and tag not in ("th", "td")

    def handle_data(self, data):
        if self.inside and self.cell:
            self.rows[-1][-1][0] += data.strip()
