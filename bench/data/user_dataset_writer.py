"""Writing a user's file into the cache as a dataset with a name."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import MULTIOME, Card, Dataset, Markers, keep_known_genes
from bench.contract.multiome import cells_of, is_paired, matrices_of, pair_data, write_pair

from .user_datasets import UserDataset, data_suffix, dataset_lock, replace_dataset
from .user_file import load_checked

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

logger = logging.getLogger(__name__)


def add_dataset(
    name: str,
    source: Dataset,
    origin: Path,
    cache: Path,
    facts: dict[str, str],
    markers: Markers | None = None,
) -> UserDataset:
    """Load and check a dataset and store it under a name; notes and warnings are logged.

    ``facts`` are fields of the card: ``summary``, ``reference``, ``licence``, ``organism``,
    ``labels_from``; ``markers`` are its marker lists. Raises ``DataError`` if the data do not pass
    the checks or cannot be written.
    """
    data, notes = load_checked(source)
    card = _complete_card(source.card, data, origin, facts, markers)
    if markers is not None:
        _, missing = keep_known_genes(markers.lists, cells_of(data).var_names, markers.source)
        notes += [missing] if missing else []
    for line in notes:
        logger.info(f"{name}: {line}")
    path = cache / "data" / f"{name}{data_suffix(card)}"
    with dataset_lock(path):
        partial = path.with_name(f".{name}.{os.getpid()}{path.suffix}")
        try:
            _write(data, card, partial)
            with partial.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            dataset = UserDataset(name, path, card, str(origin.resolve()), sha256)
            replace_dataset(dataset, partial)
        finally:
            partial.unlink(missing_ok=True)
    return dataset


def _complete_card(
    card: Card,
    data: AnnData | MuData,
    origin: Path,
    facts: dict[str, str],
    markers: Markers | None,
) -> Card:
    cells = cells_of(data)
    values = asdict(card) | {key: value for key, value in facts.items() if value}
    values |= {
        "summary": facts.get("summary") or f"added from {origin.name}",
        "n_cells": cells.n_obs,
        "n_features": sum(part.n_vars for part in matrices_of(data)),
        "n_types": int(cells.obs[card.label_key].astype(str).nunique()),
        "tags": ("added",),
        "files": (),
        "markers": markers,
    }
    return Card(**values)


def _write(data: AnnData | MuData, card: Card, path: Path) -> None:
    if is_paired(data):
        write_pair(pair_data(*(_portable(part, card) for part in matrices_of(data))), path)
    else:
        _portable(cells_of(data), card).write_h5ad(path, compression="gzip")


def _portable(adata: AnnData, card: Card) -> AnnData:
    """Return a copy with counts, ``obs``, ``var``, ``obsm`` and the card's facts in ``uns``."""
    dropped = [f"layers['{key}']" for key in adata.layers] + ["raw"] * (adata.raw is not None)
    if dropped:
        logger.info(f"dropped: {', '.join(dropped)}; X holds the counts")
    portable = AnnData(
        sp.csr_matrix(adata.X, dtype=np.float32),
        obs=_columns(adata.obs), var=_columns(adata.var), obsm=dict(adata.obsm),
    )  # fmt: skip
    for key in {card.label_key, card.batch_key} & set(portable.obs):
        portable.obs[key] = portable.obs[key].astype(str).astype("category")
    modality = "" if card.modality == MULTIOME else card.modality  # a part has its own
    facts = {"modality": modality, "source": card.reference, "licence": card.licence,
             "organism": card.organism}  # fmt: skip
    portable.uns.update({key: value for key, value in facts.items() if value})
    return portable


def _columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with all columns but numbers and booleans as text."""
    text = {
        name: table[name].astype(str) for name in table if table[name].dtype.kind not in "biuf"
    }
    return table.assign(**{str(name): values for name, values in text.items()})
