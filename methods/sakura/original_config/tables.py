"""Tables of cells as the original writes them, with its names of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..guidance import Guidance, Phenotype, Signature

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import SakuraModel
    from .story import Table


def cell_table(model: SakuraModel, data: AnnData, wanted: Table) -> pd.DataFrame:
    """Return one row a cell: ``main.*``, ``re_x.*``, then each phenotype and signature.

    In the original's order: main dimensions, reconstruction, output of the first layers
    (``lat_pre.*``), then for each phenotype and after them each signature the dimensions that its
    head reads (``NAME.*``) and its predictions (``NAME.out.*``). An attached head so repeats what
    it is attached to. Numbers start at 1. Predicted classes are logarithms of probabilities, as
    there.
    """
    columns: dict[str, np.ndarray] = {}

    def add(prefix: str, values: np.ndarray) -> None:
        for number in range(values.shape[1]):
            columns[f"{prefix}.{number + 1}"] = values[:, number]

    whole = model.transform(data, "all")
    spaces = model.network.layout.slices
    if "latent" in wanted.parts:
        add("main", whole[:, spaces["main"]])
    if "reconstruction" in wanted.parts:
        values = model.reconstruct(data)
        names = model.inputs if wanted.gene_names else None
        if names is None:
            add("re_x", values)
        else:
            columns |= {name: values[:, number] for number, name in enumerate(names)}
    if "pre_encoder" in wanted.parts:
        net = model.network
        add("lat_pre", model._all(data, lambda scaled: net.pre_encoder(scaled[:, net.inputs])))
    for guide in _ordered(model.guidance):
        phenotype = isinstance(guide, Phenotype)
        if "latent" in wanted.parts:
            read = [whole[:, spaces[part]] for part in model.network.layout.parts(guide)]
            add(guide.name, np.concatenate(read, axis=1))
        if ("phenotypes" if phenotype else "signatures") in wanted.parts:
            add(f"{guide.name}.out", _predicted(model, data, guide))
    return pd.DataFrame(columns, index=pd.Index(data.obs_names, name="cell"))


def _ordered(guidance: Guidance) -> list[Signature | Phenotype]:
    return [*guidance.phenotypes, *guidance.all_signatures]


def _predicted(model: SakuraModel, data: AnnData, guide: Signature | Phenotype) -> np.ndarray:
    if isinstance(guide, Signature):
        return model.predict_signature(data, guide.name)
    values = model.predict_phenotype(data, guide.name)
    if guide.kind != "categorical":
        return values
    return np.log(np.clip(values, np.finfo(np.float32).tiny, None))
