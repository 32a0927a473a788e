"""The original's ``story``: the trainings it asks for in a row, and the tables after each."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.messages import did_you_mean

from ..config_section import Section
from ..model_settings import Detach, Order, Task
from .guide_configs import TermNames

logger = logging.getLogger(__name__)
Guides = Mapping[str, Mapping[str, TermNames]]
"""``signature`` and ``pheno`` → name → its losses and regularisers."""
_TRAINING = ("train", "train_hybrid", "train_hybrid_fastload")
_MODES: tuple[Order, ...] = ("interleave", "sum")
_DETACHED: tuple[Detach, ...] = ("pre_encoder", "encoder")
_LOGS = {
    "make_logs", "log_prefix", "log_loss_groups", "save_raw_loss", "remark", "remarks",
    "test_every_epoch", "test_on_segment", "test_segment", "perform_test", "tests",
    "checkpoint_on_segment", "checkpoint_segment", "checkpoint_prefix", "checkpoint_save_arch",
    "checkpoint_every_epoch", "perform_checkpoint", "preslice_tests",
}  # fmt: skip
_TASK = {
    "use_split", "batch_size", "train_main_latent", "train_pheno", "train_signature",
    "selected_pheno", "selected_signature", "detach", "detach_from", "remark", "remarks",
}  # fmt: skip
_FAST = {"dataloader_num_workers", "drop_last", "prefetch_strategy", "reuse_factor"}
_HYBRID = _LOGS | {
    "action", "ticks", "hybrid_mode", "prog_loss_weight_mode", "loss_prog_on_test",
    "loss_weights_to_prog_on_test", "split_configs",
}  # fmt: skip
_TRAIN = _LOGS | _TASK | {"action", "epochs"}
_DUMPS = {
    "dump_latent": "latent", "dump_pre_encoder_output": "pre_encoder",
    "dump_reconstructed_output": "reconstruction", "dump_predicted_phenos": "phenotypes",
    "dump_predicted_signatures": "signatures",
}  # fmt: skip
_TEST = {*_DUMPS, "action", "on_split", "latent_prefix", "make_logs", "log_prefix", "compression",
         "reconstructed_output_naming", "test_main", "test_pheno", "test_signature",
         "selected_pheno", "selected_signature", "log_loss_groups", "save_raw_loss", "remark",
         "remarks"}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """One table to write after a training: the cells of a split, and what of them."""

    split: str
    prefix: str
    parts: tuple[str, ...]
    """Of ``latent``, ``pre_encoder``, ``reconstruction``, ``phenotypes``, ``signatures``."""
    gene_names: bool
    """Columns of the reconstruction are called by the genes, else ``re_x.1``, ``re_x.2``, …"""


@dataclass(frozen=True)
class Training:
    """One training and the tables after it."""

    tasks: tuple[Task, ...]
    schedule: Order
    epochs: int
    """0: bounded by ``ticks``."""
    ticks: int
    tables: tuple[Table, ...]


def read_story(config: Section, guides: Guides, splits: Collection[str]) -> tuple[Training, ...]:
    """Return the trainings of a story in their order; ``say`` hears what is done otherwise.

    Raises ``UsageError`` for what is not known, and for a story that trains nothing.
    """
    found: list[Training] = []
    for number, values in enumerate(config.objects("story")):
        item = Section(values, config.file, f"story[{number}]")
        if item.choice("action", (*_TRAINING, "test"), "train") != "test":
            found.append(_training(item, guides, splits))
            continue
        table = _table(item, splits)
        if not found:
            logger.info(f"{item.file}: {item.where}: a test before any training: left out")
        elif table is not None:
            found[-1] = replace(found[-1], tables=(*found[-1].tables, table))
    if not found:
        config.fail("story", "it has no training; expected at least one.")
    return tuple(found)


def _training(item: Section, guides: Guides, splits: Collection[str]) -> Training:
    hybrid = item.choice("action", _TRAINING, "train") != "train"
    fast = _FAST if item.get("action", "") == "train_hybrid_fastload" else set()
    known = _HYBRID | fast if hybrid else _TRAIN
    item = Section(item.values, item.file, item.where, known)
    _ignored(item)
    tests = [
        Section(values, item.file, f"{item.path('tests')}[{number}]")
        for number, values in enumerate(item.objects("tests"))
    ]
    tables = [_table(one, splits) for one in tests]
    kept = tuple(table for table in tables if table is not None)
    if not hybrid:
        task = _task("train", item, guides, splits)
        return Training((task,), "joint", _length(item, "epochs"), 0, kept)
    if item.get("hybrid_mode", "") == "pattern":
        item.fail("hybrid_mode", "pattern was never written; expected interleave or sum.")
    mode = item.choice("hybrid_mode", _MODES, "interleave")
    if item.text("prog_loss_weight_mode", "epoch_end") != "epoch_end":
        logger.info(f"{item.file}: {item.path('prog_loss_weight_mode')}: weights change at the end of "
            "each pass")  # fmt: skip
    configs = item.section("split_configs")
    tasks = tuple(_task(name, configs.section(name, _TASK), guides, splits) for name in configs)
    if not tasks:
        item.fail("split_configs", "is empty; expected at least one.")
    return Training(tasks, mode, 0, _length(item, "ticks", 50_000), kept)


def own_ticks(training: Training) -> int:
    """Return how many of a training's ticks train each of its tasks."""
    return training.ticks // (1 if training.schedule == "sum" else len(training.tasks))


def _length(item: Section, key: str, *default: int) -> int:
    found = item.integer(key, *default)
    if found < 1:
        item.fail(key, f"{found} is below 1.")
    return found


def _ignored(item: Section) -> None:
    """Say which keys ask for what is done otherwise here."""
    if any(key.startswith("checkpoint") or key == "perform_checkpoint" for key in item):
        logger.info(f"{item.file}: {item.where}: no checkpoint is written; the fitted model is")
    if item.objects("tests"):
        logger.info(f"{item.file}: {item.path('tests')}: at the end of this training only")
    fast = sorted(_FAST & set(item))
    if fast:
        logger.info(
            f"{item.file}: {item.where}: {', '.join(fast)}: cells are read from memory here"
        )


def _task(name: str, item: Section, guides: Guides, splits: Collection[str]) -> Task:
    chosen: dict[str, tuple[str, ...] | None] = {}
    for kind in ("signature", "pheno"):
        chosen |= _chosen(item, kind, guides[kind])
    detach: Detach = "none"
    if item.flag("detach") or "detach_from" in item:
        asked = item.choice("detach_from", _DETACHED, "pre_encoder")
        detach = asked if item.flag("detach") else "none"
    task = Task(
        name, reconstruct=item.flag("train_main_latent"), guides=tuple(chosen),
        split=_split(item, "use_split", splits), batch_size=item.integer("batch_size", 50),
        detach=detach, terms={guide: part for guide, part in chosen.items() if part is not None},
    )  # fmt: skip
    if not task.reconstruct and not task.guides:
        raise_at = "train_main_latent"
        item.fail(raise_at, "nothing is trained: neither reconstruction nor a guide.")
    return task


def _chosen(
    item: Section, kind: str, known: Mapping[str, TermNames]
) -> dict[str, tuple[str, ...] | None]:
    """Return the guides of one kind that a task trains, each with its terms (``None``: all)."""
    key = f"selected_{kind}"
    if not item.flag(f"train_{kind}"):
        if key in item:
            logger.info(f"{item.file}: {item.path(key)}: ignored, train_{kind} is off")
        return {}
    if key not in item:
        return dict.fromkeys(known)
    found: dict[str, tuple[str, ...] | None] = {}
    for name in item.section(key):
        if name not in known:
            hint = did_you_mean(name, list(known))
            item.section(key).fail(name, f"is not among dataset.selected_{kind}.{hint}")
        asked = item.section(key).section(name, ("loss", "regularization"))
        terms = _terms(asked, known[name])
        if terms:
            every = {term for part in known[name].values() for term in part.values() if term}
            found[name] = None if set(terms) == every else terms
        else:
            logger.info(f"{item.file}: {asked.where}: nothing of it is trained; left out")
    return found


def _terms(asked: Section, known: TermNames) -> tuple[str, ...]:
    """Return the terms of a guide that are asked for, by our names."""
    found: list[str] = []
    for part, names in known.items():
        wanted = tuple(names) if asked.get(part, "*") == "*" else asked.texts(part)
        for name in wanted:
            if name not in names:
                asked.fail(part, f"no '{name}'.{did_you_mean(name, list(names))}")
        chosen = [names[name] for name in wanted if names[name]]
        for name, term in names.items():
            if term in chosen and name not in wanted:
                logger.info(f"{asked.file}: {asked.path(part)}: '{name}' is trained too: it is of the "
                    "same kind as another")  # fmt: skip
        found += chosen
    return tuple(dict.fromkeys(found))


def _split(item: Section, key: str, splits: Collection[str]) -> str:
    name = item.text(key)
    if name not in splits:
        item.fail(key, f"no split '{name}'.{did_you_mean(name, sorted(splits))}")
    return name


def _table(item: Section, splits: Collection[str]) -> Table | None:
    item = Section(item.values, item.file, item.where, _TEST)
    parts = tuple(part for key, part in _DUMPS.items() if item.flag(key))
    split = _split(item, "on_split", splits)
    if item.text("compression", "none") != "none":
        logger.info(f"{item.file}: {item.path('compression')}: tables are plain CSV")
    naming: Any = item.choice("reconstructed_output_naming", ("dimid", "genenames"), "dimid")
    prefix = item.text("latent_prefix", "")
    return Table(split, prefix, parts, naming == "genenames") if parts else None
