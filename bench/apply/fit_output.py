"""Write the results of a fit on one file."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

from bench.contract import cells_of
from bench.execute.output_folder import replace_results
from bench.settings import default_cache_dir
from bench.store.saved_model import MODEL_FOLDER

from .heads import write_heads
from .output_files import (
    write_clusters,
    write_confusion_files,
    write_imputed,
    write_latent,
    write_markers,
    write_result,
    write_selected,
    write_tables,
    write_umap_files,
)
from .result_data import add_cells, add_tables, imputed_data, result_data
from .result_keys import ResultKeys, choose_keys

if TYPE_CHECKING:
    from pathlib import Path

    from bench.scoring.scorer import Scores

    from .estimator import Estimator
    from .fit_inputs import FileInputs, FitOptions

logger = logging.getLogger(__name__)
FIT_NOTE = "fit.json"
"""File of the parameters, the seed and the scores."""


def write_fit(
    folder: Path,
    facts: dict[str, Any],
    estimator: Estimator,
    scores: Scores,
    inputs: FileInputs,
    options: FitOptions,
) -> dict[str, str]:
    """Write all files into the folder, replacing earlier results; returns file name → content."""
    method, prepared, clusters = estimator.method, estimator.prepared_, scores.clusters
    result = result_data(inputs.data, prepared)
    keys = choose_keys(result, method.name, clusters, options.key_added)
    if keys.embedding != f"X_{method.name}":
        logger.info(f"the embedding is in obsm['{keys.embedding}'] of the result")
    add_cells(result, keys, estimator.embedding_, clusters)
    add_tables(result, estimator.fit_, prepared, keys)
    with replace_results(folder, FIT_NOTE) as partial:
        files = write_latent(partial, estimator.embedding_, prepared.obs_names)
        files |= write_clusters(partial, clusters, prepared.obs_names)
        files |= write_tables(partial, inputs.dataset.name, estimator, prepared.obs_names)
        files |= _write_imputed(partial, estimator) if options.impute else {}
        if hasattr(method, "save"):
            (partial / MODEL_FOLDER).mkdir()
            estimator.save(partial / MODEL_FOLDER)
            files[f"{MODEL_FOLDER}/"] = "the fitted model"
        files |= write_heads(partial, method, prepared, reconstruct=options.impute)
        files |= write_selected(partial, "feature", inputs.data.var_names, prepared.var_names)
        files |= write_selected(partial, "cell", inputs.data.obs_names, prepared.obs_names)
        files |= _write_cluster_files(partial, result, keys, estimator, scores, inputs, options)
        files |= write_result(partial, result)
        files[FIT_NOTE] = "parameters, seed, scores"
        content = facts | {"obsm": keys.embedding, "notes": estimator.fit_.notes}
        content["files"] = sorted(files)
        (partial / FIT_NOTE).write_text(json.dumps(content, indent=1, default=str) + "\n")
    return files


def _write_imputed(folder: Path, estimator: Estimator) -> dict[str, str]:
    """Write the imputed matrix, if the method imputes."""
    imputed = imputed_data(estimator.method, estimator.prepared_)
    if imputed is None:
        logger.info(f"{estimator.method.name} does not impute: no imputed matrix")
        return {}
    return write_imputed(folder, imputed)


def _write_cluster_files(
    folder: Path,
    result: Any,
    keys: ResultKeys,
    estimator: Estimator,
    scores: Scores,
    inputs: FileInputs,
    options: FitOptions,
) -> dict[str, str]:
    """Write markers, confusion matrix and UMAP; the coordinates are added to the result."""
    name, clusters = estimator.method.name, scores.clusters
    types = None if inputs.labels is None else inputs.labels[inputs.rows_of(estimator)]
    files = write_markers(folder, cells_of(result), clusters)
    files |= write_confusion_files(folder, types, clusters, name)
    if options.umap:
        logger.info("computing the UMAP")
        os.environ.setdefault("NUMBA_CACHE_DIR", str(default_cache_dir() / "numba"))
        panels = {} if types is None else {inputs.dataset.card.label_key: types}
        panels |= {
            one: clusters[one].astype(str) for one in ("leiden", "kmeans") if one in clusters
        }
        shown = dict(list(panels.items())[:2])
        drawn, plane = write_umap_files(
            folder, estimator.embedding_, shown, estimator.prepared_.obs_names, name
        )
        if plane is not None:
            result.obsm[keys.umap] = plane
        files |= drawn
    return files
