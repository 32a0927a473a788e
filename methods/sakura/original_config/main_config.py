"""The original's JSON files: read, checked against the data, and translated.

``bench fit sakura FILE --config config.json`` trains what the main configuration and the files it
names ask for, on the counts in FILE (log-normalised here, as the original's tutorial does before).
What cannot be done here is named line by line; what is wrong is one line with file and key.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.errors import UsageError
from bench.messages import did_you_mean

from ..config_section import Section, read_json
from ..features import read_phenotypes
from ..guidance import RECONSTRUCTION_LOSSES, Guidance, Phenotype, Signature
from ..model_settings import Settings, Stage, Task
from ..training import decile_split
from .guide_configs import (
    TermNames,
    dropout_of,
    excluded_parts,
    losses_of,
    phenotype_of,
    regularizers_of,
    signature_of,
    term_names,
)
from .story import Table, Training, own_ticks, read_story

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)
_MAIN = {
    "remarks", "log_path", "reproducible", "rnd_seed", "dataset", "device", "manual_split",
    "manual_split_pkl_path", "overall_train_test_split", "main_latent", "pre_encoder_config",
    "optimizer", "dump_configs", "dump_splits", "preslice_tests", "persist_test_set", "story",
    "verbose",
}  # fmt: skip
_DATASET = {
    "type", "expr_csv_path", "gene_expr_MM_path", "gene_name_csv_path", "cell_name_csv_path",
    "pheno_csv_path", "pheno_meta_path", "pheno_config_path", "pheno_df_dtype",
    "pheno_df_na_filter", "signature_config_path", "expr_mat_pre_slice", "selected_pheno",
    "selected_signature", "remarks",
}  # fmt: skip
_LATENT = {
    "encoder_neurons", "decoder_neurons", "latent_dim", "loss", "regularization",
    "encoder_config", "decoder_config", "remarks",
}  # fmt: skip
_LAYERS = {
    "hidden_layers", "hidden_neurons", "output_activation_function", "pre_encoder_out_dim",
    "dropout", "dropout_input", "dropout_hidden", "dropout_input_p", "dropout_hidden_p",
}  # fmt: skip
_OPTIMIZER = {
    "type", "RMSProp_lr", "RMSProp_alpha", "RMSProp_weight_decay", "RMSProp_momentum", "excludes",
    "remarks",
}  # fmt: skip
_SPLIT = ("type", "base", "train_dec", "seed")


@dataclass
class Setup:
    """All that a configuration asks for, checked against the data."""

    settings: Settings
    guidance: Guidance
    values: dict[str, np.ndarray]
    """Phenotype → values of the cells."""
    splits: dict[str, np.ndarray]
    """Split → mask of the cells."""
    story: tuple[Training, ...]

    def epoch(self, number: int) -> int:
        """Return the original's epoch counter after a training, counted from 0.

        These are the passes over the cells of all tasks, in this training and those before.
        """
        return sum(self._passes(one) for one in self.story[: number + 1])

    def tables(self) -> list[tuple[int, str, Table]]:
        """Return number of the training, name and content of each table, in their order."""
        found: dict[str, tuple[int, str, Table]] = {}
        for number, training in enumerate(self.story):
            for one in training.tables:
                plain = name = f"{self.epoch(number)}_{one.prefix}"
                for again in itertools.count(2):
                    if name not in found:
                        break
                    name = f"{plain}_{again}"
                found[name] = (number, name, one)
        return list(found.values())

    def _passes(self, training: Training) -> int:
        return training.epochs or sum(
            own_ticks(training) // self.n_batches(task) for task in training.tasks
        )

    def n_batches(self, task: Task) -> int:
        """Return the batches in a pass over the cells of a task."""
        n_cells = int(self.splits[task.split].sum())
        return max(1, math.ceil(n_cells / (task.batch_size or self.settings.batch_size)))


def read_setup(path: Path, adata: AnnData) -> Setup:
    """Return what a main configuration asks for on these data (cells × genes, with ``obs``).

    Raises ``UsageError`` that names file and key: an unknown key, gene, column, split or name, a
    width that does not fit, a value of the wrong kind.
    """
    config = Section(read_json(path), path, "", _MAIN)
    _unused(config)
    data = config.section("dataset", _DATASET)
    features = [str(name) for name in adata.var_names]
    signatures = _signatures(data, features)
    table = _cells_table(data, adata)
    phenotypes = _phenotypes(data, table)
    latent = config.section("main_latent", _LATENT)
    _check_widths(data, latent.integer("latent_dim"), signatures, phenotypes)
    try:
        guidance = Guidance(tuple(signatures), tuple(phenotypes))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    splits = _splits(config, data, adata.obs_names)
    known = {"signature": _terms_of(data, "signature", signatures),
             "pheno": _terms_of(data, "pheno", phenotypes)}  # fmt: skip
    story = read_story(config, known, splits)
    for task in (task for training in story for task in training.tasks):
        if not splits[task.split].any():
            config.fail("story", f"the split '{task.split}' of '{task.name}' has no cell.")
    setup = Setup(
        settings=Settings(), guidance=guidance, values=read_phenotypes(guidance, table),
        splits=splits, story=story,
    )  # fmt: skip
    setup.settings = _settings(config, latent, setup)
    for number, name, one in setup.tables():
        if name != (plain := f"{setup.epoch(number)}_{one.prefix}"):
            logger.info(f"{path}: story: a second table {plain}.csv is called {name}.csv")
    return setup


def _unused(config: Section) -> None:
    """Name the keys that are known and do nothing here."""
    if "rnd_seed" in config:
        logger.info(f"{config.file}: rnd_seed: not used; give --seed {config.integer('rnd_seed')}")
    if "log_path" in config:
        logger.info(f"{config.file}: log_path: not used; results go to --out")
    if str(config.get("device", "cpu")) != "cpu":
        logger.info(f"{config.file}: device: not used; --device says where it runs")
    for key in ("dump_configs", "dump_splits"):
        if config.flag(key):
            logger.info(f"{config.file}: {key}: not used; fit.json says what was done")


def _beside(section: Section, key: str) -> Path | None:
    """Return a file that a configuration names: beside it, else from the current folder."""
    if not section.get(key, ""):
        return None
    named = Path(section.text(key)).expanduser()
    for path in (section.file.parent / named, section.file.parent / named.name, named):
        if path.is_file():
            return path
    section.fail(key, f"no such file: {named} (looked in {section.file.parent} and here).")


def _guide_file(data: Section, kind: str) -> Path | None:
    """Return the file of the signatures, or of the phenotypes, which has two names."""
    if kind == "signature":
        return _beside(data, "signature_config_path")
    return _beside(data, "pheno_meta_path") or _beside(data, "pheno_config_path")


def _signatures(data: Section, features: Sequence[str]) -> list[Signature]:
    selected = data.texts("selected_signature", ())
    path = _guide_file(data, "signature") if selected else None
    if selected and path is None:
        data.fail("signature_config_path", "is missing; selected_signature needs it.")
    if path is None:
        return []
    config = Section(read_json(path), path)
    for name in selected:
        _among(data, "selected_signature", name, config)
    known = frozenset(features)
    return [signature_of(name, config, known) for name in selected]


def _phenotypes(data: Section, table: pd.DataFrame) -> list[Phenotype]:
    selected = data.texts("selected_pheno", ())
    if not selected:
        return []
    path = _guide_file(data, "pheno")
    if path is None:
        data.fail("pheno_meta_path", "is missing; selected_pheno needs it.")
    config = Section(read_json(path), path)
    for name in selected:
        _among(data, "selected_pheno", name, config)
    columns = [str(column) for column in table.columns]
    return [phenotype_of(name, config, columns) for name in selected]


def _terms_of(
    data: Section, kind: str, guides: Sequence[Signature | Phenotype]
) -> dict[str, TermNames]:
    """Return how the losses and regularisers of each guide are called in its file and here."""
    path = _guide_file(data, kind) if guides else None
    if path is None:
        return {}
    config = Section(read_json(path), path)
    return {one.name: term_names(config.section(one.name), one) for one in guides}


def _among(data: Section, key: str, name: str, config: Section) -> None:
    if name not in config.values:
        hint = did_you_mean(name, list(config.values))
        data.fail(key, f"'{name}' is not in {config.file}.{hint}")


def _cells_table(data: Section, adata: AnnData) -> pd.DataFrame:
    """Return the columns of the cells: of the data, and of ``pheno_csv_path`` if it is there."""
    table = adata.obs
    named = data.get("pheno_csv_path", "")
    if not named:
        return table
    beside = [data.file.parent / named, data.file.parent / Path(named).name, Path(named)]
    path = next((one for one in beside if one.is_file()), None)
    if path is None:
        logger.info(f"{data.file}: {data.path('pheno_csv_path')}: {named} is not there: the columns of "
            "the data themselves are taken")  # fmt: skip
        return table
    try:
        given = pd.read_csv(path, index_col=0)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as CSV: {error}.") from None
    given.index = given.index.astype(str)
    lost = [name for name in table.index if name not in given.index]
    if lost:
        raise UsageError(
            f"{path}: {len(lost)} of {len(table)} cells have no row (the first is '{lost[0]}'); "
            "its first column must name them."
        )
    given = given.loc[table.index]
    return given.join(table[[name for name in table.columns if name not in given.columns]])


def _check_widths(
    data: Section, n_latent: int, signatures: Sequence[Signature], phenotypes: Sequence[Phenotype]
) -> None:
    """Compare the width of each attached head with that of what it reads."""
    guides: list[Signature | Phenotype] = [*signatures, *phenotypes]
    own = {guide.name: guide.dim or 0 for guide in guides if guide.parts == ("own",)}
    widths = {"main": n_latent, **own}
    for guide in guides:
        kind = "signature" if isinstance(guide, Signature) else "pheno"
        file = _guide_file(data, kind)
        where = f"{file}: {guide.name}"
        parts = tuple(widths) if guide.parts == ("all",) else guide.parts
        if parts == ("own",):
            continue
        for part in parts:
            if part not in widths:
                raise UsageError(
                    f"{where}.model.attach_key: '{part}' has no dimensions of its own; "
                    f"expected one of {', '.join(own) or 'none'}."
                )
        width = sum(widths[part] for part in parts)
        if guide.dim != width:
            raise UsageError(
                f"{where}.{kind}_lat_dim: {guide.dim}, but what it is attached to "
                f"({' + '.join(parts)}) has {width} dimensions."
            )


def _splits(config: Section, data: Section, cells: Any) -> dict[str, np.ndarray]:
    """Return the masks of all splits; they are drawn anew, with the sizes of the original."""
    found = {"all": np.ones(len(cells), dtype=bool)}
    if config.flag("manual_split"):
        found |= _manual(config, cells)
    drawn = [("overall", config.section("overall_train_test_split", _SPLIT))]
    for kind in ("pheno", "signature"):
        selected = data.texts(f"selected_{kind}", ())
        path = _guide_file(data, kind) if selected else None
        if path is None:
            continue
        config_of = Section(read_json(path), path)
        for name in selected:
            section = config_of.section(name).section("split", _SPLIT)
            drawn.append((f"{kind}_{name}", section))
    for name, section in drawn:
        if section.choice("type", ("auto", "none"), "none") == "none":
            continue
        base = section.text("base", "all")
        if base not in found:
            section.fail("base", f"no split '{base}'; there are {', '.join(found)}.")
        tenths = section.integer("train_dec")
        if not 1 <= tenths <= 10:
            section.fail("train_dec", f"{tenths} is not in 1 to 10.")
        masks = decile_split(len(cells), tenths, section.integer("seed", 0), found[base])
        found[f"{name}_train"], found[f"{name}_test"] = masks
    if len(found) > 1:
        logger.info(f"{config.file}: splits have the sizes of the original, not its cells")
    return found


def _manual(config: Section, cells: Any) -> dict[str, np.ndarray]:
    """Return the splits of a CSV table: cells in rows, one column of 0 and 1 a split."""
    key = "manual_split_pkl_path"
    path = _beside(config, key)
    if path is None or path.suffix == ".pkl":
        config.fail(key, "pickle files can run code and are not read; expected a .csv file: "
                         "cells in rows, one column of 0 and 1 a split.")  # fmt: skip
    table = pd.read_csv(path, index_col=0)
    table.index = table.index.astype(str)
    lost = [name for name in cells if name not in table.index]
    if lost:
        config.fail(key, f"{len(lost)} of {len(cells)} cells have no row (first '{lost[0]}').")
    return {str(name): table.loc[cells, name].to_numpy().astype(bool) for name in table.columns}


def _settings(config: Section, latent: Section, setup: Setup) -> Settings:
    """Return network and training; what has no counterpart is noted."""
    decoder = latent.section("decoder_config", _LAYERS)
    encoder = config.section("pre_encoder_config", _LAYERS)
    optimizer = config.section("optimizer", _OPTIMIZER)
    if "encoder_config" in latent:
        logger.info(
            f"{config.file}: main_latent.encoder_config: the main dimensions have one layer here"
        )
    optimizer.choice("type", ("RMSProp",), "RMSProp")
    hidden = _width(encoder, "hidden_neurons", latent.integer("encoder_neurons"))
    out = encoder.integer("pre_encoder_out_dim", hidden)
    if out != hidden:
        logger.info(
            f"{config.file}: pre_encoder_config.pre_encoder_out_dim: all layers have {hidden}"
        )
    asked = decoder.choice("output_activation_function", ("relu", "softmax", "identity"), "relu")
    if asked == "softmax":
        logger.info(
            f"{config.file}: main_latent.decoder_config: softmax is not possible, relu is taken"
        )
    stages = tuple(
        Stage(
            one.tasks, one.schedule,
            one.epochs or own_ticks(one) // setup.n_batches(one.tasks[0]) + 1, one.ticks,
        )
        for one in setup.story
    )  # fmt: skip
    return Settings(
        n_top_features=None, scale=False, n_latent=latent.integer("latent_dim"), hidden=hidden,
        encoder_layers=encoder.integer("hidden_layers", 2),
        decoder_hidden=_width(decoder, "hidden_neurons", latent.integer("decoder_neurons")),
        decoder_layers=decoder.integer("hidden_layers", 3),
        latent_activation="celu",
        output_activation="identity" if asked == "identity" else "relu",
        reconstruction=losses_of(latent, RECONSTRUCTION_LOSSES),
        regularizers=regularizers_of(latent), stages=stages,
        optimizer="rmsprop", frozen=excluded_parts(optimizer, setup.guidance),
        learning_rate=optimizer.number("RMSProp_lr"), alpha=optimizer.number("RMSProp_alpha"),
        weight_decay=optimizer.number("RMSProp_weight_decay", 0.0),
        momentum=optimizer.number("RMSProp_momentum", 0.0),
        validation=0.0, **dropout_of(encoder),
    )  # fmt: skip


def _width(section: Section, key: str, default: int) -> int:
    values = section.get(key, default)
    if not isinstance(values, list):
        return section.integer(key, default)
    if len(set(values)) > 1:
        logger.info(f"{section.file}: {section.path(key)}: all hidden layers have {values[0]}")
    return int(values[0])
