"""Fits of SAKURA within the harness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.contract import Context, Fit
from bench.errors import UsageError

from .checkpoints import TrainingOptions
from .dataset_guidance import dataset_guidance
from .guidance import Guidance
from .insertion import InsertedParts, Insertion
from .milestones import StateKeeper, StoryWatcher
from .model import SakuraModel
from .model_settings import settings_from_params
from .original_config.tables import cell_table
from .params import GuidedParameters
from .saved_files import find_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from .method import SakuraUnguided, TrainingRequest
    from .original_config.main_config import OriginalSetup
    from .training import Trainer


def training_options(request: TrainingRequest, context: Context) -> TrainingOptions:
    """Return the options of a training; raises ``UsageError`` and ``DataError``."""
    if request.keep_every and context.checkpoints is None:
        raise UsageError(
            "keep_every: there is no folder for states; give checkpoints=FOLDER.",
            code="missing_input",
        )
    parts = []
    for text in request.insert:
        one = Insertion.parse(text)
        one = replace(one, path=find_file(one.path))
        parts.append((one, SakuraModel.load(one.path)))
    return TrainingOptions(
        start=find_file(request.go_on, state=True) if request.go_on else None,
        parts=InsertedParts(parts),
        file_features=request.features,
        kept=context.checkpoints and context.checkpoints / "kept",
        watch=StateKeeper(request.keep_every),
    )


def fit_sakura(method: SakuraUnguided, data: AnnData, context: Context) -> tuple[SakuraModel, Fit]:
    """Train with the guides of the method's file, else with those of the dataset."""
    params, notes = method.params, list[str]()
    guidance, values = method.guidance or Guidance(), dict(method.values or {})
    if method.guidance is None and isinstance(params, GuidedParameters):
        guidance, values, notes = dataset_guidance(params, data, context)
    settings = settings_from_params(params, all_features=not _log_normalized(data))
    options = training_options(method.request, context)
    model = _trained(SakuraModel(settings, guidance), data, context, values, options)
    facts = {
        "training": f"{model.epochs} epochs, weights of epoch {model.best_epoch}",
        "features": str(len(model.features)),
        "guides": ", ".join(one.name for one in guidance.guides),
        "left_out": " ".join(notes),
    }
    if model.filtered:
        lost = f"{len(model.filtered)} features of the other fit"
        facts["filtered"] = f"{lost}, taken as 0 because too few cells have them"
    for line in notes:
        context.log(line)
    facts = {name: text for name, text in facts.items() if text}
    embedding = model.transform(data, getattr(params, "embedding", "main"))
    tables = training_tables(model, data)
    return model, Fit(embedding, tables=tables, n_parameters=model.n_parameters, notes=facts)


def fit_setup(
    setup: OriginalSetup, data: AnnData, context: Context, request: TrainingRequest
) -> tuple[SakuraModel, Fit]:
    """Train all stages of an original configuration and return its tables."""
    model = SakuraModel(setup.settings, setup.guidance)
    folder = context.checkpoints and context.checkpoints / "tables"
    story = StoryWatcher(model, setup, data, folder)
    options = training_options(request, context)
    keeper = options.watch

    def watch(trainer: Trainer, stage: int, *, ended: bool, keep: Callable[[str], None]) -> None:
        keeper(trainer, stage, ended=ended, keep=keep)
        story(trainer, stage, ended=ended, keep=keep)

    options = replace(options, watch=watch)
    _trained(model, data, context, setup.values, options, setup.splits)
    tables = training_tables(model, data) | dict(story.tables())
    for number, name, one in setup.tables():
        with model.as_after(number):
            tables[name] = cell_table(model, data[setup.splits[one.split]], one)
    notes = {"guides": ", ".join(one.name for one in setup.guidance.guides)}
    embedding = model.transform(data)
    return model, Fit(embedding, tables=tables, n_parameters=model.n_parameters, notes=notes)


def training_tables(model: SakuraModel, data: AnnData) -> dict[str, pd.DataFrame]:
    """Return ``splits`` (cells × splits, 0 or 1) and ``losses`` (a row an epoch and term)."""
    masks = {name: mask for name, mask in model.masks.items() if name != "all"}
    index = pd.Index(data.obs_names, name="cell")
    splits = {name: mask.astype(np.int8) for name, mask in masks.items()}
    rows = [
        {"epoch": epoch, "term": term, **losses}
        for epoch, terms in enumerate(model.term_losses, start=1)
        for term, losses in terms.items()
    ]
    columns = ["epoch", "term", "weight", "loss", "held_out_loss"]
    losses = pd.DataFrame(rows, columns=columns).set_index("epoch")
    return {"splits": pd.DataFrame(splits, index=index), "losses": losses}


def _trained(
    model: SakuraModel, data: AnnData, context: Context, values: Mapping[str, np.ndarray],
    options: TrainingOptions, splits: Mapping[str, np.ndarray] | None = None,
) -> SakuraModel:  # fmt: skip
    checkpoint = context.checkpoints and context.checkpoints / "training.pt"
    return model.fit(
        data, seed=context.seed, device=context.device, report=context.report, phenotypes=values,
        splits=splits, checkpoint=checkpoint, options=options,
    )  # fmt: skip


def _log_normalized(data: AnnData) -> bool:
    """Return whether cells have a total of 10,000 before the logarithm; TF-IDF has not."""
    totals = np.asarray(np.expm1(data.X[:100]).sum(axis=1)).ravel()
    return bool(np.allclose(totals[totals > 0], 1e4, rtol=1e-3))
