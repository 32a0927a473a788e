"""Cells of two species in one matrix, over the genes that correspond one to one."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anndata
import pandas as pd

from bench.contract import RNA, is_paired
from bench.data.checks import check_counts
from bench.data.file_dataset import FileDataset
from bench.data.resolve import resolve_dataset
from bench.errors import DataError, UsageError
from bench.messages import did_you_mean

if TYPE_CHECKING:
    from anndata import AnnData

    from bench.contract import Card
    from bench.settings import Settings

logger = logging.getLogger(__name__)
SPECIES = "species"
"""Column of ``obs`` that says of which species a cell is."""
_LABEL, _BATCH = "cell_type", "batch"


def join_datasets(
    first: str,
    second: str,
    *,
    orthologs: Path,
    out: Path,
    names: Sequence[str],
    columns: Sequence[str] = (),
    settings: Settings,
) -> AnnData:
    """Write the cells of two datasets (names or paths) over their orthologous genes to ``out``.

    ``names`` are those of the species, ``columns`` the two of the table that name the genes
    (default: the first two). Types and batches are in the columns that both call alike, else in
    ``cell_type`` and ``batch``. ``say`` hears how many genes and columns are kept and left out.
    Raises ``UsageError`` and ``DataError``, one line each.
    """
    if out.suffix != ".h5ad":
        raise UsageError(f"--out {out}: expected a name that ends in .h5ad.")
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise UsageError(
            f"--names {','.join(names)}: expected two different names, such as mouse,human."
        )
    pairs = read_orthologs(orthologs, columns)
    one, one_card = _load(first, settings)
    other, other_card = _load(second, settings)
    _same_columns((one, other), (one_card, other_card))
    joined = join_species(one, other, pairs, (names[0], names[1]), where=str(orthologs))
    for column in joined.obs.columns:
        if joined.obs[column].dtype.kind not in "biuf":
            joined.obs[column] = _as_text(joined.obs[column])
    joined.uns.update(modality=RNA, organism=" and ".join(names))
    partial = out.with_name(f".{out.stem}.{os.getpid()}.h5ad")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        joined.write_h5ad(partial, compression="gzip")
        partial.replace(out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror or error}).") from None
    finally:
        partial.unlink(missing_ok=True)
    return joined


def read_orthologs(path: Path, columns: Sequence[str] = ()) -> dict[str, str]:
    """Return gene of the first species → gene of the second, of those that are one to one.

    The file has a header line and is tab-separated (``.csv``: by commas), such as an export of
    Ensembl's BioMart; the genes are in ``columns``, else in the first two. Genes with several
    partners, and rows with a gap, are left out and counted. Raises ``DataError`` or
    ``UsageError``.
    """
    table = _table(path)
    if table.shape[1] < 2:
        raise DataError(
            f"{path}: {table.shape[1]} column; expected two, separated by "
            f"{'commas' if path.suffix == '.csv' else 'tabs'}: one gene of each species."
        )
    pairs = table.iloc[:, :2].copy() if not columns else _columns(table, columns, path)
    pairs.columns = ["first", "second"]
    whole = pairs.dropna().drop_duplicates()
    single = ~whole.duplicated("first", keep=False) & ~whole.duplicated("second", keep=False)
    kept = whole[single]
    if kept.empty:
        raise DataError(
            f"{path}: no pair of genes is one to one (of {len(whole):,} pairs; each has a gene "
            "with several partners)."
        )
    gaps = len(pairs) - len(pairs.dropna())
    logger.info(
        f"{path.name}: {len(kept):,} genes are one to one; {int((~single).sum()):,} pairs with "
        f"several partners and {gaps:,} rows with a gap are left out"
    )
    return dict(zip(kept["first"], kept["second"], strict=True))


def join_species(
    first: AnnData, second: AnnData, orthologs: dict[str, str], names: tuple[str, str] = ("first", "second"), where: str = "the table") -> AnnData:  # fmt: skip
    """Return the cells of both over the shared genes, named as in the second species.

    ``obs["species"]`` says which species a cell is of, and the names of the cells end in it;
    columns that both have stay. Genes without a partner in the other matrix are counted and said.
    Raises ``DataError`` if none is shared.
    """
    here, there = set(first.var_names), set(second.var_names)
    pairs = {a: b for a, b in orthologs.items() if a in here and b in there}
    if not pairs:
        raise DataError(_nothing_shared(first, second, orthologs, names, where))
    logger.info(
        f"{len(pairs):,} orthologous genes are shared; left out: {len(here) - len(pairs):,} genes "
        f"of {names[0]}, {len(there) - len(pairs):,} of {names[1]}"
    )
    left = first[:, list(pairs)].copy()
    left.var_names = pd.Index(list(pairs.values()))
    right = second[:, list(pairs.values())].copy()
    for name, part, other in ((names[0], left, right), (names[1], right, left)):
        own = [str(column) for column in part.obs if column not in other.obs]
        if own:
            logger.info(f"columns of {name} alone are left out: {', '.join(own)}")
    if SPECIES in left.obs and SPECIES in right.obs:
        logger.info(f"the column '{SPECIES}' of both is replaced")
    joined = anndata.concat(
        {names[0]: left, names[1]: right}, label=SPECIES, index_unique="-", join="inner"
    )
    joined.obs[SPECIES] = joined.obs[SPECIES].astype(str)
    return joined


def _nothing_shared(
    first: AnnData, second: AnnData, orthologs: dict[str, str], names: tuple[str, str], where: str
) -> str:
    here, there = set(first.var_names), set(second.var_names)
    if any(b in here and a in there for a, b in orthologs.items()):
        return (
            f"{where}: its columns are the other way round: the first names genes of {names[1]}; "
            "give --columns SECOND,FIRST or the datasets in the other order."
        )
    return (
        f"{where}: no gene is shared: {len(here):,} genes of {names[0]} (such as "
        f"'{first.var_names[0]}'), {len(there):,} of {names[1]} (such as "
        f"'{second.var_names[0]}'), {len(orthologs):,} pairs in the table (such as "
        f"'{next(iter(orthologs))}'); expected their names in its two columns."
    )


def _load(text: str, settings: Settings) -> tuple[AnnData, Card]:
    """Return checked counts and their card; the cells need no types."""
    dataset = resolve_dataset(text, settings).dataset
    if isinstance(dataset, FileDataset):
        dataset.labels_needed = False
    adata = dataset.load()
    if is_paired(adata):
        raise UsageError(f"{text}: paired data; take one part of it: '{text}[part=rna]'.")
    card = dataset.card
    if card.modality != RNA:
        raise UsageError(f"{text}: holds {card.modality}; expected genes.")
    checked = check_counts(
        adata, where=dataset.where, label_key=card.label_key, batch_key=card.batch_key,
        modality=card.modality,
    )  # fmt: skip
    for line in [*dataset.notes, *checked.warnings]:
        logger.info(line)
    return adata, card


def _same_columns(parts: Sequence[AnnData], cards: Sequence[Card]) -> None:
    """Give types and batches the same column in both if they have different ones."""
    for keys, name in (
        ([card.label_key for card in cards], _LABEL), ([card.batch_key for card in cards], _BATCH)
    ):  # fmt: skip
        if all(keys) and keys[0] != keys[1]:
            for part, key in zip(parts, keys, strict=True):
                part.obs[name] = part.obs[key]


def _columns(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    if len(columns) != 2 or columns[0] == columns[1]:
        raise UsageError(f"--columns {','.join(columns)}: expected two, one of each species.")
    for column in columns:
        if column not in table:
            hint = did_you_mean(column, [str(name) for name in table.columns])
            raise UsageError(f"{path}: no column '{column}'.{hint}")
    return table[list(columns)].copy()


def _as_text(column: pd.Series) -> pd.Series:
    """Return a column with all that is no gap as text; a file cannot hold mixed kinds."""
    text = column.astype(object)
    return text.where(text.isna(), text.astype(str)).astype("category")


def _table(path: Path) -> pd.DataFrame:
    separator = "," if path.suffix == ".csv" else "\t"
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, skipinitialspace=True)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a table: {error}.") from None
    return table.apply(lambda column: column.str.strip()).replace("", None)
