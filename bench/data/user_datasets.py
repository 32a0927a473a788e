"""Datasets that a user added by ``bench data add``: ``<cache>/data/NAME.h5ad`` and its facts.

Paired data are a ``NAME.h5mu``.

The facts lie beside the file as JSON, so that lists need not open it; a file without them is not
finished and does not count.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import MULTIOME, Card, Dataset, Markers, keep_known_genes
from bench.contract.multiome import cells_of, is_paired, matrices_of, pair_data, write_pair
from bench.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

logger = logging.getLogger(__name__)
_SUFFIXES = (".h5ad", ".h5mu")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class UserDataset:
    """One added dataset."""

    name: str
    path: Path
    card: Card
    origin: str
    """Path of the file that was added."""
    sha256: str
    """Of the file in the cache."""


def user_datasets(cache: Path) -> dict[str, UserDataset]:
    """Return the added datasets by name."""
    found = {}
    for facts in sorted((cache / "data").glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            values = json.loads(facts.read_text())
            known = {field.name for field in fields(Card)} - {"files"}
            given = {key: value for key, value in values["card"].items() if key in known}
            markers = given.pop("markers", None)
            card = Card(
                **{**given, "tags": tuple(given["tags"])},
                markers=Markers(**markers) if markers else None,
            )
            path = facts.with_suffix(_suffix(card))
            if path.is_file():
                one = UserDataset(path.stem, path, card, values["origin"], values["sha256"])
                found[one.name] = one
    return found


def check_name(name: str, taken: str, *, replace: bool) -> None:
    """Refuse a name that cannot be selected or, unless ``replace``, is in use.

    ``taken`` says by what; raises ``UsageError``.
    """
    if not _NAME.fullmatch(name) or name == "all":
        raise UsageError(
            f"'{name}' cannot be the name of a dataset; expected letters, digits, '_' and '-'."
        )
    if taken and not replace:
        raise UsageError(f"the name '{name}' is in use ({taken}); choose another or --replace.")


def add_dataset(
    name: str,
    source: Dataset,
    origin: Path,
    cache: Path,
    facts: dict[str, str],
    markers: Markers | None = None,
) -> UserDataset:
    """Load and check a dataset and keep it under a name; what is odd is said.

    ``facts`` are fields of the card that the user states: ``summary``, ``reference``,
    ``licence``, ``organism``, ``labels_from``; ``markers`` its marker lists. Raises
    ``DataError`` if the data do not pass the checks or cannot be written.
    """
    from .checks import check_data

    data = source.load()
    adata, said = cells_of(data), source.card
    checked = check_data(
        data, where=source.where, label_key=said.label_key, batch_key=said.batch_key,
        modality=said.modality,
    )  # fmt: skip
    for line in [*source.notes, *checked.warnings]:
        logger.info(f"{name}: {line.removeprefix(f'{source.where}: ')}")
    values = asdict(said) | {key: value for key, value in facts.items() if value}
    values |= {
        "summary": facts.get("summary") or f"added from {origin.name}",
        "n_cells": adata.n_obs,
        "n_features": sum(part.n_vars for part in matrices_of(data)),
        "n_types": int(adata.obs[said.label_key].astype(str).nunique()),
        "tags": ("added",),
        "files": (),
        "markers": markers,
    }
    card = Card(**values)
    if markers is not None:
        _, missing = keep_known_genes(markers.lists, adata.var_names, markers.source)
        if missing:
            logger.info(f"{name}: {missing}")
    path = cache / "data" / f"{name}{_suffix(card)}"
    with _writing(path):
        partial = path.with_name(f".{name}.{os.getpid()}{path.suffix}")
        try:
            _write(data, card, partial)
            with partial.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            one = UserDataset(name, path, card, str(origin.resolve()), sha256)
            _facts_file(path).unlink(missing_ok=True)  # without it the data do not count
            partial.replace(path)
            _write_facts(one)
            for suffix in _SUFFIXES:  # what a replaced dataset of the other kind left
                if suffix != path.suffix:
                    path.with_suffix(suffix).unlink(missing_ok=True)
        finally:
            partial.unlink(missing_ok=True)
    return one


def remove_dataset(name: str, cache: Path) -> UserDataset:
    """Remove an added dataset and return what it was; raises ``UsageError`` for other names."""
    own = user_datasets(cache)
    if name not in own:
        names = ", ".join(sorted(own)) or "none"
        raise UsageError(
            f"no dataset was added under the name '{name}' (added: {names}); downloads go with "
            "'bench data clean --downloads'."
        )
    with _writing(own[name].path):
        _facts_file(own[name].path).unlink(missing_ok=True)
        own[name].path.unlink(missing_ok=True)
    return own[name]


def _suffix(card: Card) -> str:
    return _SUFFIXES[card.modality == MULTIOME]


def _write(data: AnnData | MuData, card: Card, path: Path) -> None:
    if is_paired(data):
        write_pair(pair_data(*(_portable(part, card) for part in matrices_of(data))), path)
    else:
        _portable(cells_of(data), card).write_h5ad(path, compression="gzip")


def _portable(adata: AnnData, card: Card) -> AnnData:
    """Return counts, the columns of cells and features, and the facts, as .h5ad can hold them."""
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData

    left = [f"layers['{key}']" for key in adata.layers] + ["raw"] * (adata.raw is not None)
    if left:
        logger.info(f"not kept: {', '.join(left)}; X holds the counts")
    kept = AnnData(
        sp.csr_matrix(adata.X, dtype=np.float32),
        obs=_columns(adata.obs), var=_columns(adata.var), obsm=dict(adata.obsm),
    )  # fmt: skip
    for key in {card.label_key, card.batch_key} & set(kept.obs):
        kept.obs[key] = kept.obs[key].astype(str).astype("category")
    modality = "" if card.modality == MULTIOME else card.modality  # a part is not both
    facts = {"modality": modality, "source": card.reference, "licence": card.licence,
             "organism": card.organism}  # fmt: skip
    kept.uns.update({key: value for key, value in facts.items() if value})
    return kept


def _columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with every column that is no number as text."""
    text = {
        name: table[name].astype(str) for name in table if table[name].dtype.kind not in "biuf"
    }
    return table.assign(**{str(name): values for name, values in text.items()})


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Hold the lock of one added dataset; a disk that fails is one line."""
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.stem}.lock")):
            yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); free space there or set "
            "BENCH_CACHE_DIR to a folder you may write to."
        ) from None


def _facts_file(path: Path) -> Path:
    return path.with_suffix(".json")


def _write_facts(one: UserDataset) -> None:
    card: dict[str, Any] = asdict(one.card)
    del card["files"]
    content = {"card": card, "origin": one.origin, "sha256": one.sha256}
    partial = one.path.with_name(f".{one.name}.{os.getpid()}.json")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(_facts_file(one.path))
