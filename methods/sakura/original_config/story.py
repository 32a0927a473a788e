"""Trainings and tables of the original's ``story``."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..config_model import Place, fail, lookup, parse
from ..model_settings import Stage, TrainingTask
from .guides import OriginalGuide
from .schema import HybridConfig, SelectionConfig, TaskConfig, TestConfig, TrainConfig

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)
Guides = Mapping[str, Mapping[str, OriginalGuide]]
"""Guides by kind, ``signature`` or ``pheno``, and name."""
_PARTS = ("latent", "pre_encoder", "reconstruction", "phenotypes", "signatures")
_ACTIONS: dict[str, type[TrainConfig | HybridConfig | TestConfig]] = {
    "train": TrainConfig,
    "train_hybrid": HybridConfig,
    "train_hybrid_fastload": HybridConfig,
    "test": TestConfig,
}


@dataclass(frozen=True)
class CellTable:
    """Cells and columns of one table."""

    split: str
    prefix: str
    parts: tuple[str, ...]
    """Of ``latent``, ``pre_encoder``, ``reconstruction``, ``phenotypes``, ``signatures``."""
    gene_names: bool
    """Columns of the reconstruction have gene names instead of ``re_x.1``, ``re_x.2``, …"""


@dataclass(frozen=True)
class StepInterval:
    """Points of a training: every so many steps, and after each epoch."""

    steps: int = 0
    """0: not by steps."""
    each_epoch: bool = False

    def __bool__(self) -> bool:
        return bool(self.steps) or self.each_epoch

    def __str__(self) -> str:
        steps = [f"every {self.steps} steps"] if self.steps else []
        return " and ".join([*steps, *["each epoch"] * self.each_epoch])

    def is_at(self, tick: int, *, ended: bool) -> bool:
        at_step = self.steps > 0 and tick % self.steps == 0
        return at_step or (self.each_epoch and ended)


@dataclass(frozen=True)
class StoryStage:
    stage: Stage
    passes: int
    """Passes over the cells of all tasks."""
    tables: tuple[CellTable, ...]
    """Made at the end."""
    repeated: tuple[CellTable, ...] = ()
    """Tables made also before the end, at ``tables_at``."""
    tables_at: StepInterval = StepInterval()
    keep_at: StepInterval = StepInterval()
    """Points at which the state is kept."""
    keep_prefix: str = ""
    """Prefix of the names of the state files."""


def read_story(
    story: Sequence[Mapping[str, Any]], place: Place, guides: Guides,
    splits: Mapping[str, np.ndarray],
) -> tuple[StoryStage, ...]:  # fmt: skip
    """Return the trainings of a story.

    Raises ``UsageError`` for an unknown name, or if there is no training.
    """
    stages: list[StoryStage] = []
    for number, values in enumerate(story):
        here = place / number
        model = lookup(_ACTIONS, str(values.get("action") or "train"), here / "action")
        config = parse(model, values, here)
        if not isinstance(config, TestConfig):
            stages.append(_stage(config, here, guides, splits))
        elif not stages:
            logger.info(f"{here}: a test before any training: left out")
        else:
            tables = (*stages[-1].tables, *read_tables([config], here, splits))
            stages[-1] = replace(stages[-1], tables=tables)
    if not stages:
        fail(place, "it has no training; expected at least one.", "missing_key")
    return tuple(stages)


def _stage(
    config: TrainConfig | HybridConfig, place: Place, guides: Guides,
    splits: Mapping[str, np.ndarray],
) -> StoryStage:  # fmt: skip
    if isinstance(config, TrainConfig):
        task = _task("train", config, place, guides, splits)
        stage, passes = Stage((task,), "joint", config.epochs), config.epochs
    else:
        if config.prog_loss_weight_mode != "epoch_end":
            reason = "weights change at the end of each pass"
            logger.info(f"{place / 'prog_loss_weight_mode'}: {reason}")
        tasks = tuple(
            _task(name, one, place / "split_configs" / name, guides, splits)
            for name, one in config.split_configs.items()
        )
        ticks = config.ticks // (1 if config.hybrid_mode == "sum" else len(tasks))
        n_passes = [ticks // n_batches(task, splits) for task in tasks]
        stage = Stage(tasks, config.hybrid_mode, n_passes[0] + 1, config.ticks)
        passes = sum(n_passes)
    tables = read_tables(config.tests, place / "tests", splits)
    tables_at = StepInterval(
        config.test_segment if config.tests_by_step else 0, config.test_epochs
    )
    if tables and not tables_at:
        logger.info(f"{place / 'tests'}: at the end of this training only")
    return StoryStage(
        stage, passes, tables, tables, tables_at,
        StepInterval(config.keep_segment if config.keeps_by_step else 0, config.keep_epochs),
        config.keep_prefix,
    )  # fmt: skip


def check_split(name: str, splits: Mapping[str, np.ndarray], place: Place) -> str:
    """Return the split's name; raises ``UsageError`` if it is unknown or empty."""
    if not lookup(splits, name, place).any():
        fail(place, f"the split '{name}' has no cell.", "no_cells")
    return name


def n_batches(task: TrainingTask, splits: Mapping[str, np.ndarray]) -> int:
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
    """Return the guides of one kind in a task, each with its terms (``None``: all)."""
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
        guide = lookup(known, name, place / name)
        terms = _terms(one, guide, place / name)
        all_terms = {term for part in guide.terms.values() for term in part.values() if term}
        if terms:
            selected[name] = None if set(terms) == all_terms else terms
        else:
            logger.info(f"{place / name}: nothing of it is trained; left out")
    return selected


def _terms(selection: SelectionConfig, guide: OriginalGuide, place: Place) -> tuple[str, ...]:
    """Return the selected terms of a guide."""
    terms: list[str] = []
    for part, names in guide.terms.items():
        given = getattr(selection, part)
        chosen = tuple(names) if given == "*" else given
        terms += filter(None, (lookup(names, name, place / part) for name in chosen))
        for name, term in names.items():
            if term in terms and name not in chosen:
                reason = "is trained too: it is of the same kind as another"
                logger.info(f"{place / part}: '{name}' {reason}")
    return tuple(dict.fromkeys(terms))


def read_tables(
    tests: Sequence[TestConfig], place: Place, splits: Mapping[str, np.ndarray]
) -> tuple[CellTable, ...]:
    """Return the tables of tests; tests without columns have none."""
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
