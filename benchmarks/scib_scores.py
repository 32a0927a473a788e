"""Scores of stored embeddings beside those of the ``Benchmarker`` of scib-metrics.

    python benchmarks/scib_scores.py --results FOLDER [--datasets NAMES] [--out FILE.md]

Needs ``pip install 'aebench[scib]'``. Our scores are those of the store, theirs are computed from
the stored embedding, the types and the batches. Silhouettes are compared as (s + 1) / 2, as they
are theirs. Runs whose scores are of a part of the cells are left out.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

import bench
from _figures import write_page
from bench.plan.job import dataset_folder
from bench.scoring.metrics import metrics
from bench.scoring.unintegrated import unintegrated_components
from bench.settings import Settings, load_settings
from bench.store.result import Result


@dataclass(frozen=True)
class Pair:
    """A score of ours and the one of theirs to compare it with."""

    ours: str
    """Column of the table of results."""
    theirs: str
    """Row of their results."""
    same: bool
    """Whether the definitions are equal, up to approximate neighbours and samples of cells."""
    scaled: bool = False
    """Whether ours is from -1 to 1 and theirs (s + 1) / 2."""


PAIRS = (
    Pair("embedding/silhouette_types", "silhouette_label", same=True, scaled=True),
    Pair("embedding/clisi", "clisi_knn", same=True),
    Pair(
        "embedding/isolated_silhouette", "isolated_labels", same=True, scaled=True,
    ),
    Pair("embedding/bras", "bras", same=True),
    Pair("embedding/ilisi", "ilisi_knn", same=True),
    Pair("embedding/pcr_comparison", "pcr_comparison", same=True),
    Pair("kmeans/ari", "nmi_ari_cluster_labels_kmeans_ari", same=False),
    Pair("kmeans/nmi", "nmi_ari_cluster_labels_kmeans_nmi", same=False),
    Pair("leiden/ari", "nmi_ari_cluster_labels_leiden_ari", same=False),
    Pair("leiden/nmi", "nmi_ari_cluster_labels_leiden_nmi", same=False),
    Pair("embedding/kbet", "kbet_per_label", same=False),
    Pair("embedding/graph_connectivity", "graph_connectivity", same=False),
)  # fmt: skip


def stored_runs(results: Path, datasets: list[str] | None, seed: int) -> list[dict[str, Any]]:
    """Return the rows of finished runs with labels, scores of all cells and artifacts here."""
    table = bench.load_results(results, columns="all")
    kept = table[
        (table["status"] == "done")
        & (table["seed"] == seed)
        & (table["labels_digest"] != "none")
        & (table["protocol"] != "holdout")
        & table["artifacts"].notna()
    ]
    # The same fit may be stored for a search and for a run.
    kept = kept.drop_duplicates("fit_key").sort_values(["dataset", "method"])
    if datasets is not None:
        kept = kept[kept["dataset"].isin(datasets)]
    return [{str(name): value for name, value in row.items()} for row in kept.to_dict("records")]


def load_cells(folder: Path, settings: Settings) -> AnnData:
    """Return the embedding of a run with types, batches and, of several batches, components.

    All are in the order of the embedding, which is not that of the dataset in the cache.
    """
    embedding = pd.read_parquet(folder / "embedding.parquet")
    known = pd.read_parquet(folder / "clusters.parquet")
    if not known.index.equals(embedding.index):
        raise ValueError(f"{folder}: embedding and clusters have other cells")
    points = embedding.to_numpy(dtype=np.float32)
    obs = pd.DataFrame({"type": known["type"].astype(str)}, index=embedding.index)
    obs["batch"] = known["batch"].astype(str) if "batch" in known else "0"
    cells = AnnData(points, obs=obs.astype("category"), obsm={"embedding": points})
    if obs["batch"].nunique() > 1:
        job = Result.read(folder).job
        before = unintegrated_components(settings.cache_dir, dataset_folder(job, settings))
        if before is not None:
            cells.obsm["before"] = before[np.load(folder / "cells.npy")]
    return cells


def their_scores(cells: AnnData) -> dict[str, float]:
    """Return the scores of the ``Benchmarker``; those of batches only where there are several."""
    scib: Any = import_module("scib_metrics.benchmark")
    several = cells.obs["batch"].nunique() > 1
    conservation = scib.BioConservation(
        isolated_labels=several, nmi_ari_cluster_labels_leiden=True
    )
    correction = scib.BatchCorrection(pcr_comparison="before" in cells.obsm) if several else None
    theirs = scib.Benchmarker(
        cells, "batch", "type", ["embedding"], conservation, correction,
        # Without a name they compute components, which nothing uses without batches.
        pre_integrated_embedding_obsm_key="before" if "before" in cells.obsm else "embedding",
        progress_bar=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.benchmark()
    found = theirs.get_results(clean_names=False).loc["embedding"]
    return {str(name): float(value) for name, value in found.items()}


def compare(row: dict[str, Any], theirs: dict[str, float]) -> list[dict[str, Any]]:
    """Return an entry for each pair of scores that the run has."""
    found = []
    for pair in PAIRS:
        ours = row.get(pair.ours, np.nan)
        if pd.isna(ours) or pair.theirs not in theirs:
            continue
        ours = (ours + 1) / 2 if pair.scaled else ours
        found.append({
            "score": pair.ours, "ours": ours, "theirs": theirs[pair.theirs],
            "run": f"{row['method']} · {row['dataset']}",
            "difference": abs(ours - theirs[pair.theirs]),
        })  # fmt: skip
    return found


def page(entries: pd.DataFrame, command: str) -> str:
    """Return the tables of largest differences, and what differs by design."""
    lines = ["# Scores beside those of scib-metrics", ""]
    lines += [
        f"Stored embeddings of {entries['run'].nunique()} runs, scored by the `Benchmarker` of "
        f"scib-metrics {version('scib-metrics')} with its defaults. Each row has the run with the "
        "largest difference. Silhouettes as (s + 1) / 2. PCR comparison has the same components "
        "before integration on both sides.",
        "",
        f"Made by `{command}`.",
        "",
    ]
    texts = {
        True: "Equal definitions. The Benchmarker searches neighbours approximately, and takes "
        "no sample of cells.",
        False: "Other definitions, by design; these are no errors of either side.",
    }
    for same, text in texts.items():
        lines += [text, "", "| score | runs | largest difference | ours | theirs | of |"]
        lines += ["|---|---:|---:|---:|---:|---|"]
        for pair in (one for one in PAIRS if one.same == same):
            lines.append(_line(pair, entries[entries["score"] == pair.ours]))
        lines.append("")
    lines += ["How the definitions differ:", ""]
    known = metrics()
    for name in dict.fromkeys(pair.ours.partition("/")[2] for pair in PAIRS):
        lines.append(f"* `{name}`: {known[name].scib_metrics}")
    return "\n".join(lines) + "\n"


def _line(pair: Pair, found: pd.DataFrame) -> str:
    """Return the row of a score."""
    if found.empty:
        return f"| `{pair.ours}`, `{pair.theirs}` | 0 | – | – | – | – |"
    worst = found.sort_values("difference").iloc[-1]
    return (
        f"| `{pair.ours}`, `{pair.theirs}` | {len(found)} | {worst['difference']:.2g} "
        f"| {worst['ours']:.4f} | {worst['theirs']:.4f} | {worst['run']} |"
    )


def main() -> None:
    """Score all chosen runs and write or print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, required=True, help="folder of the store")
    parser.add_argument("--datasets", help="names, separated by commas; default: all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the runs")
    parser.add_argument("--out", type=Path, help="default: standard output")
    options = parser.parse_args()
    settings: Settings = load_settings({"results": options.results})
    datasets = None if options.datasets is None else options.datasets.split(",")
    entries = []
    for row in stored_runs(options.results, datasets, options.seed):
        cells = load_cells(Path(row["artifacts"]), settings)
        entries += compare(row, their_scores(cells))
        print(f"{row['method']} · {row['dataset']}: {cells.n_obs} cells", flush=True)
    if not entries:
        parser.error("no finished run with labels matches")
    chosen = f" --datasets {options.datasets}" if options.datasets else ""
    chosen += f" --seed {options.seed}" if options.seed else ""
    command = f"python benchmarks/scib_scores.py --results {options.results}{chosen}"
    text = page(pd.DataFrame(entries), command)
    write_page(text, options.out)


if __name__ == "__main__":
    main()
