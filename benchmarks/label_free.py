"""Rank correlations of scores without labels with the ARI, over methods.

    python benchmarks/label_free.py --out docs/results/label_free.md

Each dataset is run with its labels hidden, then the same fits are scored with labels. The table
has, for each dataset and label-free score, Spearman's rank correlation over methods of the means
over seeds with the mean ARI of k-means (k from truth).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

import bench
from _figures import write_page
from bench.reports.tables.label_free import TEXTS, label_free_table
from bench.reports.tables.labels import label
from bench.reports.tables.leaderboard import tidy

METHODS = {
    "rna": "pca,pca[n_components=5],pca_umap,nmf,lsnmf,ae,ae[likelihood=nb],sparse_ae,"
    "sakura_unguided,vae,vae[likelihood=gaussian]",
    "atac": "lsi,lsi[n_components=5],pca,pca[n_components=5],pca_umap,nmf,lsnmf,ae,sparse_ae,vae",
}
DATASETS = {"pbmc3k": "rna", "teaseq": "rna", "baron_mouse": "rna", "leukemia": "atac"}
ARI = "kmeans/ari"
_COSTS = (label("seconds"), label("peak_memory_mb"))
_LEAST_METHODS = 5


def correlations(unlabelled: pd.DataFrame, labelled: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's correlation with the ARI by score (rows); columns ``rho`` and ``n``.

    Scores that fewer than 5 methods have, or that are equal for all, have none.
    """
    scores = label_free_table(unlabelled).set_index("method")
    ari = tidy(labelled).groupby("method")[ARI].mean()
    rows = {}
    for name in scores.columns.difference([*TEXTS, *_COSTS], sort=False):
        both = pd.concat([scores[name], ari], axis=1, join="inner").dropna()
        enough = len(both) >= _LEAST_METHODS and both[name].nunique() > 1
        rho = spearmanr(both[name], both[ARI]).statistic if enough else np.nan
        rows[name] = {"rho": rho, "n": len(both)}
    return pd.DataFrame.from_dict(rows, orient="index")


def _run(dataset: str, options: argparse.Namespace, folder: Path) -> pd.DataFrame:
    """Return the correlations on one dataset; the fits are made once."""
    for hidden in (True, False):
        bench.run(
            METHODS[DATASETS[dataset]], dataset, seeds=tuple(range(options.seeds)), timeout=300.0,
            no_labels=hidden, results=folder / dataset, report=False, profile=options.profile,
            jobs=options.jobs,
        )  # fmt: skip
    stored = bench.load_results(folder / dataset, columns="all")
    stored = stored[stored["status"] == "done"]
    hidden_rows = stored["labels_digest"] == "none"
    return correlations(stored[hidden_rows], stored[~hidden_rows])


def _page(found: dict[str, pd.DataFrame], options: argparse.Namespace) -> str:
    names = list(dict.fromkeys(name for table in found.values() for name in table.index))
    lines = ["# Scores without labels against the ARI", ""]
    lines += [
        "Labels were hidden from the runs that gave the scores. Each entry is Spearman's "
        "correlation over methods of a score with the ARI of k-means (k from truth), both means "
        f"over {options.seeds} seeds of the profile `{options.profile}`; in brackets the number "
        "of methods.",
        "",
        "Made by `python benchmarks/label_free.py --out docs/results/label_free.md`.",
        "",
    ]
    lines += [f"| score | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    for name in names:
        cells = []
        for table in found.values():
            rho, n = table.loc[name] if name in table.index else (np.nan, 0)
            cells.append("–" if np.isnan(rho) else f"{rho:+.2f} ({n:.0f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all datasets and write or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=list(DATASETS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--results", type=Path, help="kept; default: a temporary folder")
    parser.add_argument("--out", type=Path, help="default: standard output")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="label_free-") as scratch:
        folder = options.results or Path(scratch)
        found = {name: _run(name, options, folder) for name in options.datasets}
    page = _page(found, options)
    write_page(page, options.out)


if __name__ == "__main__":
    main()
