"""Embed new cells in a file by the saved model of a finished fit."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.contract import Fit, cells_of
from bench.data.checks import check_batch, check_labels
from bench.data.file_names import display_name
from bench.data.user_file import read_user_file
from bench.data.values import text_column
from bench.errors import DataError, UsageError
from bench.execute.fitting import check_result
from bench.execute.output_folder import check_output_folder, replace_results
from bench.execute.threads import pin_threads
from bench.scoring.holdout import VisibleLabels
from bench.scoring.scorer import score
from bench.seeds import derive_seed

from .heads import HeadOptions
from .method_errors import errors_with_file
from .neighbour_votes import vote
from .output_files import write_latent, write_result
from .result_data import result_data
from .result_keys import choose_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from bench.data.file_dataset import FileDataset
    from bench.scoring.scorer import Scores
    from bench.settings import Settings
    from bench.store.saved_model import SavedModel

logger = logging.getLogger(__name__)
_NOTE = "transform.json"


@dataclass
class FileTransform:
    """The files and scores of new cells."""

    folder: Path
    files: dict[str, str]
    """File name → its content in words."""
    scores: Scores
    seconds: float


def transform_file(
    model: SavedModel,
    path: Path,
    *,
    params: dict[str, Any],
    settings: Settings,
    out: Path | None = None,
    fill_missing: bool = False,
    key_added: str | None = None,
    heads: HeadOptions | None = None,
) -> FileTransform:
    """Embed the cells of a file by a saved model and write all results into a folder.

    ``params`` are options of reading the file, as in the brackets after a path in ``bench run``.
    The cells get the clusters and types of the fit (:func:`.neighbour_votes.vote`). Labels of the
    file are optional; clusterings of the new cells, and the votes, are scored against them. The
    folder ``out`` (default ``<file>_in_<method>`` in the current folder) must not hold other
    files. With ``fill_missing``, missing features of the fit count as zero. ``key_added`` is the
    key of ``obsm`` in the result, ``heads`` selects further predictions of the method. Raises
    ``UsageError``, ``DataError`` and ``MethodError``.
    """
    heads = heads or HeadOptions()
    heads.check(model.method)
    pin_threads(settings.threads)
    method: Any = model.method
    folder = out or Path(f"{display_name(path)}_in_{method.name}")
    check_output_folder(folder, _NOTE)
    dataset, data = read_user_file(path, params, check_columns=False)
    started = time.perf_counter()
    prepared, embedding = _embed(model, dataset, data, path, fill_missing=fill_missing)
    seconds = time.perf_counter() - started
    votes = pd.DataFrame(index=prepared.obs_names)
    if not model.kept_state:  # the embedding of the fit is that of its last state
        votes = vote(model.fitted_cells(), embedding, prepared.obs_names)
    scores = _score(embedding, votes, cells_of(data), dataset)
    result, key = _annotated_data(data, prepared, embedding, votes, method.name, key_added)
    content = {
        "run": model.name, "method": method.name, "params": model.params,
        "file": str(path), "cells": len(embedding), "seconds": seconds, "obsm": key,
        "scores": scores.values,
    }  # fmt: skip
    with replace_results(folder, _NOTE) as partial:
        files = write_latent(partial, embedding, prepared.obs_names)
        votes.to_csv(partial / "clusters.csv", index_label="cell", float_format="%.4g")
        files["clusters.csv"] = "clusters and types of the fit, with the share of votes"
        files |= heads.write(partial, method, prepared)
        files |= write_result(partial, result) | {_NOTE: "fit, parameters, scores"}
        content["files"] = sorted(files)
        (partial / _NOTE).write_text(json.dumps(content, indent=1, default=str) + "\n")
    return FileTransform(folder, files, scores, seconds)


def _embed(
    model: SavedModel, dataset: Any, data: Any, path: Path, *, fill_missing: bool
) -> tuple[Any, np.ndarray]:
    """Return the prepared cells and their embedding; checks the modality."""
    method: Any = model.method
    if dataset.card.modality not in method.modalities:
        raise UsageError(
            f"{path}: holds {dataset.card.modality}, {model.name} was fitted on another modality.",
            code="wrong_modality",
        )
    prepared = model.preparation.apply(data, where=str(path), fill_missing=fill_missing)
    with errors_with_file(method, path):
        fit = Fit(method.transform(prepared))
        result = check_result(fit, prepared.obs_names, f"{method.name}.transform")
    return prepared, result.embedding


def _annotated_data(
    data: Any, prepared: Any, embedding: np.ndarray, votes: pd.DataFrame, method: str,
    key_added: str | None,
) -> tuple[Any, str]:  # fmt: skip
    """Return the data with the embedding and the votes, and the embedding's key in ``obsm``."""
    result = result_data(data, prepared)
    keys = choose_keys(result, method, votes.columns, key_added)
    result.obsm[keys.embedding] = np.asarray(embedding, dtype=np.float32)
    for name, column in votes.items():
        result.obs[keys.column(str(name))] = column
    return result, keys.embedding


def _score(
    embedding: np.ndarray, votes: pd.DataFrame, cells: AnnData, dataset: FileDataset
) -> Scores:
    """Return scores against the columns of types and batches that pass their checks.

    ``fit_type`` and the other ``fit_`` scores are of the votes, ``kmeans`` and ``leiden`` of
    clusterings of the new cells.
    """
    labels = {f"fit_{name}": votes[name].to_numpy() for name in votes if f"{name}_share" in votes}
    card = dataset.card
    texts = text_column(cells.obs[card.label_key]) if card.label_key else None
    labelled = None if texts is None else texts != ""
    known = cells if labelled is None else cells[labelled]
    if _valid_column(known, dataset.where, card.label_key, check_labels) is None:
        texts = labelled = None
    elif labelled is not None and labelled.all():
        labelled = None
    elif labelled is not None:
        logger.info(f"{(~labelled).sum()} of {cells.n_obs} cells have no label; not scored")
    batch = _valid_column(cells, dataset.where, card.batch_key, check_batch)
    return score(
        embedding, VisibleLabels(texts, labelled), own_labels=labels,
        seed=derive_seed(0, "score"), batch=batch,
    )  # fmt: skip


def _valid_column(
    cells: AnnData, where: str, key: str | None, check: Callable[[AnnData, str, str], Any]
) -> np.ndarray | None:
    """Return a column for scores; ``None`` if it is missing or does not pass its check."""
    if not key:
        return None
    try:
        check(cells, where, key)
    except DataError as error:
        logger.warning(f"no scores by '{key}': {error}")
        return None
    values: np.ndarray = cells.obs[key].astype(str).to_numpy()
    return values
