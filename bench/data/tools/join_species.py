"""Join the cells of two species over the genes that correspond one to one."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anndata
import pandas as pd

from bench.contract import RNA, is_paired
from bench.data.file_dataset import FileDataset
from bench.data.resolve import resolve_dataset
from bench.data.user_file import load_checked
from bench.errors import DataError, UsageError
from bench.messages import did_you_mean

if TYPE_CHECKING:
    from anndata import AnnData

    from bench.contract import Card
    from bench.settings import Settings

logger = logging.getLogger(__name__)
SPECIES = "species"
"""Column of ``obs`` with the species of a cell."""
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

    ``names`` are the names of the two species. ``columns`` are the two columns of genes in the
    table of orthologs (default: the first two). Types and batches keep their columns if these have
    the same name in both datasets; else they are in ``cell_type`` and ``batch``. Raises
    ``UsageError`` and ``DataError``.
    """
    check_out_name(out)
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise UsageError(
            f"--names {','.join(names)}: expected two different names, such as mouse,human.",
            code="invalid_value",
        )
    pairs = read_orthologs(orthologs, columns)
    left, left_card = _load(first, settings)
    right, right_card = _load(second, settings)
    unify_columns((left, right), (left_card, right_card))
    joined = join_species(left, right, pairs, names=(names[0], names[1]), where=str(orthologs))
    joined.uns.update(modality=RNA, organism=" and ".join(names))
    write_joined(joined, out)
    return joined


def write_joined(adata: AnnData, out: Path) -> None:
    """Write a file, with all columns but numbers as text; it appears only when it is complete."""
    for column in adata.obs.columns:
        if adata.obs[column].dtype.kind not in "biuf":
            adata.obs[column] = _as_text(adata.obs[column])
    partial = out.with_name(f".{out.stem}.{os.getpid()}.h5ad")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        adata.write_h5ad(partial, compression="gzip")
        partial.replace(out)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written ({error.strerror or error}).", code="not_writable"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def check_out_name(out: Path) -> None:
    """Raise ``UsageError`` if an output file does not end in ``.h5ad``."""
    if out.suffix != ".h5ad":
        raise UsageError(f"--out {out}: expected a name that ends in .h5ad.", code="invalid_value")


def read_orthologs(path: Path, columns: Sequence[str] = ()) -> dict[str, str]:
    """Return gene of the first species → gene of the second, for one-to-one pairs.

    The file has a header line and is separated by tabs (``.csv``: commas), such as an export of
    Ensembl's BioMart. The genes are in ``columns``, by default the first two. Genes with several
    partners, and rows with a gap, are left out. Raises ``DataError`` or ``UsageError``.
    """
    table = _read_table(path)
    if table.shape[1] < 2:
        raise DataError(
            f"{path}: {table.shape[1]} column; expected two, separated by "
            f"{'commas' if path.suffix == '.csv' else 'tabs'}: one gene of each species.",
            code="missing_column",
        )
    pairs = table.iloc[:, :2].copy() if not columns else _select_columns(table, columns, path)
    pairs.columns = ["first", "second"]
    complete = pairs.dropna().drop_duplicates()
    repeated = complete.duplicated("first", keep=False) | complete.duplicated("second", keep=False)
    single = complete[~repeated]
    if single.empty:
        raise DataError(
            f"{path}: no pair of genes is one to one (of {len(complete):,} pairs; each has a gene "
            "with several partners).",
            code="no_shared_genes",
        )
    n_gaps = len(pairs) - len(pairs.dropna())
    logger.info(
        f"{path.name}: {len(single):,} genes are one to one; {int(repeated.sum()):,} pairs with "
        f"several partners and {n_gaps:,} rows with a gap are left out"
    )
    return dict(zip(single["first"], single["second"], strict=True))


def join_species(
    first: AnnData,
    second: AnnData,
    orthologs: dict[str, str],
    *,
    names: tuple[str, str],
    where: str,
) -> AnnData:
    """Return the cells of both over the shared genes, named as in the second species.

    ``obs["species"]`` holds the species of a cell, which is also appended to its name. Columns
    that both datasets have are kept. Raises ``DataError`` if no gene is shared.
    """
    genes, partners = set(first.var_names), set(second.var_names)
    pairs = {gene: partner for gene, partner in orthologs.items()
             if gene in genes and partner in partners}  # fmt: skip
    if not pairs:
        raise _no_shared_genes(first, second, orthologs, names, where)
    logger.info(
        f"{len(pairs):,} orthologous genes are shared; left out: "
        f"{len(genes) - len(pairs):,} genes of {names[0]}, "
        f"{len(partners) - len(pairs):,} of {names[1]}"
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


def _no_shared_genes(
    first: AnnData, second: AnnData, orthologs: dict[str, str], names: tuple[str, str], where: str
) -> DataError:
    genes, partners = set(first.var_names), set(second.var_names)
    if any(partner in genes and gene in partners for gene, partner in orthologs.items()):
        text = (
            f"the columns are in reverse order: the first names genes of {names[1]}; give "
            "--columns SECOND,FIRST or the datasets in the other order."
        )
    else:
        text = (
            f"no gene is shared: {len(genes):,} genes of {names[0]} (such as "
            f"'{first.var_names[0]}'), {len(partners):,} of {names[1]} (such as "
            f"'{second.var_names[0]}'), {len(orthologs):,} pairs in the table (such as "
            f"'{next(iter(orthologs))}'); expected their names in its two columns."
        )
    return DataError(f"{where}: {text}", code="no_shared_genes")


def load_part(text: str, settings: Settings) -> tuple[AnnData, Card]:
    """Return checked counts of one modality and their card; the cells need no types."""
    dataset = resolve_dataset(text, settings).dataset
    needed = not isinstance(dataset, FileDataset)
    if isinstance(dataset, FileDataset):
        dataset.labels_needed = False
    adata, notes = load_checked(dataset, labels_needed=needed)
    for line in notes:
        logger.info(f"{text}: {line}")
    if is_paired(adata):
        raise UsageError(
            f"{text}: paired data; take one part of it: '{text}[part=rna]'.", code="wrong_modality"
        )
    return adata, dataset.card


def _load(text: str, settings: Settings) -> tuple[AnnData, Card]:
    adata, card = load_part(text, settings)
    if card.modality != RNA:
        raise UsageError(f"{text}: holds {card.modality}; expected genes.", code="wrong_modality")
    return adata, card


def unify_columns(parts: Sequence[AnnData], cards: Sequence[Card]) -> None:
    """Copy types (batches) to ``cell_type`` (``batch``) if their columns have different names."""
    label_keys, batch_keys = [card.label_key for card in cards], [card.batch_key for card in cards]
    for keys, name in ((label_keys, _LABEL), (batch_keys, _BATCH)):
        if all(keys) and len(set(keys)) > 1:
            for part, key in zip(parts, keys, strict=True):
                part.obs[name] = part.obs[key]


def _select_columns(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    if len(columns) != 2 or columns[0] == columns[1]:
        raise UsageError(
            f"--columns {','.join(columns)}: expected two, one of each species.",
            code="invalid_value",
        )
    for column in columns:
        if column not in table:
            hint = did_you_mean(column, [str(name) for name in table.columns])
            raise UsageError(f"{path}: no column '{column}'.{hint}", code="missing_column")
    return table[list(columns)].copy()


def _as_text(column: pd.Series) -> pd.Series:
    """Return a column with its values as text; missing values stay missing."""
    text = column.astype(object)
    return text.where(text.isna(), text.astype(str)).astype("category")


def _read_table(path: Path) -> pd.DataFrame:
    separator = "," if path.suffix == ".csv" else "\t"
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, skipinitialspace=True)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file.", code="missing_file") from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as a table: {error}.", code="unreadable"
        ) from None
    return table.apply(lambda column: column.str.strip()).replace("", None)
