"""Reader of the original's main configuration and the files that it names.

``bench fit sakura FILE --config config.json`` trains its story on the counts in FILE, which are
log-normalised as in the original's tutorial. Ignored settings are logged. Errors name file and
key.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.errors import UsageError
from bench.messages import did_you_mean

from ..config_model import Place, fail, find_file, named_errors, parse, read_json, require
from ..features import read_phenotypes
from ..guidance import EMBEDDING, RECONSTRUCTION_LOSSES, Guidance
from ..loss_terms import layer_widths
from ..model_settings import SakuraSettings
from ..network import Layout
from ..training import decile_split
from .guides import (
    OriginalGuide,
    frozen_parts,
    translate_losses,
    translate_phenotype,
    translate_priors,
    translate_signature,
)
from .schema import DatasetConfig, LayersConfig, MainConfig
from .story import CellTable, Guides, StoryStage, check_split, read_story

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OriginalSetup:
    """A configuration checked against the data."""

    settings: SakuraSettings
    guidance: Guidance
    values: dict[str, np.ndarray]
    """Values of the cells by phenotype."""
    splits: dict[str, np.ndarray]
    """Masks of the cells."""
    story: tuple[StoryStage, ...]

    def epoch(self, number: int) -> int:
        """Return the original's epoch counter: passes over all tasks up to this training."""
        return sum(one.passes for one in self.story[: number + 1])

    def tables(self) -> list[tuple[int, str, CellTable]]:
        """Return training number, name and content of each table."""
        tables: dict[str, tuple[int, str, CellTable]] = {}
        for number, training in enumerate(self.story):
            for one in training.tables:
                plain = name = f"{self.epoch(number)}_{one.prefix}"
                again = 1
                while name in tables:
                    again += 1
                    name = f"{plain}_{again}"
                tables[name] = (number, name, one)
        return list(tables.values())


def read_setup(path: Path, adata: AnnData) -> OriginalSetup:
    """Return a configuration for these data (cells × genes, with ``obs``).

    Raises ``UsageError`` that names file and key.
    """
    place = Place(path)
    config = parse(MainConfig, read_json(path), place)
    table = _cells_table(config.dataset, place / "dataset", adata)
    guides = _guides(config.dataset, place / "dataset", adata, table)
    signatures, phenotypes = (
        tuple(one.guide for one in named.values()) for named in guides.values()
    )
    with named_errors(place):
        guidance = Guidance(signatures, phenotypes)  # type: ignore[arg-type]
        Layout(guidance, config.latent.latent_dim)
    splits = _splits(config, place, adata.obs_names, guides)
    story = read_story(config.story, place / "story", guides, splits)
    settings = _settings(config, place, guidance, story)
    values = read_phenotypes(guidance, table, adata.obsm)
    return OriginalSetup(settings, guidance, values, splits, story)


def _guides(
    data: DatasetConfig, place: Place, adata: AnnData, table: pd.DataFrame
) -> dict[str, dict[str, OriginalGuide]]:
    guides: dict[str, dict[str, OriginalGuide]] = {"signature": {}, "pheno": {}}
    if data.selected_signature:
        key, features = "signature_config_path", frozenset(map(str, adata.var_names))
        file = require(data.signature_config_path, place / key)
        for name, values, here in _selected(data.selected_signature, file, place):
            guides["signature"][name] = translate_signature(values, here, features)
    if data.selected_pheno:
        path = data.pheno_meta_path or data.pheno_config_path
        file = require(path, place / "pheno_meta_path")
        columns = dict.fromkeys(map(str, table.columns), 1)
        columns |= {
            f"{EMBEDDING}{name}": int(np.prod(np.shape(one)[1:]))
            for name, one in adata.obsm.items()
        }
        for name, values, here in _selected(data.selected_pheno, file, place):
            guides["pheno"][name] = translate_phenotype(values, here, columns)
    return guides


def _selected(
    names: tuple[str, ...], file: Path, place: Place
) -> Iterator[tuple[str, Any, Place]]:
    """Yield name, content and place of the selected guides of a file."""
    content = read_json(file)
    for name in names:
        if name not in content:
            hint = did_you_mean(name, list(content))
            fail(place, f"the selected '{name}' is not in {file}.{hint}", "unknown_name")
        yield name, content[name], Place(file) / name


def _cells_table(data: DatasetConfig, place: Place, adata: AnnData) -> pd.DataFrame:
    """Return the columns of ``pheno_csv_path`` and of the data."""
    table = adata.obs
    if not data.pheno_csv_path:
        return table
    path = find_file(Path(data.pheno_csv_path), place.file.parent)
    if path is None:
        reason = f"no file {data.pheno_csv_path}: the columns of the data are taken"
        logger.info(f"{place / 'pheno_csv_path'}: {reason}")
        return table
    given = _read_cells(path, table.index)
    return given.join(table[[name for name in table.columns if name not in given.columns]])


def _read_cells(path: Path, cells: pd.Index) -> pd.DataFrame:
    """Return a CSV table with its rows in the order of the cells."""
    try:
        table = pd.read_csv(path, index_col=0)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as CSV: {error}.", code="unreadable") from None
    table.index = table.index.astype(str)
    lost = [name for name in cells if name not in table.index]
    if lost:
        message = f"{len(lost)} of {len(cells)} cells have no row (the first is '{lost[0]}')"
        fail(path, f"{message}; its first column must name them.", "missing_cells")
    return table.loc[cells]


def _splits(
    config: MainConfig, place: Place, cells: pd.Index, guides: Guides
) -> dict[str, np.ndarray]:
    """Return the masks of all splits, drawn anew with the original's sizes."""
    splits = {"all": np.ones(len(cells), dtype=bool)}
    if config.manual_split:
        splits |= _manual_splits(config.manual_split_pkl_path, place, cells)
    drawn = [("overall", config.split, place / "overall_train_test_split")]
    for kind in ("pheno", "signature"):
        for name, one in guides[kind].items():
            drawn.append((f"{kind}_{name}", one.split, one.place / "split"))
    for name, split, here in drawn:
        if split.type == "none":
            continue
        base = splits[check_split(split.base, splits, here / "base")]
        train_deciles = require(split.train_dec, here / "train_dec")
        masks = decile_split(len(cells), train_deciles, split.seed, base)
        splits[f"{name}_train"], splits[f"{name}_test"] = masks
    if len(splits) > 1:
        logger.info(f"{place}: splits have the sizes of the original, not its cells")
    return splits


def _manual_splits(path: Path | None, place: Place, cells: pd.Index) -> dict[str, np.ndarray]:
    """Return the splits of a CSV table of 0 and 1, cells × splits."""
    if path is None or path.suffix == ".pkl":
        message = (
            "pickle files can run code and are not read; expected a .csv file: cells in rows, one "
            "column of 0 and 1 a split."
        )
        fail(place / "manual_split_pkl_path", message, "unknown_format")
    table = _read_cells(path, cells)
    return {str(name): table[name].to_numpy().astype(bool) for name in table.columns}


def _settings(
    config: MainConfig, place: Place, guidance: Guidance, story: tuple[StoryStage, ...]
) -> SakuraSettings:
    """Return network and training; ignored settings are logged."""
    latent, encoder, decoder = config.latent, config.encoder, config.latent.decoder
    width = latent.encoder_neurons
    hidden = _hidden_widths(encoder, width, 1, place / "pre_encoder_config")
    hidden = (*hidden, encoder.pre_encoder_out_dim or width)
    here = place / "main_latent"
    decoder_hidden = _hidden_widths(decoder, latent.decoder_neurons, 2, here / "decoder_config")
    optimizer, dropout = config.optimizer, dict[str, Any](encoder.dropout_rates)
    frozen = frozen_parts(optimizer.excludes, guidance, place / "optimizer" / "excludes")
    with named_errors(place):
        return SakuraSettings(
            n_top_features=None, n_latent=latent.latent_dim, hidden=hidden,
            encoder_layers=len(hidden), decoder_hidden=decoder_hidden,
            decoder_layers=len(decoder_hidden) + 1, latent_activation="celu",
            output_activation=decoder.activation or "relu",
            reconstruction=translate_losses(latent.loss, here, RECONSTRUCTION_LOSSES),
            regularizers=translate_priors(latent.regularization, here),
            stages=tuple(one.stage for one in story), optimizer="rmsprop", frozen=frozen,
            learning_rate=optimizer.learning_rate, alpha=optimizer.alpha,
            weight_decay=optimizer.weight_decay, momentum=optimizer.momentum,
            validation=0.0, **dropout,
        )  # fmt: skip


def _hidden_widths(
    layers: LayersConfig, width: int, n_hidden: int, place: Place
) -> tuple[int, ...]:
    """Return the widths of the layers before the output.

    ``width`` and ``n_hidden`` are the defaults of a configuration without them. Raises
    ``UsageError`` unless a list of widths has one for each of ``hidden_layers`` but the last.
    """
    given = width if layers.width is None else layers.width
    if layers.n_layers is not None:
        n_hidden = layers.n_layers - 1
    elif isinstance(given, tuple):
        n_hidden = len(given)
    widths = layer_widths(given, n_hidden)
    if len(widths) != n_hidden:
        message = f"{len(widths)} widths; hidden_layers={layers.n_layers} needs {n_hidden}."
        fail(place / "hidden_neurons", message, "wrong_width")
    return widths
