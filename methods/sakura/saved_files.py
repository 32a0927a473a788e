"""Files of fitted models, and tables of their predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.errors import DataError, UsageError

from .checkpoints import FINAL_STATE, MODEL_FILE
from .config_model import Place, fail, lookup, parse, read_json
from .guidance import EMBEDDING, Signature
from .original_config.schema import TestConfig
from .original_config.story import read_tables
from .original_config.tables import cell_table

if TYPE_CHECKING:
    from anndata import AnnData

    from .guidance import Phenotype
    from .model import SakuraModel

_OF_ONE_STAGE = frozenset(
    {"schedule", "batch_size", "max_epochs", "max_ticks", "train_deciles", "patience"}
)
"""Settings that stages replace."""
_MODEL_FOLDERS = ("model", "", "artifacts/model")


def find_file(path: Path, *, state: bool = False) -> Path:
    """Return the model file of a fit, or the file of its last state.

    ``path``: the file itself, the folder of ``bench fit`` or the artifacts of a job. Raises
    ``UsageError`` if there is none.
    """
    if path.is_file():
        return path
    name = FINAL_STATE if state else MODEL_FILE
    files = [path / folder / name for folder in _MODEL_FOLDERS]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        message = f"{path}: no {name} of SAKURA in it; give what 'bench fit sakura' wrote."
        raise UsageError(message, code="no_model")
    return found


def in_split(model: SakuraModel, data: AnnData, split: str, owner: object) -> AnnData:
    """Return the cells of a split of the fit, by name; ``all`` means all of the data.

    Raises ``UsageError`` for an unknown split, ``DataError`` if it has none of the cells.
    """
    mask = lookup(model.masks, split, owner)
    if split == "all":
        return data
    names = {name for name, inside in zip(model.cells, mask, strict=True) if inside}
    found = np.array([str(name) in names for name in data.obs_names])
    if not found.any():
        message = f"{owner}: none of these {data.n_obs} cells is in split '{split}' of the fit"
        raise DataError(f"{message}; 'all' takes all of them.", code="no_cells")
    return data[found]


def predictions(
    model: SakuraModel, data: AnnData, split: str = "all", *, reconstruct: bool = True
) -> dict[str, pd.DataFrame]:
    """Return every space, every head and the reconstruction of the cells of a split.

    Names are ``latent_PART``, ``signature_NAME`` (genes), ``phenotype_NAME`` (values, or the
    predicted class and the probability of each) and ``reconstruction``.
    """
    data = in_split(model, data, split, "--split")
    cells = pd.Index(data.obs_names, name="cell")
    tables: dict[str, pd.DataFrame] = {}
    for part in model.network.layout.slices:
        latent = model.transform(data, part)
        names = [f"{part}.{number + 1}" for number in range(latent.shape[1])]
        tables[f"latent_{part}"] = pd.DataFrame(latent, cells, names)
    for guide in model.guidance.guides:
        if isinstance(guide, Signature):
            values = model.predict_signature(data, guide.name)
            tables[f"signature_{guide.name}"] = pd.DataFrame(values, cells, list(guide.targets))
        else:
            tables[f"phenotype_{guide.name}"] = predicted_phenotype(model, data, guide)
    if reconstruct:
        reconstruction = model.reconstruct(data)
        tables["reconstruction"] = pd.DataFrame(reconstruction, cells, model.inputs)
    return tables


def predicted_phenotype(model: SakuraModel, data: AnnData, guide: Phenotype) -> pd.DataFrame:
    """Return values, or the likeliest class (``predicted``) and the probability of each class."""
    cells = pd.Index(data.obs_names, name="cell")
    values = model.predict_phenotype(data, guide.name)
    if guide.name in model.classes:
        classes = model.classes[guide.name]
        table = pd.DataFrame(values, cells, classes)
        table.insert(0, "predicted", np.asarray(classes, dtype=object)[values.argmax(axis=1)])
        return table
    names = list(guide.columns)
    if len(names) != values.shape[1]:
        base = names[0].removeprefix(EMBEDDING) if len(names) == 1 else guide.name
        names = [f"{base}.{number + 1}" for number in range(values.shape[1])]
    return pd.DataFrame(values, cells, names)


def story_tables(model: SakuraModel, data: AnnData, path: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of an inference story of the original, a list or object of tests.

    Names begin with the original's counter of epochs. Raises ``UsageError`` or ``DataError`` that
    names file and key.
    """
    content: Any = read_json(path)
    items = content.items() if isinstance(content, dict) else enumerate(content)
    tests = {Place(path) / key: parse(TestConfig, one, Place(path) / key) for key, one in items}
    tables: dict[str, pd.DataFrame] = {}
    for place, test in tests.items():
        for one in read_tables([test], place, model.masks):
            name = f"{model.passes}_{one.prefix or one.split}"
            name += f"_{len(tables) + 1}" if name in tables else ""
            chosen = in_split(model, data, one.split, place / "on_split")
            tables[name] = cell_table(model, chosen, one)
    if not tables:
        fail(Place(path), "no test in it dumps anything, as dump_latent does.", "missing_key")
    return tables


def configuration(model: SakuraModel) -> dict[str, Any]:
    """Return settings, guides, sizes and splits of a fitted model as plain values."""
    plain = model.as_plain()
    settings = plain["settings"]
    if settings["n_top_features"] is None:
        settings["n_top_features"] = "all"
    if settings["stages"]:
        settings = {name: value for name, value in settings.items() if name not in _OF_ONE_STAGE}
    return {
        "settings": settings,
        "signatures": plain["signatures"],
        "phenotypes": plain["phenotypes"],
        "classes": plain["classes"],
        "features": len(model.features),
        "inputs": len(model.inputs),
        "splits": {name: int(mask.sum()) for name, mask in model.masks.items()},
        "epochs": model.epochs,
        "best_epoch": model.best_epoch,
    }
