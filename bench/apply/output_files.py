"""The files that ``bench fit`` and ``bench transform`` write into a folder.

Each function that writes returns file name → what it holds.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.apply.estimator import Estimator
from bench.contract.multiome import is_paired, write_pair
from bench.errors import DataError
from bench.reports.figures.static_umap import draw

if TYPE_CHECKING:
    from anndata import AnnData

    from bench.scoring.scorer import Scores

logger = logging.getLogger(__name__)
_LARGEST_TEXT = 20_000_000
"""Entries of an imputed matrix that is still written as text, some 100 MB."""


def annotate(
    result: Any, method: str, embedding: np.ndarray, scores: Scores, known: pd.DataFrame,
    label_key: str,
) -> None:  # fmt: skip
    """Put embedding, columns of the file and clusters to the prepared cells.

    Clusters named like the column of the true types get another name.
    """
    result.obsm[f"X_{method}"] = np.asarray(embedding, dtype=np.float32)
    for column in known.columns:
        result.obs[column] = known[column].reindex(result.obs_names)
    for name, labels in scores.clusters.items():
        result.obs[name if name != label_key else f"{name}_found"] = np.asarray(labels).astype(str)


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
            "rename or drop the column it names."
        ) from None
    layers = ", ".join(result.layers)
    return {"result.h5ad": f"all of it as AnnData (X prepared; layers {layers})"}


def write_tables(folder: Path, name: str, fitted: Estimator, cells: pd.Index) -> dict[str, str]:
    """Write the tables and curves of the fit, and those named as by the original program."""
    files = {}
    for table_name, table in fitted.fit_.tables.items():
        label = str(table.index.name or "feature")
        table.to_csv(folder / f"{table_name}.csv", float_format="%.6g", index_label=label)
        files[f"{table_name}.csv"] = f"{len(table)} × {table.shape[1]}"
    if fitted.curves_:
        rows = [
            (curve, step, value)
            for curve, values in fitted.curves_.items()
            for step, value in zip(fitted.steps_[curve], values, strict=True)
        ]
        curves = pd.DataFrame(rows, columns=["curve", "step", "value"])
        curves.to_csv(folder / "curves.csv", index=False, float_format="%.6g")
        files["curves.csv"] = ", ".join(fitted.curves_)
    if hasattr(fitted.method, "export"):
        index = pd.Index(cells, name="cell")
        for file, table in fitted.method.export(name, fitted.fit_, index).items():
            table.to_csv(folder / file, float_format="%.6g")
            files[file] = f"{len(table)} × {table.shape[1]}, named as by the original program"
    return files


def write_kept(folder: Path, what: str, given: pd.Index, kept: pd.Index) -> dict[str, str]:
    """Write which features or cells of the file the method kept, ``features.csv`` or the like."""
    table = pd.DataFrame({"kept": given.isin(kept)}, given)
    table.to_csv(folder / f"{what}s.csv", index_label=what)
    return {f"{what}s.csv": f"{table['kept'].sum()} of {len(table)} {what}s kept by the method"}


def write_imputed(folder: Path, fitted: Estimator, result: AnnData) -> dict[str, str]:
    """Write the imputed matrix as text, if there is one and it is not too large."""
    if "imputed" not in result.layers:
        if not hasattr(fitted.method, "impute"):
            logger.info(f"{fitted.method.name} does not impute: no imputed matrix")
        return {}
    imputed = pd.DataFrame(result.layers["imputed"], result.obs_names, result.var_names)
    size = f"{imputed.shape[0]} cells × {imputed.shape[1]} features"
    if imputed.size > _LARGEST_TEXT:
        logger.info(f"the imputed matrix ({size}) is in result.h5ad only: too large for text")
        return {}
    imputed.to_csv(folder / "imputed.csv.gz", float_format="%.4g", index_label="cell")
    return {"imputed.csv.gz": f"imputed matrix, {size}"}


def draw_picture(folder: Path, result: AnnData, method: str, label_key: str) -> dict[str, str]:
    """Draw the cells by type (if known) and by cluster.

    A picture is never a reason to fail: where there is none, such as of cells that are all at one
    point, it is said why.
    """
    columns = [name for name in (label_key, "leiden", "kmeans") if name and name in result.obs]
    panels = {name: result.obs[name].astype(str).to_numpy() for name in columns[:2]}
    try:
        names = draw(result.obsm[f"X_{method}"], panels, folder / "umap", title=method)
    except ValueError as error:
        logger.info(f"no picture: {' '.join(str(error).split())}")
        return {}
    return dict.fromkeys(names, "cells coloured by " + " and ".join(panels))
