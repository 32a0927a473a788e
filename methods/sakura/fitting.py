"""Fits of SAKURA within the harness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bench.contract import Context, Fit

from .dataset_guidance import dataset_guidance
from .guidance import Guidance
from .model import SakuraModel
from .model_settings import settings_from_params
from .original_config.tables import cell_table
from .params import GuidedParameters

if TYPE_CHECKING:
    from anndata import AnnData

    from .method import SakuraUnguided
    from .original_config.main_config import OriginalSetup


def fit_sakura(method: SakuraUnguided, data: AnnData, context: Context) -> tuple[SakuraModel, Fit]:
    """Train with the guides of the method's file, else with those of the dataset."""
    params, notes = method.params, list[str]()
    guidance, values = method.guidance or Guidance(), dict(method.values or {})
    if method.guidance is None and isinstance(params, GuidedParameters):
        guidance, values, notes = dataset_guidance(params, data, context)
    settings = settings_from_params(params, all_features=not _log_normalized(data))
    model = _trained(SakuraModel(settings, guidance), data, context, values)
    facts = {
        "training": f"{model.epochs} epochs, weights of epoch {model.best_epoch}",
        "features": str(len(model.features)),
        "guides": ", ".join(one.name for one in guidance.guides),
        "left_out": " ".join(notes),
    }
    for line in notes:
        context.log(line)
    facts = {name: text for name, text in facts.items() if text}
    embedding = model.transform(data, getattr(params, "embedding", "main"))
    return model, Fit(embedding, n_parameters=model.n_parameters, notes=facts)


def fit_setup(setup: OriginalSetup, data: AnnData, context: Context) -> tuple[SakuraModel, Fit]:
    """Train all stages of an original configuration and return its tables."""
    model = SakuraModel(setup.settings, setup.guidance)
    _trained(model, data, context, setup.values, setup.splits)
    tables = {}
    for number, name, one in setup.tables():
        with model.as_after(number):
            tables[name] = cell_table(model, data[setup.splits[one.split]], one)
    notes = {"guides": ", ".join(one.name for one in setup.guidance.guides)}
    embedding = model.transform(data)
    return model, Fit(embedding, tables=tables, n_parameters=model.n_parameters, notes=notes)


def _trained(
    model: SakuraModel, data: AnnData, context: Context, values: Mapping[str, np.ndarray],
    splits: Mapping[str, np.ndarray] | None = None,
) -> SakuraModel:  # fmt: skip
    checkpoint = context.checkpoints and context.checkpoints / "training.pt"
    return model.fit(
        data, seed=context.seed, device=context.device, report=context.report, phenotypes=values,
        splits=splits, checkpoint=checkpoint,
    )  # fmt: skip


def _log_normalized(data: AnnData) -> bool:
    """Return whether each cell has 10,000 counts, as genes have and TF-IDF has not."""
    totals = np.asarray(np.expm1(data.X[:100]).sum(axis=1)).ravel()
    return bool(np.allclose(totals[totals > 0], 1e4, rtol=1e-3))
