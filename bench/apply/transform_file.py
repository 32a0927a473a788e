"""New cells through the kept model of a finished fit: their embedding, prepared as the fit was."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.apply.estimator import errors_with_file
from bench.contract import Fit, cells_of
from bench.data.checks import check_batch, check_data, check_labels
from bench.data.file_dataset import FileDataset
from bench.errors import DataError, UsageError
from bench.execute.fitting import check_result
from bench.execute.output_folder import check_output_folder, replace_results
from bench.execute.threads import pin_threads
from bench.scoring.scorer import score
from bench.seeds import derive_seed
from bench.settings import Settings
from bench.store.saved_model import SavedModel

from .output_files import annotate, write_embedding, write_result

if TYPE_CHECKING:
    from anndata import AnnData

    from bench.scoring.scorer import Scores

logger = logging.getLogger(__name__)
NOTE = "transform.json"


@dataclass
class FileTransform:
    """What :func:`transform_file` made."""

    folder: Path
    scores: Scores
    seconds: float
    files: dict[str, str] = field(default_factory=dict)
    """File name → what it holds."""


def transform_file(
    model: SavedModel,
    path: Path,
    *,
    params: dict[str, Any],
    settings: Settings,
    out: Path | None = None,
    fill_missing: bool = False,
) -> FileTransform:
    """Embed the cells of a file by a model that is not fitted further.

    ``params`` say how to read the file, as in the brackets behind a path of ``bench run``. Labels
    are optional; they are scored, with k-means told their number. Everything is written into
    ``out`` (default ``<file>_in_<method>`` in the current folder), which must not hold other
    things. ``fill_missing`` takes features of the fit that the file lacks as zero.

    Raises ``UsageError``, ``DataError`` and ``MethodError``.
    """
    pin_threads(settings.threads)
    method: Any = model.method
    dataset = FileDataset.from_path(
        path, FileDataset.Params.build(params, owner=str(path)), labels_needed=False
    )
    folder = out or Path(f"{dataset.name}_in_{method.name}")
    check_output_folder(folder, NOTE)
    adata = dataset.load()
    card = dataset.card
    for note in dataset.notes:
        logger.info(note)
    if card.modality not in method.modalities:
        raise UsageError(f"{path}: holds {card.modality}, {model.name} was fitted on other data.")
    checked = check_data(
        adata, where=dataset.where, label_key="", batch_key=None, modality=card.modality
    )
    for line in checked.warnings:
        logger.info(line)
    started = time.perf_counter()
    prepared = model.preparation.apply(adata, where=str(path), fill_missing=fill_missing)
    with errors_with_file(method, path):
        embedding = np.asarray(method.transform(prepared))
        check_result(Fit(embedding), adata.n_obs, f"{method.name}.transform")
    seconds = time.perf_counter() - started
    cells = cells_of(adata)
    labels = _column(cells, dataset.where, card.label_key, check_labels)
    batch = _column(cells, dataset.where, card.batch_key, check_batch)
    k = None if labels is None else len(set(labels))
    scores = score(embedding, labels, own_labels={}, seed=derive_seed(0, "score"), batch=batch, k=k)
    done = FileTransform(folder, scores, seconds)
    annotate(prepared, method.name, embedding, scores, cells.obs, card.label_key)
    about = {
        "run": model.name, "method": method.name, "params": method.params.resolved(),
        "file": str(path), "cells": len(embedding), "seconds": seconds, "scores": scores.values,
    }  # fmt: skip
    with replace_results(folder, NOTE) as partial:
        done.files |= write_embedding(partial, embedding, scores.clusters, prepared.obs_names)
        done.files["clusters.csv"] += ", of these cells alone"
        done.files |= write_result(partial, prepared) | {NOTE: "fit, parameters, scores"}
        about["files"] = sorted(done.files)
        (partial / NOTE).write_text(json.dumps(about, indent=1, default=str) + "\n")
    return done


def _column(
    cells: AnnData, where: str, key: str | None, check: Callable[[AnnData, str, str], Any]
) -> np.ndarray | None:
    """Return a column to score by; one that cannot serve is said, since cells do not need it."""
    if not key:
        return None
    try:
        check(cells, where, key)
    except DataError as error:
        logger.info(f"no scores by '{key}': {error}")
        return None
    values: np.ndarray = cells.obs[key].astype(str).to_numpy()
    return values
