"""The functions of limited processes: read a file; prepare, fit and score a job."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.contract import MULTIOME, select_cells
from bench.contract.recipe import recipe_from_dict
from bench.data.cache.data_cache import DataCache
from bench.data.cache.dataset_files import CellLabels
from bench.data.cache.prepared_files import open_prepared_folder
from bench.digests import source_digest
from bench.errors import BenchError, Pruned, UsageError
from bench.messages import named_options, printable_line
from bench.registry import import_method
from bench.scoring import scorer
from bench.scoring.holdout import visible_labels
from bench.scoring.metrics import (
    CountsTask,
    IntegrationTask,
    Metric,
    RareTask,
    metric_stamp,
    metrics,
)
from bench.scoring.predicted_inputs import predict_held_out, read_predicted_inputs
from bench.scoring.unintegrated import NOT_PAIRED, unintegrated_components
from bench.scoring.unseen_cells import UnseenCells, predict_unseen_cells, read_paired_tasks
from bench.seeds import derive_seed

from .artifacts import RAW, restore_cells, write_fit
from .container_requests import ask_for_container
from .curves import Curves, held_out_loss
from .fitting import FitConditions, OptionalInputs, check_result, fit_method
from .side_costs import side_costs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.contract import Fit, PairedTasks, PredictedInputs
    from bench.plan.job import Job
    from bench.scoring.holdout import VisibleLabels

    from .channel import DriverPipe, ReadingTask, Task
    from .curves import ProgressListener

_MESSAGE_SECONDS = 0.1


class _LineCollector(logging.Handler):
    """Collects log messages as (level, message)."""

    def __init__(self, lines: list[tuple[int, str]]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((record.levelno, record.getMessage()))


def read_dataset(task: ReadingTask, pipe: DriverPipe) -> dict[str, Any]:
    """Read a dataset into the cache; returns its folder or the error, and the log messages."""
    os.chdir(task.folder)
    lines: list[tuple[int, str]] = []
    logger = logging.getLogger("bench")
    logger.addHandler(_LineCollector(lines))
    logger.setLevel(logging.INFO)
    try:
        with named_options(task.verb_options):
            folder = DataCache(task.cache).store_dataset(task.dataset)
        return {"folder": folder.name, "log": lines}
    except BenchError as error:
        return {
            "error": type(error).__name__, "text": str(error), "code": error.code, "log": lines
        }  # fmt: skip


def prepare(task: Task, pipe: DriverPipe) -> dict[str, Any]:
    """Apply a recipe to a cached dataset."""
    job = task.job
    recipe = recipe_from_dict(job.recipe)
    DataCache(task.cache).prepare(Path(job.dataset_folder), recipe, job.prepared_key)
    return {}


def prepared_folder(task: Task) -> Path:
    """Return the folder of the job's prepared data."""
    return task.cache / "prepared" / task.job.prepared_key


def fit(task: Task, pipe: DriverPipe) -> dict[str, Any]:
    """Fit a method without labels and write its artifacts."""
    job = task.job
    cls = import_method(job.origin, job.method_name)
    method = cls(cls.Params.build(job.params, owner=job.method_name))
    data, cells = open_prepared_folder(prepared_folder(task))
    training_data, inputs = data, _declared_inputs(task, cells)
    train = _training_mask(job)
    if train is not None:
        training_data = select_cells(data, train[cells])
        inputs = inputs.select_cells(train[cells])
    conditions = FitConditions(
        seed=derive_seed(job.seed, "fit"), device=job.device, threads=job.threads,
        log=partial(print, flush=True), scratch_parent=task.artifacts.parent,
        run_container=partial(ask_for_container, pipe=pipe),
    )  # fmt: skip
    curves = Curves(_progress_sender(pipe, may_stop=bool(job.study.get("prunable"))))
    with side_costs(job.device) as costs:
        pipe.send("fit begins", None)
        result = fit_method(method, training_data, inputs, curves, conditions)
        pipe.send("fit ended", None)
    # Methods are imported when a job starts: an edit since the plan would be stored under a key
    # that stands for the code before it.
    if source_digest(job.origin, cls.files) != job.facts["source"]:
        raise UsageError(
            f"the source of {method.name} was edited during the run; run the same command again",
            code="source_edited",
        )
    if train is not None:
        result = _embed_all_cells(result, method, training_data, data)
        result = check_result(result, data.obs_names, method.name)
        if job.predicts_inputs:
            predict_held_out(method, data, train[cells], task.artifacts / RAW)
        if job.facts["modality"] == MULTIOME:
            unseen = UnseenCells(data, cells, train, job.facts["counts_digest"])
            predict_unseen_cells(method, unseen, task.artifacts / RAW)
    write_fit(result, method, data, cells, task.artifacts / RAW)
    return {
        "n_parameters": None if result.n_parameters is None else int(result.n_parameters),
        "notes": {
            str(name): printable_line(str(text)) for name, text in (result.notes | costs).items()
        },
        "curves": curves.thinned(),
        "held_out_loss": held_out_loss(curves.values),
    }


def score(task: Task, pipe: DriverPipe) -> dict[str, Any]:
    """Score the artifacts of a fit against the labels; writes ``clusters.parquet``."""
    job, fitted = task.job, task.fit_artifacts
    chosen = metrics(task.plugins)
    if job.facts["labels_digest"]:
        chosen = {name: one for name, one in chosen.items() if one.kind != "counts"}
    if job.metrics is not None:
        chosen = {name: chosen[name] for name in job.metrics}
    elif not job.predicts_inputs:
        chosen = {name: one for name, one in chosen.items() if one.kind != "predicted"}
    restore_cells(fitted, Path(job.dataset_folder), prepared_folder(task))
    # The order of the file may tell the types, by ties among neighbours for example.
    cells = np.load(fitted / "cells.npy")
    order = np.argsort(cells)
    cells = cells[order]
    embedding = pd.read_parquet(fitted / "embedding.parquet").iloc[order]
    labels = CellLabels(Path(job.dataset_folder))
    seen = visible_labels(job.as_dict(), labels.types, cells, task.cache)
    batch = None if labels.batch is None else np.asarray(labels.batch)[cells]
    own_file = fitted / "labels.parquet"
    own = pd.DataFrame(index=embedding.index)
    if own_file.is_file():
        own = pd.read_parquet(own_file).iloc[order]
    scores = scorer.score(
        embedding.to_numpy(dtype=np.float64),
        seen,
        own_labels={str(name): own[name].to_numpy() for name in own.columns},
        seed=derive_seed(job.seed, "score"),
        batch=_batches(task, batch, cells, chosen),
        task=_special_task(task, seen.types, labels, cells),
        unseen=_unseen_predictions(job, fitted, embedding.index, cells, seen),
        chosen=chosen,
    )
    columns = {"type": seen.types, "batch": batch} | scores.clusters
    table = {name: values for name, values in columns.items() if values is not None}
    clusters = pd.DataFrame(table, index=embedding.index).iloc[np.argsort(order)]
    clusters.to_parquet(task.artifacts / "clusters.parquet")
    return {
        "metrics": scores.values,
        "missing": scores.missing,
        "facts": scores.facts,
        "stamps": {name: metric_stamp(metric) for name, metric in chosen.items()},
        "coverage": len(cells) / job.facts["n_cells"],
    }


def _unseen_predictions(
    job: Job, fitted: Path, names: pd.Index, cells: np.ndarray, seen: VisibleLabels
) -> dict[str, PairedTasks | PredictedInputs]:
    """Return the predictions of the fit for unseen cells, by kind of metric."""
    paired = read_paired_tasks(job.as_dict(), fitted, names, seen.types)
    found: dict[str, PairedTasks | PredictedInputs] = {} if paired is None else {"paired": paired}
    if not job.predicts_inputs:
        return found
    proteins = None
    if "proteins" in job.uses:
        folder = Path(job.dataset_folder)
        counts = np.load(folder / "proteins.npy", allow_pickle=False)[cells]
        proteins = counts, np.load(folder / "protein_names.npy", allow_pickle=False).tolist()
    return found | {"predicted": read_predicted_inputs(fitted, names, seen, proteins)}


def _declared_inputs(task: Task, cells: np.ndarray) -> OptionalInputs:
    """Read the optional inputs that the method declares; no other files are opened.

    They do not contain labels and proteins of held-out cells (``declared_inputs.hide_held_out``).
    """
    job, folder = task.job, Path(task.job.dataset_folder)
    scratch = None if task.wall is None else task.wall.scratch

    def read(use: str, file: str) -> np.ndarray | None:
        if use not in job.uses:
            return None
        own = folder / file if scratch is None else scratch / "inputs" / file
        values = np.load(own if own.is_file() else folder / file, allow_pickle=False)
        return np.asarray(values)[cells]

    names = None
    if "proteins" in job.uses:
        names = tuple(np.load(folder / "protein_names.npy", allow_pickle=False).tolist())
    markers = None
    if job.markers is not None:
        markers = {name: tuple(genes) for name, genes in job.markers.items()}
    return OptionalInputs(
        n_clusters=job.n_clusters,
        batch=read("batch", "batch.npy"),
        labels=read("labels", "types.npy"),
        markers=markers,
        proteins=read("proteins", "proteins.npy"),
        protein_names=names,
    )


def _training_mask(job: Job) -> np.ndarray | None:
    """Return the mask of the dataset's training cells; ``None`` if the fit is on all cells."""
    if not job.facts.get("fitted_on"):
        return None
    mask: np.ndarray = np.load(Path(job.dataset_folder) / "train.npy", allow_pickle=False)
    return mask


def _embed_all_cells(result: Fit, method: Any, training_data: Any, data: Any) -> Fit:
    """Return the result of a fit on training cells, with the embedding of all cells.

    Clusterings and tables of the training cells are left out.
    """
    tables = {
        name: table for name, table in result.tables.items()
        if not table.index.equals(training_data.obs_names)
    }  # fmt: skip
    note = {"fitted on": f"{training_data.n_obs} of {data.n_obs} cells"}
    return replace(
        result, embedding=method.transform(data), labels={}, tables=tables,
        notes=result.notes | note,
    )  # fmt: skip


def _special_task(
    task: Task, types: Any, labels: CellLabels, cells: np.ndarray
) -> RareTask | CountsTask | None:
    """Return the task of a rare type, or the counts of data without labels; else ``None``."""
    job = task.job
    if not job.facts["labels_digest"]:
        components = unintegrated_components(task.cache, Path(job.dataset_folder))
        if components is None:
            return CountsTask(no_components=NOT_PAIRED)
        return CountsTask(components[cells])
    if types is None or not job.facts.get("rare_type"):
        return None
    rare = np.asarray(types) == job.facts["rare_type"]
    if labels.train is None:
        return RareTask(rare, no_held_out="no cells are held out (train=0.7)")
    if not job.facts["fitted_on"]:
        reason = f"{job.method_name} has no transform and was fitted on all cells"
        return RareTask(rare, no_held_out=reason)
    return RareTask(rare, np.asarray(labels.train)[cells])


def _batches(
    task: Task, batch: np.ndarray | None, cells: np.ndarray, chosen: Mapping[str, Metric]
) -> np.ndarray | IntegrationTask | None:
    """Return the batches, with the data before the fit if a metric needs them."""
    if batch is None or all(metric.kind != "integration" for metric in chosen.values()):
        return batch
    components = unintegrated_components(task.cache, Path(task.job.dataset_folder))
    if components is None:
        return IntegrationTask(batch, no_unintegrated=NOT_PAIRED)
    return IntegrationTask(batch, components[cells])


def _progress_sender(pipe: DriverPipe, *, may_stop: bool) -> ProgressListener:
    """Return a listener that sends at most ten reports a second to the driver.

    With ``may_stop`` it sends every report, and raises ``Pruned`` at the first report after the
    driver's request to stop.
    """
    last = 0.0

    def listener(step: int, total: int | None, values: dict[str, float]) -> None:
        nonlocal last
        now = time.monotonic()
        if may_stop or now - last >= _MESSAGE_SECONDS:
            last = now
            pipe.send("progress", {"step": step, "total": total, "values": values})
        reason = pipe.stop_reason() if may_stop else ""
        if reason:
            raise Pruned(reason)

    return listener
