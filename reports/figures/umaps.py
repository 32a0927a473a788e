"""UMAP coordinates of each method × dataset, for the median seed.

UMAP compiles for some 20 s in a fresh process, so one process computes all panels of a report:
``python -m bench.reports.figures.umaps`` reads all requests as JSON and writes one answer a line.
"""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from bench.settings import default_cache_dir

from ..tables.labels import MAIN_METRIC, label

logger = logging.getLogger(__name__)

N_NEIGHBORS = 15
MAX_CELLS = 3000
SEED = 0
_PANEL_SECONDS = 600.0
"""Time limit of the process for each panel."""
_UMAP_CELLS = 5
"""UMAP needs at least as many cells."""


@dataclass
class UmapPanel:
    """The job of one UMAP; ``missing`` holds the reason if it cannot be drawn."""

    method: str
    dataset: str
    seed: str
    score: float
    key: str
    source: str
    """Folder with the embedding and the clusters."""
    missing: str = ""
    labelled: bool = True
    """Whether the cells have types."""


def choose_panels(results: pd.DataFrame, metric: str = MAIN_METRIC) -> list[UmapPanel]:
    """Return the finished job with the median score for each method × dataset.

    Without labels, and so without this score, it is the first seed.
    """
    panels = []
    done = results[results["status"] == "done"]
    for (dataset, method), rows in done.groupby(["dataset", "method"], sort=False):
        row = median_row(rows, metric)
        score = float(row[metric]) if metric in rows else math.nan
        folder = str(row["artifacts"])
        panel = UmapPanel(
            str(method), str(dataset), f"{row['seed']:.0f}", score, str(row["score_key"]), folder,
            labelled=row.get("labels_digest") != "none",
        )  # fmt: skip
        names = ("embedding.parquet", "clusters.parquet")
        if not folder or not all((Path(folder) / name).is_file() for name in names):
            panel.missing = "its artifacts are not on this machine"
        panels.append(panel)
    return panels


def median_row(rows: pd.DataFrame, metric: str = MAIN_METRIC) -> Any:
    """Return the row with the median score; of an even number the lower of the middle two."""
    if metric not in rows or rows[metric].isna().all():
        return rows.iloc[0]
    ordered = rows.dropna(subset=[metric]).sort_values(metric, kind="stable")
    return ordered.iloc[(len(ordered) - 1) // 2]


def compute_umaps(panels: list[UmapPanel], folder: Path) -> dict[str, pd.DataFrame]:
    """Return coordinates (x, y, type, n_dims) by score key; ``folder`` keeps them.

    A panel that fails gets the reason in ``missing``; nothing is raised.
    """
    possible = [panel for panel in panels if not panel.missing]
    new = [panel for panel in possible if not (folder / f"{panel.key}.parquet").is_file()]
    if new:
        logger.info(f"UMAP: {len(new)} panels to compute, {len(possible) - len(new)} in the cache")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _run_process(new, folder)
        except Exception as error:  # a report without UMAPs is better than no report
            for panel in new:
                panel.missing = panel.missing or f"{type(error).__name__}: {error}"
    coordinates = {}
    for panel in possible:
        path = folder / f"{panel.key}.parquet"
        if not path.is_file():
            panel.missing = panel.missing or "no answer from the drawing process"
            continue
        try:
            coordinates[panel.key] = pd.read_parquet(path)
            panel.missing = ""
        except Exception as error:
            panel.missing = f"{path.name} cannot be read: {error}"
    return coordinates


def umap_caption(panels: Sequence[UmapPanel]) -> str:
    """Return the text above the panels."""
    median, first = f"the seed with the median {label(MAIN_METRIC)}", "the first seed"
    kinds = {panel.labelled for panel in panels}
    seed = median if kinds != {False} else first
    seed += f", of data without labels {first}" if len(kinds) > 1 else ""
    return (
        f"One panel a method and dataset: {seed}, with at most {MAX_CELLS:,} cells (a seeded "
        f"sample of larger data). Point at a cell for its {'type and ' if True in kinds else ''}"
        f"clusters. UMAP uses {N_NEIGHBORS} neighbours and seed {SEED}; embeddings of one or "
        "two dimensions are drawn as they are. Distances between groups in a UMAP have no "
        "meaning. Scores are computed on the embedding, not on the UMAP."
    )


def _run_process(panels: list[UmapPanel], folder: Path) -> None:
    """Compute the panels one after another in one process, which ends if it hangs."""
    requests = [
        {"source": panel.source, "target": str(folder / f"{panel.key}.parquet")}
        for panel in panels
    ]
    command = [sys.executable, "-m", "bench.reports.figures.umaps"]
    limit = _PANEL_SECONDS * len(panels)
    try:
        process = subprocess.run(
            command, input=json.dumps(requests), stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=_environment(), timeout=limit, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no UMAP within {limit:.0f} s") from None
    for panel, line in zip(panels, process.stdout.splitlines(), strict=False):
        panel.missing = json.loads(line)
    if process.returncode:
        raise RuntimeError(f"the drawing process ended with code {process.returncode}")


def _environment() -> dict[str, str]:
    """Return the environment of the process, with a cache of compiled code."""
    cache = os.environ.get("NUMBA_CACHE_DIR") or str(default_cache_dir() / "numba")
    with suppress(OSError):
        Path(cache).mkdir(parents=True, exist_ok=True)
    plain = {"PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "default", "MPLBACKEND": "agg"}
    return {**os.environ, **plain, "NUMBA_CACHE_DIR": cache, "PYTHONUNBUFFERED": "1"}


def write_umaps() -> None:
    """Write the UMAPs requested on standard input; prints for each its error, empty if none."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries must not print between the answers
    for request in json.load(sys.stdin):
        error = ""
        try:
            _write_umap(Path(request["source"]), Path(request["target"]))
        except ValueError as problem:
            error = str(problem)[:300]
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"[:300]
        print(json.dumps(error), file=answers, flush=True)


def _write_umap(source: Path, target: Path) -> None:
    """Write the coordinates, types and number of dimensions of a job's cells.

    Without labels the types are empty texts.
    """
    embedding = pd.read_parquet(source / "embedding.parquet")
    clusters = pd.read_parquet(source / "clusters.parquet")
    types = clusters.get("type", pd.Series("", index=clusters.index)).astype(str).to_numpy()
    if len(types) != len(embedding):
        raise ValueError(f"{len(embedding)} cells in the embedding, {len(types)} with a type")
    cells = sample_cells(len(embedding))
    points = embedding.to_numpy(dtype=np.float32)[cells]
    plane = plane_coordinates(points)
    table = pd.DataFrame({"x": plane[:, 0], "y": plane[:, 1], "type": types[cells]})
    table["n_dims"] = points.shape[1]
    hidden = target.with_name(f".{target.name}.{os.getpid()}")
    table.to_parquet(hidden)
    os.replace(hidden, target)


def sample_cells(n: int) -> np.ndarray:
    """Return the indices of the drawn cells: all, or a seeded sample."""
    cells = np.arange(n)
    if n <= MAX_CELLS:
        return cells
    return np.sort(np.random.default_rng(SEED).choice(cells, MAX_CELLS, replace=False))


def plane_coordinates(points: np.ndarray) -> np.ndarray:
    """Return cells × 2: the UMAP, or the embedding itself if it has one or two dimensions.

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
    """Return the UMAP of exact neighbours, without the compilation of an approximate search."""
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
    write_umaps()
