"""multiome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract.multiome import (
    PARTS,
    cells_of,
    decode_bases,
    is_paired,
    pair_data,
    read_feature_columns,
)
from bench.contract.recipe import (
    ATAC,
    MULTIOME,
    RNA,
    DatasetInfo,
    PairedRecipe,
    Recipe,
    combine_infos,
)
from bench.errors import DataError, UsageError
from bench.prepare import describe, prepare

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from mudata import MuData


def describe_data(
    data: AnnData | MuData, *, name: str, modality: str, has_batch: bool
) -> DatasetInfo:
    """Return the facts about data in memory that recipes may use."""
    if not is_paired(data):
        return describe(cells_of(data).X, name=name, modality=modality, has_batch=has_batch)
    infos = {
        part: describe(data[part].X, name=name, modality=part, has_batch=has_batch)
        for part in PARTS
    }
    return combine_infos(infos, name, MULTIOME)


def prepare_data(
    data: AnnData | MuData,
    recipe: Recipe | PairedRecipe,
    batch: np.ndarray | None = None,
    where: str = "data",
) -> Any:
    """Return data in memory as a method gets them; of paired data the cells that both parts keep.

    Raises ``DataError`` and ``UsageError`` as ``bench.prepare.prepare``, and ``UsageError`` if a
    recipe of one matrix is given for paired data.
    """
    if not isinstance(recipe, PairedRecipe):
        if is_paired(data):
            raise UsageError("recipe() gives no PairedRecipe for paired data.")
        return prepare(cells_of(data), recipe, batch)
    parts = {part: prepare(data[part], getattr(recipe, part), batch) for part in PARTS}
    both = parts[RNA].obs_names[parts[RNA].obs_names.isin(parts[ATAC].obs_names)]
    if not len(both):
        raise DataError(f"{where}: the filters leave no cell in both parts; loosen them.")
    for part, prepared in parts.items():
        facts = read_feature_columns(data[part].var, part, where)
        kept = data[part].var_names.get_indexer(prepared.var_names)
        for name, values in facts.items():
            prepared.var[name] = decode_bases(values[kept])
    return pair_data(*(one if one.n_obs == len(both) else one[both].copy()
                      for one in parts.values()))  # fmt: skip
