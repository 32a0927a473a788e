"""The original's ``story``: which training it asks for, and which tables at its end."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from bench.errors import did_you_mean

from .jsonfile import Section
from .settings import Detach, Order, Task

Say = Callable[[str], None]
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
    """One table to write at the end: the cells of a split, and what of them."""

    split: str
    prefix: str
    parts: tuple[str, ...]
    """Of ``latent``, ``pre_encoder``, ``reconstruction``, ``phenotypes``, ``signatures``."""
    gene_names: bool
    """Columns of the reconstruction are called by the genes, else ``re_x.1``, ``re_x.2``, …"""


@dataclass(frozen=True)
class Story:
    """One training and the tables after it."""

    tasks: tuple[Task, ...]
    schedule: Order
    epochs: int
    """0: bounded by ``ticks``."""
    ticks: int
    tables: tuple[Table, ...]


def read_story(
    config: Section, guides: dict[str, tuple[str, ...]], splits: Collection[str], say: Say
) -> Story:
    """Return the training of a story; ``guides``: names of ``signature`` and ``pheno``.

    Raises ``UsageError`` for what is not known, and for several trainings in a row, which would
    end in another model.
    """
    trainings: list[Section] = []
    tests: list[Section] = []
    for number, values in enumerate(config.objects("story")):
        item = Section(values, config.file, f"story[{number}]")
        action = item.choice("action", (*_TRAINING, "test"), "train")
        (tests if action == "test" else trainings).append(item)
    if len(trainings) != 1:
        config.fail(
            "story",
            f"{len(trainings)} trainings; expected one (several parts of one training: an action "
            "train_hybrid with split_configs).",
        )
    item = trainings[0]
    hybrid = item.choice("action", _TRAINING, "train") != "train"
    fast = _FAST if item.get("action", "") == "train_hybrid_fastload" else set()
    known = _HYBRID | fast if hybrid else _TRAIN
    item = Section(item.values, item.file, item.where, known)
    _ignored(item, say)
    tests += [
        Section(values, item.file, f"{item.path('tests')}[{number}]")
        for number, values in enumerate(item.objects("tests"))
    ]
    tables = [_table(one, splits, say) for one in tests]
    kept = tuple(table for table in tables if table is not None)
    if not hybrid:
        task = _task("train", item, guides, splits, say)
        return Story((task,), "joint", item.integer("epochs"), 0, kept)
    if item.get("hybrid_mode", "") == "pattern":
        item.fail("hybrid_mode", "pattern was never written; expected interleave or sum.")
    mode = item.choice("hybrid_mode", _MODES, "interleave")
    if item.text("prog_loss_weight_mode", "epoch_end") != "epoch_end":
        say(f"{item.file}: {item.path('prog_loss_weight_mode')}: weights change at the end of "
            "each pass")  # fmt: skip
    configs = item.section("split_configs")
    tasks = tuple(
        _task(name, configs.section(name, _TASK), guides, splits, say) for name in configs
    )
    if not tasks:
        item.fail("split_configs", "is empty; expected at least one.")
    return Story(tasks, mode, 0, item.integer("ticks", 50_000), kept)


def _ignored(item: Section, say: Say) -> None:
    """Say which keys ask for what is done otherwise here."""
    if any(key.startswith("checkpoint") or key == "perform_checkpoint" for key in item):
        say(f"{item.file}: {item.where}: no checkpoint is written; the fitted model is")
    if item.objects("tests"):
        say(f"{item.file}: {item.path('tests')}: at the end of the training only")
    fast = sorted(_FAST & set(item))
    if fast:
        say(f"{item.file}: {item.where}: {', '.join(fast)}: cells are read from memory here")


def _task(
    name: str, item: Section, guides: dict[str, tuple[str, ...]], splits: Collection[str], say: Say
) -> Task:
    chosen = [
        guide
        for kind in ("signature", "pheno")
        for guide in _chosen(item, kind, guides[kind], say)
    ]
    detach: Detach = "none"
    if item.flag("detach") or "detach_from" in item:
        asked = item.choice("detach_from", _DETACHED, "pre_encoder")
        detach = asked if item.flag("detach") else "none"
    task = Task(
        name, reconstruct=item.flag("train_main_latent"), guides=tuple(chosen),
        split=_split(item, "use_split", splits), batch_size=item.integer("batch_size", 50),
        detach=detach,
    )  # fmt: skip
    if not task.reconstruct and not task.guides:
        raise_at = "train_main_latent"
        item.fail(raise_at, "nothing is trained: neither reconstruction nor a guide.")
    return task


def _chosen(item: Section, kind: str, names: tuple[str, ...], say: Say) -> list[str]:
    """Return the guides of one kind that a task trains."""
    key = f"selected_{kind}"
    if not item.flag(f"train_{kind}"):
        if key in item:
            say(f"{item.file}: {item.path(key)}: ignored, train_{kind} is off")
        return []
    if key not in item:
        return list(names)
    found = []
    for name in item.section(key):
        if name not in names:
            hint = did_you_mean(name, list(names))
            item.section(key).fail(name, f"is not among dataset.selected_{kind}.{hint}")
        terms = item.section(key).section(name, ("loss", "regularization"))
        if terms.get("loss", "*") == []:
            say(f"{item.file}: {terms.where}: regularised alone is not possible; left out")
            continue
        for part in ("loss", "regularization"):
            if terms.get(part, "*") != "*":
                say(f"{item.file}: {terms.path(part)}: all of its terms are trained")
        found.append(name)
    return found


def _split(item: Section, key: str, splits: Collection[str]) -> str:
    name = item.text(key)
    if name not in splits:
        item.fail(key, f"no split '{name}'.{did_you_mean(name, sorted(splits))}")
    return name


def _table(item: Section, splits: Collection[str], say: Say) -> Table | None:
    item = Section(item.values, item.file, item.where, _TEST)
    parts = tuple(part for key, part in _DUMPS.items() if item.flag(key))
    split = _split(item, "on_split", splits)
    if item.text("compression", "none") != "none":
        say(f"{item.file}: {item.path('compression')}: tables are plain CSV")
    naming: Any = item.choice("reconstructed_output_naming", ("dimid", "genenames"), "dimid")
    prefix = item.text("latent_prefix", "")
    return Table(split, prefix, parts, naming == "genenames") if parts else None
