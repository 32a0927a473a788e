"""The files that ``bench fit`` and ``bench transform`` write into a folder.

Each writing function returns file name → description of the content.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.contract.multiome import is_paired, write_pair
from bench.errors import DataError
from bench.reports.figures.static_confusion import write_confusion
from bench.reports.figures.static_umap import write_umap
from bench.reports.figures.umaps import plane_coordinates

from .cluster_tables import confusion_table, count_types, marker_table

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from .estimator import Estimator

logger = logging.getLogger(__name__)
_LARGEST_TEXT = 20_000_000
"""Largest number of entries of an imputed matrix written as text, about 100 MB."""


def write_latent(folder: Path, embedding: np.ndarray, cells: pd.Index) -> dict[str, str]:
    """Write ``latent.csv``, a row a cell."""
    latent = pd.DataFrame(embedding, index=pd.Index(cells, name="cell"))
    latent.columns = [f"latent{number + 1}" for number in range(latent.shape[1])]
    latent.to_csv(folder / "latent.csv", float_format="%.6g")
    return {"latent.csv": f"latent features, {latent.shape[0]} cells × {latent.shape[1]}"}


def write_clusters(
    folder: Path, clusters: dict[str, np.ndarray], cells: pd.Index
) -> dict[str, str]:
    """Write ``clusters.csv``, a row a cell and a column a clustering."""
    table = pd.DataFrame(dict(clusters), index=pd.Index(cells, name="cell"))
    table.to_csv(folder / "clusters.csv")
    return {"clusters.csv": ", ".join(table.columns)}


def write_result(folder: Path, result: Any) -> dict[str, str]:
    """Write ``result.h5ad`` or ``result.h5mu``: data and results; raises ``DataError``."""
    if is_paired(result):
        write_pair(result, folder / "result.h5mu")
        return {"result.h5mu": "counts and all results as MuData"}
    try:
        result.write_h5ad(folder / "result.h5ad", compression="gzip")
    except (ValueError, TypeError) as error:
        raise DataError(
            f"result.h5ad cannot hold the columns of the cells: {' '.join(str(error).split())}; "
            "rename or drop the column it names.",
            code="unwritable_column",
        ) from None
    return {"result.h5ad": "counts and all results as AnnData"}


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
    """Write which features or cells the method kept, to ``features.csv`` or ``cells.csv``."""
    table = pd.DataFrame({"kept": names.isin(selected)}, names)
    table.to_csv(folder / f"{kind}s.csv", index_label=kind)
    return {f"{kind}s.csv": f"{table['kept'].sum()} of {len(table)} {kind}s kept by the method"}


def write_imputed(folder: Path, imputed: AnnData) -> dict[str, str]:
    """Write the imputed matrix as ``.h5ad``, and as text if it is not too large."""
    size = f"{imputed.n_obs} cells × {imputed.n_vars} features"
    imputed.write_h5ad(folder / "imputed.h5ad", compression="gzip")
    files = {"imputed.h5ad": f"imputed values, {size}"}
    if imputed.n_obs * imputed.n_vars > _LARGEST_TEXT:
        logger.info(f"the imputed matrix ({size}) is in imputed.h5ad only: too large for text")
        return files
    table = pd.DataFrame(imputed.X, imputed.obs_names, imputed.var_names)
    table.to_csv(folder / "imputed.csv.gz", float_format="%.4g", index_label="cell")
    return files | {"imputed.csv.gz": "the same as text"}


def write_umap_files(
    folder: Path, embedding: np.ndarray, panels: dict[str, np.ndarray], cells: pd.Index, title: str
) -> tuple[dict[str, str], np.ndarray | None]:
    """Write ``umap.csv`` and the picture; returns the coordinates, too (cells × 2, float32).

    Without a UMAP, for example if all cells are at one point, the reason is logged.
    """
    try:
        plane = plane_coordinates(np.asarray(embedding, dtype=np.float32))
    except ValueError as error:
        logger.warning(f"no UMAP: {' '.join(str(error).split())}")
        return {}, None
    table = pd.DataFrame(plane, pd.Index(cells, name="cell"), ["umap1", "umap2"])
    table.to_csv(folder / "umap.csv", float_format="%.6g")
    names = write_umap(
        plane, panels, folder / "umap", title=title, n_dimensions=embedding.shape[1]
    )
    text = "cells coloured by " + " and ".join(panels)
    return {"umap.csv": "coordinates of the UMAP"} | dict.fromkeys(names, text), plane


def write_confusion_files(
    folder: Path, types: np.ndarray | None, clusters: dict[str, np.ndarray], title: str
) -> dict[str, str]:
    """Write ``confusion.csv`` and its picture: types × clusters of each clustering.

    Nothing is written without types.
    """
    counts = {} if types is None else count_types(types, clusters)
    if not counts:
        return {}
    confusion_table(counts).to_csv(folder / "confusion.csv")
    names = write_confusion(counts, folder / "confusion", title=title)
    return {"confusion.csv": "cells of each type in each cluster"} | dict.fromkeys(
        names, "share of each type's cells in each cluster"
    )


def write_markers(
    folder: Path, counts: AnnData, clusters: dict[str, np.ndarray]
) -> dict[str, str]:
    """Write ``markers.csv``, the features that are higher in a cluster than in other cells."""
    table = marker_table(counts, clusters)
    table.to_csv(folder / "markers.csv", index=False, float_format="%.6g")
    return {"markers.csv": "marker features of the clusters"}
