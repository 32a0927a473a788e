"""The files of prepared data in the cache: written from a cached dataset, opened for a fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.contract import ATAC, PARTS, RNA, Recipe, pair_data, select_cells
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
    writer.save("cell_names", dataset.read("cells")[subset.cells])
    writer.save("features", read_features(dataset, part)[subset.features])
    return {"name": dataset.info["info"]["name"], "recipe": recipe.as_dict(), "parts": {}}


def write_prepared_pair(
    dataset_folder: Path, recipe: PairedRecipe, part_keys: dict[str, str], writer: FolderWriter
) -> dict[str, Any]:
    """Write the cells that both prepared parts keep, and the facts about their features.

    ``part_keys`` are the names of the folders of the parts, beside the folder of the writer.
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

    Of paired data the cells that both parts keep, with the facts about the features.
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
    cells, features = (pd.Index(arrays.read(name).tolist()) for name in ("cell_names", "features"))
    data = assemble_prepared(arrays, cells, features, copy=False)
    return data, np.array(arrays.read("cells"))
