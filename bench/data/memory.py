"""Data in memory: written once into the cache, then read like any file."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData
from mudata import MuData

from bench.contract.multiome import columns_as_they_are
from bench.contract.proteins import PROTEINS
from bench.errors import BenchError, DataError, UsageError

from .cache.cleanup import MEMORY

_DEFAULT_NAME = "data"
_FLAG = re.compile(r"--([a-z]+(?:-[a-z]+)*)")
_NOT_IN_NAMES = re.compile(r"[/\\\[\],*?=\0]|^not:|^tag:|^\.|^\s*$")


def write_memory_data(datasets: Any, cache: Path) -> tuple[str, dict[Path, str]]:
    """Write the data in memory among ``datasets`` into the cache.

    Parameters
    ----------
    datasets
        Selector, path, AnnData, MuData, a dictionary name → AnnData or MuData, or a list of these.
    cache
        Folder of the cache.

    Returns
    -------
    str
        Selector of all datasets.
    dict
        The files that were written, with the name of each.

    Raises
    ------
    UsageError
        For any other type, for a name given twice, and for a name that no selector can hold.
    DataError
        If the data cannot be written.
    """
    parts: list[str] = []
    files: dict[Path, str] = {}
    for name, data in _named(datasets):
        if isinstance(data, (AnnData, MuData)):
            path = _write(data, name or _DEFAULT_NAME, cache / MEMORY)
            files[path] = name or _DEFAULT_NAME
            parts.append(str(path))
        elif isinstance(data, (str, os.PathLike)) and not name:
            parts.append(os.fspath(data))
        else:
            raise UsageError(
                f"datasets: {f'{name!r} is' if name else 'holds'} a {type(data).__name__}; "
                "expected AnnData or MuData, or without a name a selector such as 'pbmc68k'; of a "
                "matrix make AnnData(matrix, obs=table_of_cells).",
                code="not_a_dataset",
            )
    counts = Counter(files.values())
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        raise UsageError(
            f"datasets: two data in memory are named '{twice}'; give them names, as in "
            "{'first': adata, 'second': other}.",
            code="duplicate_names",
        )
    return ",".join(parts), files


@contextmanager
def errors_with_names(files: Mapping[Path, str]) -> Iterator[None]:
    """Replace cache paths by names of data, and flags by arguments, in the errors of the block."""
    try:
        yield
    except BenchError as error:
        text = str(error)
        for path, name in files.items():
            text = text.replace(str(path), f"data '{name}'")
        if text == str(error):
            raise
        text = _FLAG.sub(lambda flag: flag[1].replace("-", "_") + "=", text)
        raise type(error)(text, code=error.code) from None


def _named(datasets: Any) -> Iterator[tuple[str, Any]]:
    """Yield each dataset with its name, ``""`` if it has none."""
    if isinstance(datasets, Mapping) and not isinstance(datasets, (AnnData, MuData)):
        for name, data in datasets.items():
            if not isinstance(name, str) or _NOT_IN_NAMES.search(name):
                raise UsageError(
                    f"datasets: {name!r} is no name of a dataset; expected a text without / \\ "
                    "[ ] , * ? =, such as 'my_cells'.",
                    code="invalid_name",
                )
            yield name, data
    elif isinstance(datasets, (list, tuple)):
        for one in datasets:
            yield from _named(one)
    else:
        yield "", datasets


def _write(data: AnnData | MuData, name: str, folder: Path) -> Path:
    """Write data into a folder named by the digest of the file; equal data are written once."""
    suffix = ".h5mu" if isinstance(data, MuData) else ".h5ad"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="new-") as new:
            file = Path(new) / f"data{suffix}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of formats to come, not of these data
                if isinstance(data, MuData):
                    _portable_pair(data).write_h5mu(file)
                else:
                    _portable(data).write_h5ad(file)
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()[:24]
            target = folder / content / f"{name}{suffix}"
            target.parent.mkdir(exist_ok=True)
            os.utime(target.parent)  # was used now
            if not target.is_file():
                file.rename(target)
    except OSError as error:
        raise DataError(
            f"data '{name}' cannot be written into the cache {folder}: "
            f"{error.strerror or error}; set cache_dir to a folder with space.",
            code="not_writable",
        ) from None
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"data '{name}' cannot be written as {suffix}: {reason}; expected matrices of numbers "
            "in X and layers, and names of cells and features as text.",
            code="not_writable",
        ) from None
    return target


def _portable(adata: AnnData) -> AnnData:
    """Return a copy with all that a dataset is read from, in types that ``.h5ad`` can hold."""
    adata = adata.to_memory() if adata.isbacked else adata
    raw = None
    if adata.raw is not None:
        raw = {"X": adata.raw.X, "var": _portable_table(adata.raw.var)}
    obsm = {PROTEINS: adata.obsm[PROTEINS]} if PROTEINS in adata.obsm else None
    return AnnData(
        X=adata.X, obs=_portable_table(adata.obs), var=_portable_table(adata.var), obsm=obsm,
        layers=dict(adata.layers), raw=raw,
        uns={key: value for key, value in adata.uns.items() if isinstance(value, str)},
    )  # fmt: skip


def _portable_pair(data: MuData) -> MuData:
    """Return a copy with the modalities and the columns that they share."""
    with columns_as_they_are():
        pair = MuData({name: _portable(part) for name, part in data.mod.items()})
    shared = _portable_table(data.obs)
    pair.obs = shared[[name for name in shared if ":" not in str(name)]].reindex(pair.obs_names)
    return pair


def _portable_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with columns of numbers, booleans or categories of text."""
    columns = {}
    for number, name in enumerate(table.columns):
        values = table.iloc[:, number]
        if not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)):
            texts = values.astype(object).map(str, na_action="ignore")
            values = texts.astype("category")
        columns[str(name)] = values
    return pd.DataFrame(columns, index=table.index.astype(str).rename(None))
