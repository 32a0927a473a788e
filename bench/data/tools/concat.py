"""Join several batches of one modality into one file."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anndata

from bench.data.file_names import display_name
from bench.errors import DataError, UsageError
from bench.messages import quote_names

from .join_species import check_out_name, load_part, unify_columns, write_joined

if TYPE_CHECKING:
    from anndata import AnnData

    from bench.settings import Settings

logger = logging.getLogger(__name__)


def concat_datasets(
    texts: Sequence[str],
    *,
    out: Path,
    batch_key: str,
    names: Sequence[str] = (),
    settings: Settings,
) -> AnnData:
    """Write the cells of several datasets (names or paths) over their common features to ``out``.

    ``obs[batch_key]`` holds the dataset of each cell, by ``names`` or the names of the files. If
    the columns of types have different names, types are in ``cell_type``. If a cell name occurs in
    several datasets, the name of the dataset is appended to all cell names. Raises ``UsageError``
    and ``DataError``.
    """
    check_out_name(out)
    if len(texts) < 2:
        raise UsageError("expected at least two files or datasets.", code="missing_value")
    keys = list(names) or [display_name(Path(text.partition("[")[0])) for text in texts]
    if len(keys) != len(texts) or len(set(keys)) < len(keys) or not all(keys):
        raise UsageError(
            f"--names {','.join(keys)}: expected {len(texts)} different names, one for each file.",
            code="invalid_value",
        )
    loaded = [load_part(text, settings) for text in texts]
    parts, cards = [part for part, _ in loaded], [card for _, card in loaded]
    modalities = Counter(card.modality for card in cards)
    if len(modalities) > 1:
        raise UsageError(
            f"the files hold {' and '.join(modalities)}; expected one modality; add "
            "[modality=…] to a path whose modality was guessed wrongly.",
            code="wrong_modality",
        )
    unify_columns(parts, cards)
    joined = _concat(dict(zip(keys, parts, strict=True)), batch_key)
    joined.uns["modality"] = cards[0].modality
    write_joined(joined, out)
    return joined


def _concat(parts: dict[str, AnnData], batch_key: str) -> AnnData:
    """Return the cells of all parts over their common features, with the column of batches."""
    shared = set.intersection(*(set(part.var_names) for part in parts.values()))
    if not shared:
        names = "; ".join(f"{key}: {quote_names(list(p.var_names))}" for key, p in parts.items())
        raise DataError(f"no feature is in all files ({names}).", code="no_shared_features")
    for key, part in parts.items():
        if part.n_vars > len(shared):
            logger.info(
                f"{key}: {part.n_vars - len(shared):,} of {part.n_vars:,} features are not in all "
                "files and are left out"
            )
        if batch_key in part.obs:
            logger.info(f"{key}: its column '{batch_key}' is replaced")
    cells = Counter(name for part in parts.values() for name in part.obs_names)
    repeated = [name for name, count in cells.items() if count > 1]
    if repeated:
        logger.info(
            f"{len(repeated):,} names of cells are in several files ({quote_names(repeated)}); "
            "the name of the file is appended to all names of cells"
        )
    return anndata.concat(
        parts, label=batch_key, index_unique="-" if repeated else None, join="inner"
    )
