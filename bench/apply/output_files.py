"""The files that ``bench fit`` and ``bench transform`` write into a folder.

Each function that writes returns file name → its content in words.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.contract.multiome import is_paired, write_pair
from bench.errors import DataError
from bench.reports.figures.static_umap import write_umap

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from bench.contract import Method
    from bench.scoring.scorer import Scores

    from .estimator import Estimator

logger = logging.getLogger(__name__)
_LARGEST_TEXT = 20_000_000
"""Entries of an imputed matrix that is still written as text, some 100 MB."""


def annotate_cells(
    data: Any, method: str, embedding: np.ndarray, scores: Scores, columns: pd.DataFrame,
    label_key: str,
) -> None:  # fmt: skip
    """Add the embedding, cluster labels and the file's own columns to the prepared cells.

    A clustering named like the column of the true types gets the suffix ``_found``.
    """
    data.obsm[f"X_{method}"] = np.asarray(embedding, dtype=np.float32)
    for column in columns.columns:
        data.obs[column] = columns[column].reindex(data.obs_names)
    for name, labels in scores.clusters.items():
        data.obs[name if name != label_key else f"{name}_found"] = np.asarray(labels).astype(str)


def write_embedding(
    folder: Path, embedding: np.ndarray, clusters: dict[str, np.ndarray], names: pd.Index
) -> dict[str, str]:
    """Write ``latent.csv`` and ``clusters.csv``, a row a cell."""
    cells = pd.Index(names, name="cell")
    latent = pd.DataFrame(embedding, index=cells)
    latent.columns = [f"latent{number + 1}" for number in range(latent.shape[1])]
    latent.to_csv(folder / "latent.csv", float_format="%.6g")
    table = pd.DataFrame(dict(clusters), index=cells)
    table.to_csv(folder / "clusters.csv")
    return {
        "latent.csv": f"latent features, {latent.shape[0]} cells × {latent.shape[1]}",
        "clusters.csv": ", ".join(table.columns),
    }


def write_result(folder: Path, result: Any) -> dict[str, str]:
    """Write the annotated data, ``result.h5ad`` or ``result.h5mu``; raises ``DataError``."""
    if is_paired(result):
        write_pair(result, folder / "result.h5mu")
        return {"result.h5mu": "all of it as MuData (X prepared; layers counts)"}
    try:
        result.write_h5ad(folder / "result.h5ad", compression="gzip")
    except (ValueError, TypeError) as error:
        raise DataError(
            f"result.h5ad cannot hold the columns of the cells: {' '.join(str(error).split())}; "
            "rename or drop the column it names.",
            code="unwritable_column",
        ) from None
    layers = ", ".join(result.layers)
    return {"result.h5ad": f"all of it as AnnData (X prepared; layers {layers})"}


def write_tables(folder: Path, name: str, estimator: Estimator, cells: pd.Index) -> dict[str, str]:
    """Write the tables and curves of the fit, and the files of the original program."""
    files = {}
    for table_name, table in estimator.fit_.tables.items():
        label = str(table.index.name or "feature")
        table.to_csv(folder / f"{table_name}.csv", float_format="%.6g", index_label=label)
        files[f"{table_name}.csv"] = f"{len(table)} × {table.shape[1]}"
    if estimator.curves_:
        rows = [
            (curve, step, value)
            for curve, values in estimator.curves_.items()
            for step, value in zip(estimator.steps_[curve], values, strict=True)
        ]
        curves = pd.DataFrame(rows, columns=["curve", "step", "value"])
        curves.to_csv(folder / "curves.csv", index=False, float_format="%.6g")
        files["curves.csv"] = ", ".join(estimator.curves_)
    if hasattr(estimator.method, "export"):
        index = pd.Index(cells, name="cell")
        for file, table in estimator.method.export(name, estimator.fit_, index).items():
            table.to_csv(folder / file, float_format="%.6g")
            files[file] = f"{len(table)} × {table.shape[1]}, named as by the original program"
    return files


def write_selected(folder: Path, kind: str, names: pd.Index, selected: pd.Index) -> dict[str, str]:
    """Write which features or cells of the file the method kept, ``features.csv`` or the like."""
    table = pd.DataFrame({"kept": names.isin(selected)}, names)
    table.to_csv(folder / f"{kind}s.csv", index_label=kind)
    return {f"{kind}s.csv": f"{table['kept'].sum()} of {len(table)} {kind}s kept by the method"}


def write_imputed(folder: Path, method: Method, data: AnnData) -> dict[str, str]:
    """Write the imputed matrix as text, if there is one and it is not too large."""
    if "imputed" not in data.layers:
        if not hasattr(method, "impute"):
            logger.info(f"{method.name} does not impute: no imputed matrix")
        return {}
    imputed = pd.DataFrame(data.layers["imputed"], data.obs_names, data.var_names)
    size = f"{imputed.shape[0]} cells × {imputed.shape[1]} features"
    if imputed.size > _LARGEST_TEXT:
        logger.info(f"the imputed matrix ({size}) is in result.h5ad only: too large for text")
        return {}
    imputed.to_csv(folder / "imputed.csv.gz", float_format="%.4g", index_label="cell")
    return {"imputed.csv.gz": f"imputed matrix, {size}"}


def draw_umap(folder: Path, data: AnnData, method: str, label_key: str) -> dict[str, str]:
    """Draw the cells by type (if known) and by cluster.

    If it cannot be drawn, as for cells that are all at one point, the reason is logged.
    """
    columns = [name for name in (label_key, "leiden", "kmeans") if name and name in data.obs]
    panels = {name: data.obs[name].astype(str).to_numpy() for name in columns[:2]}
    try:
        names = write_umap(data.obsm[f"X_{method}"], panels, folder / "umap", title=method)
    except ValueError as error:
        logger.warning(f"no picture: {' '.join(str(error).split())}")
        return {}
    return dict.fromkeys(names, "cells coloured by " + " and ".join(panels))
