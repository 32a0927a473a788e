"""The files of prepared data in the cache: written from a cached dataset, opened for a fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.contract import ATAC, PARTS, RNA, Recipe, is_paired, pair_data, select_cells
from bench.contract.multiome import decode_bases
from bench.errors import DataError
from bench.prepare.in_memory import assemble_prepared
from bench.prepare.pipeline import apply_recipe

from .array_folder import ArrayFolder
from .dataset_files import CellLabels, read_counts, read_feature_facts, read_features

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import PairedRecipe

    from .array_folder import FolderWriter


def write_prepared(
    dataset_folder: Path, recipe: Recipe, part: str, writer: FolderWriter
) -> dict[str, Any]:
    """Write one matrix, or one part of paired data, prepared by its recipe; returns its facts.

    Only a recipe that selects features batch by batch sees the batches.
    """
    dataset = ArrayFolder(dataset_folder)
    batch = CellLabels(dataset_folder).batch if recipe.batch_aware else None
    subset = apply_recipe(read_counts(dataset, part), recipe, writer, batch)
    writer.save("cells", subset.cells)
    writer.save("features", read_features(dataset, part)[subset.features])
    return {"name": dataset.info["info"]["name"], "recipe": recipe.as_dict(), "parts": {}}


def write_prepared_pair(
    dataset_folder: Path, recipe: PairedRecipe, part_keys: dict[str, str], writer: FolderWriter
) -> dict[str, Any]:
    """Write the cells that both prepared parts keep, and the facts about their features.

    ``part_keys``: name of the folder of each prepared part, beside the folder of the writer.
    Raises ``DataError`` if no cell is left.
    """
    dataset = ArrayFolder(dataset_folder)
    parts = {part: ArrayFolder(writer.path.with_name(part_keys[part])) for part in PARTS}
    cells = np.intersect1d(parts[RNA].read("cells"), parts[ATAC].read("cells"))
    if not len(cells):
        raise DataError(
            "the filters leave no cell in both parts: "
            f"min_features={recipe.rna.min_features} (rna), "
            f"{recipe.atac.min_features} (atac); loosen them.",
            code="empty_result",
        )
    writer.save("cells", cells)
    feature_facts = {}
    for part in PARTS:
        mask = np.isin(read_features(dataset, part), parts[part].read("features"))
        columns = read_feature_facts(dataset, part)
        feature_facts[part] = list(columns)
        for name, values in columns.items():
            writer.save(f"{part}_{name}", values[mask])
    return {
        "name": dataset.info["info"]["name"],
        "recipe": recipe.as_dict(),
        "parts": part_keys,
        "feature_facts": feature_facts,
    }


def open_prepared_folder(folder: Path) -> tuple[AnnData | MuData, np.ndarray]:
    """Return prepared data (memory-mapped, read-only) and the indices of their cells.

    Cell ``i`` of the dataset is named ``cell<i>``, since names of a file may reveal types. Paired
    data have the cells that both parts keep, and the facts about the features in ``var``.
    """
    pair = ArrayFolder(folder)
    part_keys = pair.info["parts"]
    if not part_keys:
        return _open_matrix(pair)
    cells, parts = np.array(pair.read("cells")), []
    for part in PARTS:
        data, part_cells = _open_matrix(ArrayFolder(folder.with_name(part_keys[part])))
        if len(part_cells) != len(cells):
            data = select_cells(data, np.searchsorted(part_cells, cells))
        for name in pair.info["feature_facts"][part]:
            data.var[name] = decode_bases(np.array(pair.read(f"{part}_{name}")))
        parts.append(data)
    return pair_data(*parts), cells


def _open_matrix(arrays: ArrayFolder) -> tuple[AnnData, np.ndarray]:
    cells, features = np.array(arrays.read("cells")), pd.Index(arrays.read("features").tolist())
    return assemble_prepared(arrays, cell_names(cells), features, copy=False), cells


def cell_names(cells: np.ndarray) -> pd.Index:
    """Return the names that a fit sees for the cells with these indices."""
    return pd.Index([f"cell{number}" for number in cells.tolist()])


def restore_names(
    data: AnnData | MuData, cells: np.ndarray, dataset_folder: Path
) -> AnnData | MuData:
    """Return prepared data with the names that the cells have in the dataset."""
    names = ArrayFolder(dataset_folder).read("cells")[cells].tolist()
    parts = [data[part] for part in PARTS] if is_paired(data) else [data]
    for matrix in parts:
        matrix.obs_names = names
    return pair_data(*parts) if is_paired(data) else data
