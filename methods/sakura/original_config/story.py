"""The original's ``story``: its trainings as stages, and the tables after each."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench.messages import did_you_mean

from ..config_model import Place, fail, parse
from ..model_settings import Stage, TrainingTask
from .guides import OriginalGuide
from .schema import HybridConfig, SelectionConfig, TaskConfig, TestConfig, TrainConfig

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)
Guides = Mapping[str, Mapping[str, OriginalGuide]]
"""``signature`` and ``pheno`` → name → guide."""
_PARTS = ("latent", "pre_encoder", "reconstruction", "phenotypes", "signatures")
_ACTIONS = ("train", "train_hybrid", "train_hybrid_fastload", "test")


@dataclass(frozen=True)
class CellTable:
    """One table after a training: its cells and columns."""

    split: str
    prefix: str
    parts: tuple[str, ...]
    """Of ``latent``, ``pre_encoder``, ``reconstruction``, ``phenotypes``, ``signatures``."""
    gene_names: bool
    """Columns of the reconstruction have the names of genes, else ``re_x.1``, ``re_x.2``, …"""


@dataclass(frozen=True)
class StoryStage:
    """One training and the tables after it."""

    stage: Stage
    passes: int
    """Passes over the cells of all tasks."""
    tables: tuple[CellTable, ...]


def read_story(
    story: Sequence[Mapping[str, Any]], place: Place, guides: Guides,
    splits: Mapping[str, np.ndarray],
) -> tuple[StoryStage, ...]:  # fmt: skip
    """Return the trainings of a story in their order.

    Raises ``UsageError`` for an unknown name, and for a story without a training.
    """
    stages: list[StoryStage] = []
    for number, values in enumerate(story):
        here, action = place / number, str(values.get("action") or "train")
        if action not in _ACTIONS:
            hint = did_you_mean(action, list(_ACTIONS))
            fail(here / "action", f"'{action}' is unknown.{hint}", "unknown_name")
        if action != "test":
            stages.append(_stage(action, values, here, guides, splits))
            continue
        tables = _tables([parse(TestConfig, values, here)], here, splits)
        if not stages:
            logger.info(f"{here}: a test before any training: left out")
        else:
            stages[-1] = replace(stages[-1], tables=(*stages[-1].tables, *tables))
    if not stages:
        fail(place, "it has no training; expected at least one.", "missing_key")
    return tuple(stages)


def _stage(
    action: str, values: Mapping[str, Any], place: Place, guides: Guides,
    splits: Mapping[str, np.ndarray],
) -> StoryStage:  # fmt: skip
    if action == "train":
        train = parse(TrainConfig, values, place)
        task = _task("train", train, place, guides, splits)
        stage, passes, tests = Stage((task,), "joint", train.epochs), train.epochs, train.tests
    else:
        hybrid = parse(HybridConfig, values, place)
        if hybrid.prog_loss_weight_mode != "epoch_end":
            reason = "weights change at the end of each pass"
            logger.info(f"{place / 'prog_loss_weight_mode'}: {reason}")
        tasks = tuple(
            _task(name, one, place / "split_configs" / name, guides, splits)
            for name, one in hybrid.split_configs.items()
        )
        ticks = hybrid.ticks // (1 if hybrid.hybrid_mode == "sum" else len(tasks))
        n_passes = [ticks // n_batches(task, splits) for task in tasks]
        stage = Stage(tasks, hybrid.hybrid_mode, n_passes[0] + 1, hybrid.ticks)
        passes, tests = sum(n_passes), hybrid.tests
    if tests:
        logger.info(f"{place / 'tests'}: at the end of this training only")
    return StoryStage(stage, passes, _tables(tests, place / "tests", splits))


def check_split(name: str, splits: Mapping[str, np.ndarray], place: Place) -> str:
    """Return the name of a split; raises ``UsageError`` if it is unknown or without a cell."""
    if name not in splits:
        message = f"no split '{name}'.{did_you_mean(name, sorted(splits))}"
        fail(place, message, "unknown_split")
    if not splits[name].any():
        fail(place, f"the split '{name}' has no cell.", "no_cells")
    return name


def n_batches(task: TrainingTask, splits: Mapping[str, np.ndarray]) -> int:
    """Return the batches in a pass over the cells of a task."""
    return max(1, math.ceil(int(splits[task.split].sum()) / (task.batch_size or 1)))


def _task(
    name: str, config: TaskConfig, place: Place, guides: Guides,
    splits: Mapping[str, np.ndarray],
) -> TrainingTask:  # fmt: skip
    selected = _selected("signature", config, place, guides)
    selected |= _selected("pheno", config, place, guides)
    if not config.train_main_latent and not selected:
        message = "nothing is trained: neither reconstruction nor a guide."
        fail(place / "train_main_latent", message, "missing_key")
    return TrainingTask(
        name, config.train_main_latent, tuple(selected),
        check_split(config.use_split, splits, place / "use_split"), config.batch_size,
        config.detach_from if config.detach else "none",
        {guide: terms for guide, terms in selected.items() if terms is not None},
    )  # fmt: skip


def _selected(
    kind: str, config: TaskConfig, place: Place, guides: Guides
) -> dict[str, tuple[str, ...] | None]:
    """Return the guides of one kind that a task trains, each with its terms (``None``: all)."""
    place, known = place / f"selected_{kind}", guides[kind]
    selection: Mapping[str, SelectionConfig] | None = getattr(config, f"selected_{kind}")
    if not getattr(config, f"train_{kind}"):
        if selection is not None:
            logger.info(f"{place}: ignored, train_{kind} is off")
        return {}
    if selection is None:
        return dict.fromkeys(known)
    selected: dict[str, tuple[str, ...] | None] = {}
    for name, one in selection.items():
        if name not in known:
            hint = did_you_mean(name, list(known))
            message = f"is not among dataset.selected_{kind}.{hint}"
            fail(place / name, message, "unknown_name")
        terms = _terms(one, known[name], place / name)
        all_terms = {term for part in known[name].terms.values() for term in part.values() if term}
        if terms:
            selected[name] = None if set(terms) == all_terms else terms
        else:
            logger.info(f"{place / name}: nothing of it is trained; left out")
    return selected


def _terms(selection: SelectionConfig, guide: OriginalGuide, place: Place) -> tuple[str, ...]:
    """Return the selected terms of a guide by their names in the model."""
    terms: list[str] = []
    for part, names in guide.terms.items():
        given = getattr(selection, part)
        chosen = tuple(names) if given == "*" else given
        for name in chosen:
            if name not in names:
                message = f"no '{name}'.{did_you_mean(name, list(names))}"
                fail(place / part, message, "unknown_name")
        terms += [names[name] for name in chosen if names[name]]
        for name, term in names.items():
            if term in terms and name not in chosen:
                reason = "is trained too: it is of the same kind as another"
                logger.info(f"{place / part}: '{name}' {reason}")
    return tuple(dict.fromkeys(terms))


def _tables(
    tests: Sequence[TestConfig], place: Place, splits: Mapping[str, np.ndarray]
) -> tuple[CellTable, ...]:
    """Return the tables of tests; a test without a part has none."""
    tables = []
    for one in tests:
        check_split(one.on_split, splits, place)
        if one.compression != "none":
            logger.info(f"{place}: compression: tables are plain CSV")
        parts = tuple(part for part in _PARTS if getattr(one, part))
        if parts:
            names = one.reconstructed_output_naming == "genenames"
            tables.append(CellTable(one.on_split, one.latent_prefix, parts, names))
    return tuple(tables)
