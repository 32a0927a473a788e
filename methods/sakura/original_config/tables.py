"""Tables of cells with the original's column names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..guidance import Guide, Signature

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import SakuraModel
    from .story import CellTable


def cell_table(model: SakuraModel, data: AnnData, table: CellTable) -> pd.DataFrame:
    """Return one row a cell with the original's columns.

    These are main dimensions, reconstruction and first layers (``lat_pre``), then the head inputs
    and predictions (``NAME.out``) of each phenotype and signature. Numbers start at 1. Predicted
    classes are log probabilities.
    """
    network = model.network
    latent = model.transform(data, "all")
    blocks: dict[str, np.ndarray] = {}
    if "latent" in table.parts:
        blocks["main"] = latent[:, network.layout.slices["main"]]
    if "reconstruction" in table.parts:
        blocks["re_x"] = model.reconstruct(data)
    if "pre_encoder" in table.parts:
        blocks["lat_pre"] = model.evaluate(
            data, lambda scaled: network.pre_encoder(scaled[:, network.inputs])
        )
    guides: tuple[Guide, ...] = (*model.guidance.phenotypes, *model.guidance.all_signatures)
    for guide in guides:
        if "latent" in table.parts:
            parts = [latent[:, network.layout.slices[p]] for p in network.layout.parts(guide)]
            blocks[guide.name] = np.concatenate(parts, axis=1)
        kind = "signatures" if isinstance(guide, Signature) else "phenotypes"
        if kind in table.parts:
            blocks[f"{guide.name}.out"] = _predictions(model, data, guide)
    columns: dict[str, np.ndarray] = {}
    for prefix, values in blocks.items():
        names = [f"{prefix}.{number + 1}" for number in range(values.shape[1])]
        if prefix == "re_x" and table.gene_names:
            names = model.inputs
        columns |= dict(zip(names, values.T, strict=True))
    return pd.DataFrame(columns, index=pd.Index(data.obs_names, name="cell"))


def _predictions(model: SakuraModel, data: AnnData, guide: Guide) -> np.ndarray:
    if isinstance(guide, Signature):
        return model.predict_signature(data, guide.name)
    values = model.predict_phenotype(data, guide.name)
    return (
        np.log(np.clip(values, np.finfo(np.float32).tiny, None)) if guide.categorical else values
    )
