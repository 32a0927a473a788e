"""UMAP of each method × dataset, for the median seed, drawn once and kept.

UMAP compiles for some 20 s in a fresh process, so one process computes all panels of a report:
``python -m bench.reports.figures.umaps`` reads a JSON object a line and answers alike.
"""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from bench.settings import default_cache_dir

from ..tables.labels import MAIN, label

logger = logging.getLogger(__name__)

N_NEIGHBORS = 15
MAX_CELLS = 3000
SEED = 0
_PANEL_SECONDS = 600.0
_UMAP_CELLS = 5
"""With fewer cells there are no neighbourhoods to draw."""


@dataclass
class Panel:
    """One picture to draw: where from, where to, and why not."""

    method: str
    dataset: str
    seed: str
    score: float
    key: str
    source: str
    missing: str = ""


def choose(results: pd.DataFrame, metric: str = MAIN) -> list[Panel]:
    """Return one panel a method × dataset that has finished: the job with the median score."""
    panels = []
    done = results[results["status"] == "done"]
    for (dataset, method), rows in done.groupby(["dataset", "method"], sort=False):
        row = median_row(rows, metric)
        score = float(row[metric]) if metric in rows else math.nan
        folder = str(row["artifacts"])
        panel = Panel(
            str(method), str(dataset), f"{row['seed']:.0f}", score, str(row["score_key"]), folder
        )
        names = ("embedding.parquet", "clusters.parquet")
        if not folder or not all((Path(folder) / name).is_file() for name in names):
            panel.missing = "its artifacts are not on this machine"
        panels.append(panel)
    return panels


def median_row(rows: pd.DataFrame, metric: str = MAIN) -> Any:
    """Return the row with the median score (of an even number the lower middle one)."""
    if metric not in rows or rows[metric].isna().all():
        return rows.iloc[0]
    ordered = rows.dropna(subset=[metric]).sort_values(metric, kind="stable")
    return ordered.iloc[(len(ordered) - 1) // 2]


def draw(panels: list[Panel], folder: Path) -> dict[str, pd.DataFrame]:
    """Return coordinates (x, y, type) by score key; each is computed once and kept in ``folder``.

    A panel that cannot be drawn gets the reason in ``missing``; nothing is raised for it.
    """
    wanted = [panel for panel in panels if not panel.missing]
    todo = [panel for panel in wanted if not (folder / f"{panel.key}.parquet").is_file()]
    if todo:
        logger.info(f"UMAP: {len(todo)} panels to compute, {len(wanted) - len(todo)} kept")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _compute(todo, folder)
        except Exception as error:  # a report without pictures is better than no report
            for panel in todo:
                panel.missing = panel.missing or f"{type(error).__name__}: {error}"
    found = {}
    for panel in wanted:
        path = folder / f"{panel.key}.parquet"
        if path.is_file():
            try:
                found[panel.key] = pd.read_parquet(path)
                panel.missing = ""
            except Exception as error:
                panel.missing = f"{path.name} cannot be read: {error}"
        else:
            panel.missing = panel.missing or "no answer from the drawing process"
    return found


def caption() -> str:
    """Return what stands under the panels."""
    return (
        f"One panel a method and dataset: the seed with the median {label(MAIN)}, at most "
        f"{MAX_CELLS:,} cells (a seeded sample of larger data). Point at a cell for what it is. "
        f"UMAP with {N_NEIGHBORS} neighbours, seed {SEED}; embeddings of one or two dimensions "
        "are shown as they are. Distances between groups in a UMAP have no meaning; scores are "
        "computed on the embedding, not on this picture."
    )


def _compute(todo: list[Panel], folder: Path) -> None:
    """Have the drawing process answer one panel after the other; end it if it hangs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.reports.figures.umaps"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=_environment(),
    )  # fmt: skip
    answers: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(process, answers), daemon=True).start()
    try:
        for panel in todo:
            _ask(process, panel, folder, answers)
    finally:
        process.kill()
        process.wait()


def _ask(
    process: subprocess.Popen[str], panel: Panel, folder: Path, answers: queue.Queue[str]
) -> None:
    """Send one panel and wait for its answer; raises ``RuntimeError`` if the process is gone."""
    assert process.stdin is not None
    question = {"source": panel.source, "target": str(folder / f"{panel.key}.parquet")}
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
    try:
        line = answers.get(timeout=_PANEL_SECONDS)
    except queue.Empty:
        raise RuntimeError(f"no UMAP within {_PANEL_SECONDS:.0f} s") from None
    if not line:
        raise RuntimeError(f"the drawing process ended with code {process.wait()}")
    panel.missing = json.loads(line)["error"]


def _listen(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put("")


def _environment() -> dict[str, str]:
    """Return the environment of the drawing process: compiled code is kept between reports."""
    kept = os.environ.get("NUMBA_CACHE_DIR") or str(default_cache_dir() / "numba")
    with suppress(OSError):
        Path(kept).mkdir(parents=True, exist_ok=True)
    return {**os.environ, "NUMBA_CACHE_DIR": kept, "PYTHONUNBUFFERED": "1"}


def serve() -> None:
    """Answer panels on standard input until it closes, which also happens if the parent dies."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print must not get between the answers
    for line in sys.stdin:
        question = json.loads(line)
        error = ""
        try:
            _make(Path(question["source"]), Path(question["target"]))
        except ValueError as problem:
            error = str(problem)[:300]
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"[:300]
        print(json.dumps({"error": error}), file=answers, flush=True)


def _make(source: Path, target: Path) -> None:
    embedding = pd.read_parquet(source / "embedding.parquet")
    types = pd.read_parquet(source / "clusters.parquet")["type"].astype(str).to_numpy()
    if len(types) != len(embedding):
        raise ValueError(f"{len(embedding)} cells in the embedding, {len(types)} with a type")
    cells = shown_cells(len(embedding))
    points = embedding.to_numpy(dtype=np.float32)[cells]
    plane = points_in_plane(points)
    table = pd.DataFrame({"x": plane[:, 0], "y": plane[:, 1], "type": types[cells]})
    # The number of dimensions decides whether a reader looks at a UMAP or at the embedding.
    table["n_dims"] = points.shape[1]
    hidden = target.with_name(f".{target.name}.{os.getpid()}")
    table.to_parquet(hidden)
    os.replace(hidden, target)


def shown_cells(n: int) -> np.ndarray:
    """Return the numbers of the cells that are drawn, a seeded sample of many."""
    cells = np.arange(n)
    if n <= MAX_CELLS:
        return cells
    return np.sort(np.random.default_rng(SEED).choice(cells, MAX_CELLS, replace=False))


def points_in_plane(points: np.ndarray) -> np.ndarray:
    """Return cells × 2: the embedding itself if it has one or two dimensions, else its UMAP.

    Raises ``ValueError`` if all cells are at one point, as after a posterior collapse.
    """
    if (points == points[0]).all():
        raise ValueError("all cells are at one point of the embedding")

    if points.shape[1] == 1:
        spread = np.random.default_rng(SEED).uniform(-1, 1, len(points))
        return np.column_stack([points[:, 0], spread])
    if points.shape[1] == 2 or len(points) < _UMAP_CELLS:
        return points[:, :2]
    return _umap(points)


def _umap(points: np.ndarray) -> np.ndarray:
    """Return the UMAP from exact neighbours, which spares compiling the approximate search."""
    n_neighbors = min(N_NEIGHBORS, len(points) - 1)
    search = NearestNeighbors(n_neighbors=n_neighbors).fit(points)
    distances, indices = search.kneighbors(points)
    warnings.simplefilter("ignore")  # of umap: that new points cannot be added later
    import umap

    plane = umap.UMAP(
        n_neighbors=n_neighbors, init="pca", random_state=SEED, n_jobs=1,
        precomputed_knn=(indices, distances.astype(np.float32)),
    ).fit_transform(points)  # fmt: skip
    if not np.isfinite(plane).all():
        raise ValueError("UMAP gave positions that are not finite")
    return np.asarray(plane)


if __name__ == "__main__":
    serve()
