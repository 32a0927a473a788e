"""``obsm:KEY`` among the methods: embeddings in the files of the datasets.

Each embedding becomes a separate method for one dataset, as a module and an array in the cache:
its fit sees neither the file of the dataset nor the names of the cells.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from bench.digests import digest
from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.registry import import_method
from bench.selectors import Exclusion, Selection, parse_selector, split_selectors

from .methods import ConfiguredMethod
from .own_files import data_file

if TYPE_CHECKING:
    import pandas as pd

    from bench.data.cache.cached_dataset import CachedDataset

PREFIX = "obsm:"
_OPTIONS = ("trained_on", "trained_cells")
_MODULE = '''"""Embedding {key} of {file}, computed elsewhere."""

from bench.contract.precomputed import Precomputed


class StoredEmbedding(Precomputed):
    """Array {key} of {file}."""

    name = {name!r}
    training = {training!r}
'''


def take_embeddings(text: str) -> tuple[str, list[Selection]]:
    """Return the selector without its embeddings, and the selected embeddings.

    An embedding is ``obsm:X_scgpt[trained_on=census 2023-12,trained_cells=barcodes.txt]``. Raises
    ``UsageError`` for other keys in brackets.
    """
    parts = split_selectors(text)
    chosen = [parse_selector(part) for part in parts if part.startswith(PREFIX)]
    for one in chosen:
        unknown = sorted(one.values.keys() - set(_OPTIONS))
        if unknown:
            raise UsageError(
                f"'{one.name}': '{unknown[0]}' says nothing about an embedding; expected "
                f"{' or '.join(_OPTIONS)}.",
                code="unknown_name",
            )
    return ",".join(part for part in parts if not part.startswith(PREFIX)), chosen


def precomputed_methods(
    chosen: list[Selection], dataset: CachedDataset, cache_dir: Path
) -> tuple[list[ConfiguredMethod], list[Exclusion]]:
    """Return the embeddings in the file of a dataset as methods, and the missing ones.

    Raises ``DataError`` for an array that is no embedding, or that lacks cells.
    """
    methods, absent = [], []
    for one in chosen:
        found = _read(one.name.removeprefix(PREFIX), dataset)
        if isinstance(found, str):
            absent.append(Exclusion(one.name, dataset.label, "skipped", found))
        else:
            methods.append(_stored(one, found, dataset, cache_dir))
    return methods, absent


def _read(key: str, dataset: CachedDataset) -> pd.DataFrame | str:
    """Return the embedding, one row a cell of the dataset, or the reason why it is missing."""
    import numpy as np

    from bench.data.embedding_file import embedding_keys, read_embeddings

    path = data_file(dataset)
    if path is None or path.suffix.lower() != ".h5ad":
        return "only an .h5ad file holds embeddings (obsm)"
    keys = embedding_keys(path)
    if key not in keys:
        return f"its file has no array '{key}' in obsm.{did_you_mean(key, keys)}"
    table = read_embeddings(path, [key]).embeddings[key]
    cells = np.load(dataset.folder / "cells.npy", allow_pickle=False).tolist()
    return table.loc[cells]


def _stored(
    chosen: Selection, table: pd.DataFrame, dataset: CachedDataset, cache_dir: Path
) -> ConfiguredMethod:
    """Write the array and the module of an embedding into the cache; return its method."""
    import numpy as np

    training = _training(chosen, table)
    values = table.to_numpy(np.float32)
    content = digest([chosen.name, training, hashlib.sha256(values.tobytes()).hexdigest()])
    path = cache_dir / "embeddings" / content / f"obsm_{content}.py"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path.with_name("embedding.npy"), values)
        key, file = chosen.name.removeprefix(PREFIX), Path(dataset.where).name
        text = _MODULE.format(key=key, file=file, name=chosen.name, training=training)
        path.write_text(text, encoding="utf-8")
    cls = import_method(str(path), chosen.name)
    return ConfiguredMethod(cls, str(path), chosen.name, cls(cls.Params()))


def _training(chosen: Selection, table: pd.DataFrame) -> str:
    """Return a description of the training data of an embedding."""
    from bench.data.embedding_file import count_trained_cells

    data = chosen.values.get("trained_on")
    text = f"trained on {data}" if data else "training data not declared"
    cells = chosen.values.get("trained_cells")
    if cells is None:
        return f"{text}; whether it has seen these cells is not known"
    seen = count_trained_cells(table.index, Path(cells).expanduser())
    return f"{text}; it has seen {seen} of these cells ({seen / len(table):.0%})"
