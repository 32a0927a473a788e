"""What runs inside a limited process: preparation, fit and score of one job."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.contract import Context, Knowledge, keep_known_genes, select_cells
from bench.contract.recipe import MULTIOME, recipe_from_dict
from bench.data.cache.cached_dataset import CellLabels
from bench.data.cache.data_cache import DataCache
from bench.digests import source_digest
from bench.errors import Pruned, UsageError
from bench.registry import import_method
from bench.scoring import unseen_cells as paired
from bench.scoring.holdout import view
from bench.scoring.metrics import RareTask, metrics, stamp
from bench.scoring.unseen_cells import answers
from bench.seeds import derive_seed

from .artifacts import _write_features, _write_fit
from .curves import Curves
from .fitting import check_result

if TYPE_CHECKING:
    from bench.contract import Fit

    from .channel import Line
    from .curves import Listener

_NEWS_SECONDS = 0.1


def prepare(payload: dict[str, Any], line: Line) -> dict[str, Any]:
    """Carry out a recipe on a stored dataset."""
    DataCache(Path(payload["cache"])).prepare(
        Path(payload["dataset_folder"]), recipe_from_dict(payload["recipe"]), payload["prepared_key"]
    )
    return {}


def fit(payload: dict[str, Any], line: Line) -> dict[str, Any]:
    """Fit a method without labels and write its artifacts into ``payload["folder"]``."""
    job, folder = payload["job"], Path(payload["folder"])
    cls = import_method(job["origin"], job["method_name"])
    method = cls(cls.Params.build(job["params"], owner=job["method_name"]))
    data, cells = DataCache(Path(payload["cache"])).open_prepared(job["prepared_key"])
    known = {
        name: np.load(path, allow_pickle=False)[cells]
        for name, path in payload["knowledge"].items()
    }
    said, missing = _said(job, data)
    curves = Curves(_listener(line, judged=bool(job["study"].get("judged"))))
    seen, some = data, payload.get("train")
    if some:
        train = np.load(some, allow_pickle=False)[cells]
        seen = select_cells(data, train)
        known = {name: values[train] for name, values in known.items()}
    scratch = folder / "scratch"
    scratch.mkdir()
    context = Context(
        seed=derive_seed(job["seed"], "fit"),
        n_clusters=job["n_clusters"],
        device=job["device"],
        threads=job["threads"],
        knowledge=Knowledge(**known, **said),
        report=curves,
        log=lambda text: print(text, flush=True),
        scratch=scratch,
    )
    wall, cpu = time.perf_counter(), _cpu_seconds()
    result = method.fit(seen, context)
    seconds, cpu_seconds = time.perf_counter() - wall, _cpu_seconds() - cpu
    # Methods are imported when a job starts: an edit since the plan would be stored under a key
    # that stands for the code before it.
    if source_digest(job["origin"]) != job["facts"]["source"]:
        raise UsageError(
            f"the source of {method.name} was edited during the run; run the same command again"
        )
    check_result(result, seen.n_obs, method.name)
    if some:
        result = _of_all_cells(result, method, seen, data)
        check_result(result, data.n_obs, method.name)
        _ask_paired(job, method, data, cells, some, folder / "artifacts")
    if missing:
        result.notes["markers"] = missing
    _write_fit(result, method, data, folder / "artifacts")
    _write_features(data, Path(job["dataset_folder"]), folder / "artifacts")
    np.save(folder / "artifacts" / "cells.npy", cells)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "n_parameters": None if result.n_parameters is None else int(result.n_parameters),
        "notes": {str(name): str(text) for name, text in result.notes.items()},
        "curves": {
            name: [curves.steps[name], values] for name, values in curves.values.items()
        },
    }  # fmt: skip


def score(payload: dict[str, Any], line: Line) -> dict[str, Any]:
    """Score a fit's artifacts against the labels; adds ``clusters.parquet``."""
    from bench.scoring.scorer import score as compute

    job, folder = payload["job"], Path(payload["folder"])
    chosen = metrics(tuple(payload.get("plugins", ())))
    if job["metrics"] is not None:
        chosen = {name: chosen[name] for name in job["metrics"]}
    artifacts = folder / "artifacts"
    embedding = pd.read_parquet(artifacts / "embedding.parquet")
    cells = np.load(artifacts / "cells.npy")
    truth = CellLabels(Path(job["dataset_folder"]))
    seen = view(job, truth.types, cells, Path(payload["cache"]))
    batch = None if truth.batch is None else np.asarray(truth.batch)[cells]
    own_file = artifacts / "labels.parquet"
    own = pd.read_parquet(own_file) if own_file.is_file() else pd.DataFrame(index=embedding.index)
    scores = compute(
        embedding.to_numpy(dtype=np.float64),
        seen.types,
        own_labels={str(name): own[name].to_numpy() for name in own.columns},
        seed=derive_seed(job["seed"], "score"),
        batch=batch,
        only=seen.only,
        k=seen.k,
        rare=_rare_task(job, seen.types, truth, cells),
        paired=answers(job, artifacts, embedding.index, seen.types),
        chosen=chosen,
    )
    table = pd.DataFrame(index=embedding.index)
    if seen.types is not None:
        table["type"] = seen.types
    if batch is not None:
        table["batch"] = batch
    for name, labels in scores.clusters.items():
        table[name] = labels
    table.to_parquet(artifacts / "clusters.parquet")
    return {
        "metrics": scores.values,
        "missing": scores.missing,
        "facts": scores.facts,
        "stamps": {name: stamp(metric) for name, metric in chosen.items()},
        "coverage": len(cells) / len(truth.types),
    }


FUNCTIONS: dict[str, Callable[[dict[str, Any], Line], dict[str, Any]]] = {
    "prepare": prepare,
    "fit": fit,
    "score": score,
}


def _of_all_cells(result: Fit, method: Any, seen: Any, data: Any) -> Fit:
    """Return the result of a fit on some cells with the embedding of all, by ``transform``.

    What the method says of its training cells alone is left out: clusterings, tables of cells.
    """
    tables = {
        name: table for name, table in result.tables.items()
        if not table.index.equals(seen.obs_names)
    }  # fmt: skip
    return replace(
        result, embedding=method.transform(data), labels={}, tables=tables,
        notes=result.notes | {"fitted on": f"{seen.n_obs} of {data.n_obs} cells"},
    )  # fmt: skip


def _said(job: dict[str, Any], data: Any) -> tuple[dict[str, Any], str]:
    """Return the knowledge that is not one value a cell, and which marker genes are missing."""
    said: dict[str, Any] = {}
    missing = ""
    if job["markers"] is not None:
        lists = {name: tuple(genes) for name, genes in job["markers"].items()}
        said["markers"], missing = keep_known_genes(lists, data.var_names, job["dataset"])
    if "proteins" in job["uses"]:
        names = np.load(Path(job["dataset_folder"]) / "protein_names.npy", allow_pickle=False)
        said["protein_names"] = tuple(names.tolist())
    return said, missing


def _rare_task(job: dict[str, Any], types: Any, truth: CellLabels, cells: Any) -> RareTask | None:
    """Return where the rare type is and which cells the fit has not seen, if the dataset asks."""
    facts = job["facts"]
    if types is None or not facts.get("rare_type"):
        return None
    rare = np.asarray(types) == facts["rare_type"]
    if truth.train is None:
        return RareTask(rare, no_held_out="no cells are held out (train=0.7)")
    if not facts["fitted_on"]:
        reason = f"{job['method_name']} has no transform and was fitted on all cells"
        return RareTask(rare, no_held_out=reason)
    return RareTask(rare, np.asarray(truth.train)[cells])


def _ask_paired(
    job: dict[str, Any], method: Any, data: Any, cells: np.ndarray, train: str, folder: Path
) -> None:
    """Ask a method that was fitted on some cells of paired data about the others."""
    facts = job["facts"]
    if facts["modality"] == MULTIOME:
        seen = np.load(train, allow_pickle=False)
        questions = paired.Questions(data, cells, seen, facts["counts_digest"])
        paired.ask(method, questions, folder / paired.FOLDER)


def _listener(line: Line, *, judged: bool) -> Listener:
    """Return what passes reports on to the driver: all if it judges them, else some a second.

    Raises ``Pruned`` at the first report after the driver has asked to stop.
    """
    last = 0.0

    def listener(step: int, total: int | None, values: dict[str, float]) -> None:
        nonlocal last
        now = time.monotonic()
        if judged or now - last >= _NEWS_SECONDS:
            last = now
            line.send("progress", {"step": step, "total": total, "values": values})
        reason = line.stop() if judged else ""
        if reason:
            raise Pruned(reason)

    return listener


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
