"""Figures of the originals beside ``preset=faithful`` and the default, on the same cells.

    python benchmarks/fidelity.py [--only TEXT] [--jobs N] [--out docs/fidelity.md]

What is fitted stands in ``fidelity.yaml``, with the source of each figure. Needs
``BENCH_DATA_DIR``. Fits that are in the store are not made again; failed ones are shown as such.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import yaml

import bench
from bench.messages import format_duration
from bench.reports.tables.labels import is_own_clustering, label
from bench.reports.tables.statistics import t_interval

if TYPE_CHECKING:
    import pandas as pd

OWN = "own/ari"
_SEEDS = 3
_COLUMNS = ("data and score", "fit", "mean", "± or sd", "runs", "time of a fit")
_TIMEOUT = 4 * 3600.0
_HEAD = """# Fidelity

What the originals reached, by their papers or by their authors' programs on the same cells, and
what is reached here. `preset=faithful` has the published settings; every deviation from the
original program is on the page of the method (`bench methods NAME`). The number of clusters is
that of the true types. ±: half of the 95 % t-interval over seeds; sd: standard deviation. A figure
of one run is a draw, not an estimate: k-means alone moves `baron_mouse` by 0.14. Times were taken
beside other work.

**Seen before the default was chosen**: `baron_mouse` by the graph methods, `pbmc3k` by `sakura`;
these figures are no test of a default.

Made by `make results-fidelity`.
"""


def rows_of(path: Path, only: str) -> list[dict[str, Any]]:
    """Return the rows of the file, each with its system, whose system contains a text."""
    systems = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        {"system": one["system"], "remark": one.get("remark", ""), **row}
        for one in systems
        for row in one["rows"]
        if only.lower() in one["system"].lower()
    ]


def dataset_of(row: dict[str, Any], folder: Path) -> str:
    """Return the dataset of a row; with ``cells`` a file of every n-th of its cells."""
    if "cells" not in row:
        return str(row["dataset"])
    path = folder / f"{row['dataset']}_{row['cells']}.h5ad"
    if not path.is_file():
        whole = anndata.read_h5ad(Path(os.environ["BENCH_DATA_DIR"]) / f"{row['dataset']}.h5ad")
        step = -(-whole.n_obs // row["cells"])
        folder.mkdir(parents=True, exist_ok=True)
        whole[np.arange(0, whole.n_obs, step)].copy().write_h5ad(path)
    return str(path)


def scores_of(table: pd.DataFrame, score: str) -> pd.Series:
    """Return a score of finished jobs; ``own/ari`` is the mean of the method's own clusterings."""
    if score != OWN:
        return table[score].dropna()
    own = [name for name in table if is_own_clustering(str(name)) and str(name).endswith("/ari")]
    return table[own].mean(axis=1).dropna()


def _fitted(row: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Fit what a row asks for; return a line of the table for the original and each method."""
    dataset, lines, cells = dataset_of(row, options.results / "cells"), [], ""
    for method in row["methods"]:
        outcome = bench.run(
            method, dataset, seeds=row.get("seeds", _SEEDS), results=options.results,
            jobs=options.jobs, timeout=_TIMEOUT, report=False, umap=False,
        )  # fmt: skip
        table = outcome.load_results(columns="all")
        done = table[table["status"] == "done"]
        cells = cells or (f", {int(done['n_cells'].iloc[0]):,} cells" if len(done) else "")
        lines.append(_line(f"`{method}`", done, row["score"]))
    lines = [*_original(row), *lines]
    score = "ARI (own clusters)" if row["score"] == OWN else label(row["score"])
    first = f"`{row['dataset']}`{cells}, {score}"
    return [_row(first if number == 0 else "", *words) for number, words in enumerate(lines)]


def _original(row: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the words of the original's line, or none."""
    if "original" not in row:
        return []
    given = row["original"]
    mean, spread = given if isinstance(given, list) else (given, None)
    runs = str(row.get("runs", ""))
    sd = "" if spread is None else f"sd {spread:.3f}"
    return [(f"original: {row['source']}", f"{mean:.3f}", sd, runs, "")]


def _line(fit: str, done: pd.DataFrame, score: str) -> tuple[str, ...]:
    if done.empty:
        return (fit, "failed", "", "", "")
    interval = t_interval(scores_of(done, score))
    half = f"±\u00a0{interval.half_width:.3f}" if interval.n > 1 else ""
    seconds = format_duration(float(done["seconds"].median()))
    return (fit, f"{interval.mean:.3f}", half, str(interval.n), seconds)


def _row(*words: str) -> str:
    return f"| {' | '.join(words)} |"


def main() -> None:
    """Fit all rows and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="systems whose name contains this text")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("results/fidelity"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = rows_of(Path(__file__).with_name("fidelity.yaml"), options.only)
    parts = [_HEAD]
    for system in dict.fromkeys(row["system"] for row in rows):
        own = [row for row in rows if row["system"] == system]
        parts += [f"\n## {system}\n", *([own[0]["remark"], ""] if own[0]["remark"] else [])]
        parts += [_row(*_COLUMNS), "|---|---" + "|---:" * (len(_COLUMNS) - 2) + "|"]
        for row in own:
            lines = _fitted(row, options)
            parts += lines
            print(*lines, sep="\n", flush=True)
        notes = [f"* `{row['dataset']}`: {row['note']}" for row in own if "note" in row]
        parts += ["", *notes] if notes else []
    if options.out is not None:
        options.out.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
