"""The files of one dataset in the cache: counts, names and, in separate files, labels.

Cells are stored in a random order: files are often sorted by type, and no method or score may
profit from that. The seed depends on the data only, so the order is the same on all machines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import (
    MULTIOME,
    PARTS,
    PROTEINS,
    DatasetInfo,
    cells_of,
    is_paired,
    pair_data,
    protein_counts,
)
from bench.contract.multiome import decode_bases, read_feature_columns
from bench.contract.recipe import combine_infos
from bench.data.checks import check_data
from bench.digests import digest
from bench.prepare.blocks import (
    ENTRIES,
    Csr,
    csr_parts,
    index_type,
    permuted_rows,
    release_pages,
)
from bench.prepare.in_memory import describe_counts
from bench.seeds import derive_seed

from .array_folder import ArrayFolder

if TYPE_CHECKING:
    from mudata import MuData

    from bench.contract import Dataset

    from .array_folder import FolderWriter


class CellLabels:
    """Types, batches and training cells of a cached dataset; only scoring reads them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def types(self) -> np.ndarray | None:
        """True type of each cell; ``None`` for data without labels."""
        return self._read_optional("types")

    @cached_property
    def batch(self) -> np.ndarray | None:
        """Batch of each cell, if there is one."""
        return self._read_optional("batch")

    @cached_property
    def train(self) -> np.ndarray | None:
        """Mask of the cells that a fit may see, if some are held out."""
        return self._read_optional("train")

    def _read_optional(self, name: str) -> np.ndarray | None:
        arrays = ArrayFolder(self._folder)
        return arrays.read(name) if name in arrays else None


def load_counts(folder: Path) -> AnnData | MuData:
    """Return the counts of a cached dataset, without labels, memory-mapped and read-only."""
    arrays = ArrayFolder(folder)
    if "parts" in arrays.info["info"]:
        return pair_data(*(_load_matrix(arrays, part) for part in PARTS))
    return _load_matrix(arrays, "")


def _load_matrix(arrays: ArrayFolder, part: str) -> AnnData:
    counts = read_counts(arrays, part)
    columns = read_feature_facts(arrays, part)
    matrix = sp.csr_matrix(
        (counts.data, counts.indices, counts.indptr), shape=counts.shape, copy=False
    )
    return AnnData(
        X=matrix,
        obs=pd.DataFrame(index=arrays.read("cells").tolist()),
        var=pd.DataFrame(
            {name: decode_bases(values) for name, values in columns.items()},
            index=read_features(arrays, part).tolist(),
        ),
    )


def read_counts(arrays: ArrayFolder, part: str = "") -> Csr:
    """Return the counts, or those of one part of paired data, memory-mapped."""
    info = arrays.info["info"]
    shape = (info["n_cells"], (info["parts"][part] if part else info)["n_features"])
    names = ("data", "indices", "indptr")
    data, indices, indptr = (arrays.read(_file_name(part, name)) for name in names)
    return Csr(data, indices, indptr, shape)


def read_features(arrays: ArrayFolder, part: str = "") -> np.ndarray:
    """Return the names of all features, or of the features of one part of paired data."""
    names = arrays.read("features")
    if not part:
        return names
    n_genes = arrays.info["info"]["parts"][PARTS[0]]["n_features"]
    return names[:n_genes] if part == PARTS[0] else names[n_genes:]


def read_feature_facts(arrays: ArrayFolder, part: str = "") -> dict[str, np.ndarray]:
    """Return the facts about the features of a part (see ``bench.contract.multiome.FACTS``)."""
    return {
        name: arrays.read(_file_name(part, name)) for name in arrays.info["feature_facts"][part]
    }


def _file_name(part: str, name: str) -> str:
    return f"{part}_{name}" if part else name


def write_loaded_dataset(writer: FolderWriter, dataset: Dataset) -> dict[str, Any]:
    """Load, check and write a dataset; returns its facts. Raises ``DataError``."""
    data: Any = dataset.load()
    card = dataset.card
    report = check_data(
        data,
        where=dataset.where,
        label_key=card.label_key,
        batch_key=card.batch_key,
        modality=card.modality,
        orientation_given=dataset.orientation_given,
    )
    facts = _write_dataset(writer, data, dataset)
    if data.isbacked:
        data.file.close()
    # Shown under the name of the dataset, so without it.
    warnings = [
        line.removeprefix(f"{dataset.where}: ") for line in (*dataset.notes, *report.warnings)
    ]
    markers = dataset.replacement_markers
    return facts | {
        "card": asdict(card),
        "warnings": warnings,
        "replacement_markers": asdict(markers) if markers else None,
    }


def _write_dataset(
    writer: FolderWriter, data: AnnData | MuData, dataset: Dataset
) -> dict[str, Any]:
    """Write counts, names, types and batch, all with the cells in the same random order.

    Each part of paired data has its own files. ``order.npy`` holds the row in ``data`` of each
    stored cell. Returns the facts about the content, with digests.
    """
    adata = cells_of(data)
    matrices = {part: data[part] for part in PARTS} if is_paired(data) else {"": data}
    infos, totals = {}, np.zeros(adata.n_obs)
    for part, matrix in matrices.items():
        infos[part], part_totals = _write_counts(writer, matrix, part, dataset)
        totals += part_totals
    order = random_order(_texts(adata.obs_names), totals)
    writer.save("order", order)
    writer.save("features", _texts([name for m in matrices.values() for name in m.var_names]))
    writer.save("cells", _texts(adata.obs_names)[order])
    for part in matrices:
        _permute_counts(writer, part, order)
    facts = _describe_matrices(writer, matrices, infos, dataset)
    facts["median_counts"] = float(np.median(totals))
    return facts | _write_cell_facts(writer, adata, order, dataset)


def _write_cell_facts(
    writer: FolderWriter, adata: AnnData, order: np.ndarray, dataset: Dataset
) -> dict[str, Any]:
    """Write types, batch, training cells and proteins; returns the facts about them.

    Digests are of the order in ``data``, so they do not depend on the counts.
    """
    card = dataset.card
    types = _texts(adata.obs[card.label_key]) if card.label_key else np.array([], dtype=np.str_)
    arrays: dict[str, dict[str, np.ndarray]] = {"labels": {"types": types} if len(types) else {}}
    arrays["batch"] = {"batch": _texts(adata.obs[card.batch_key])} if card.batch_key else {}
    arrays["train"] = (
        {"train": adata.obs[card.train_key].to_numpy(dtype=bool)} if card.train_key else {}
    )
    arrays["proteins"] = _proteins(adata, dataset)
    for group in arrays.values():
        for name, values in group.items():
            writer.save(name, values if name == "protein_names" else values[order])
    kinds, sizes = np.unique(types, return_counts=True)
    digests = {
        f"{name}_digest": _digest_arrays(group) if group else "" for name, group in arrays.items()
    }
    return digests | {
        "types": {str(kind): int(size) for kind, size in zip(kinds, sizes, strict=True)}
    }


def _texts(values: Iterable[Any]) -> np.ndarray:
    return np.asarray([str(value) for value in values], dtype=np.str_)


def random_order(cells: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return a random order of the cells; the seed is made of their names and total counts.

    A fit does not get these in the order of the file, so it cannot undo the permutation.
    """
    identity = _digest_arrays({"cells": cells, "totals": totals})
    return np.random.default_rng(derive_seed(0, "order of cells", identity)).permutation(
        len(cells)
    )


def _permute_counts(writer: FolderWriter, part: str, order: np.ndarray) -> None:
    """Write the counts of a part in the random order, and remove them in the order of the file."""
    raw = [f"raw_{_file_name(part, name)}" for name in ("data", "indices", "indptr")]
    data, indices, indptr = (writer.read(name) for name in raw)
    source = Csr(data, indices, indptr, (len(order), 0))
    for values, columns in permuted_rows(source, order):
        writer.append(_file_name(part, "data"), values)
        writer.append(_file_name(part, "indices"), columns)
    ends = np.concatenate([[0], np.cumsum(np.diff(indptr)[order])])
    writer.save(_file_name(part, "indptr"), ends)
    for name in raw:
        writer.drop(name)


def _describe_matrices(
    writer: FolderWriter,
    matrices: Mapping[str, AnnData],
    infos: dict[str, DatasetInfo],
    dataset: Dataset,
) -> dict[str, Any]:
    """Write the facts about the features of paired data; returns the facts about all matrices."""
    digests, feature_facts, first = {}, {}, 0
    for part, adata in matrices.items():
        names = ("data", "indices", "indptr")
        arrays = {name: writer.read(_file_name(part, name)) for name in names}
        arrays["cells"] = writer.read("cells")
        arrays["features"] = writer.read("features")[first : first + adata.n_vars]
        first += adata.n_vars
        digests[part] = _digest_arrays(arrays)
        columns = read_feature_columns(adata.var, part, dataset.where) if part else {}
        for name, values in columns.items():
            writer.save(_file_name(part, name), values)
        feature_facts[part] = list(columns)
    facts: dict[str, Any] = {"part_digests": digests, "feature_facts": feature_facts}
    if "" in matrices:
        return facts | {"info": asdict(infos[""]), "counts_digest": digests[""]}
    files = [_file_name(part, name) for part, names in feature_facts.items() for name in names]
    columns = {name: writer.read(name) for name in files}
    return facts | {
        "info": asdict(combine_infos(infos, dataset.name, MULTIOME)),
        "counts_digest": digest([*digests.values(), _digest_arrays(columns)]),
    }


def _write_counts(
    writer: FolderWriter, adata: AnnData, part: str, dataset: Dataset
) -> tuple[DatasetInfo, np.ndarray]:
    """Write one matrix in the order of the file; returns its facts and the total of each cell."""
    matrix = csr_parts(adata.X) or adata.X  # converted only once if it is stored by columns
    column_type, end = index_type(matrix), 0
    data, indices, indptr = (
        f"raw_{_file_name(part, name)}" for name in ("data", "indices", "indptr")
    )
    writer.append(indptr, np.zeros(1, dtype=np.int64))
    totals: list[np.ndarray] = []

    def write(block: sp.csr_matrix) -> None:
        nonlocal end
        writer.append(data, block.data)
        writer.append(indices, block.indices.astype(column_type))
        writer.append(indptr, block.indptr[1:].astype(np.int64) + end)
        end += block.nnz
        totals.append(np.asarray(block.sum(axis=1, dtype=np.float64)).ravel())

    info = describe_counts(
        matrix,
        name=dataset.name,
        modality=part or dataset.card.modality,
        has_batch=dataset.card.batch_key is not None,
        each_block=write,
    )
    return info, np.concatenate(totals)


def _proteins(adata: AnnData, dataset: Dataset) -> dict[str, np.ndarray]:
    """Return counts and names of the proteins, if there are any."""
    proteins = protein_counts(adata)
    if proteins is None:
        return {}
    values, names = proteins
    is_valid = np.isfinite(values).all() and values.min(initial=0) >= 0
    if not (is_valid and np.array_equal(values, np.rint(values))):
        dataset.notes.append(f"obsm['{PROTEINS}'] holds no raw counts and is not used")
        return {}
    return {"proteins": values, "protein_names": np.asarray(names, dtype=np.str_)}


def _digest_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return a digest of the values; the width of integers and of text makes no difference."""
    hasher = hashlib.blake2b(digest_size=12)
    for name in sorted(arrays):
        array = arrays[name]
        hasher.update(f"{name} {array.shape} ".encode())
        if array.dtype.kind == "U":
            hasher.update("\n".join(array.tolist()).encode())
            continue
        for start in range(0, len(array), ENTRIES):
            piece = array[start : start + ENTRIES]
            if array.dtype.kind in "iu":
                piece = piece.astype(np.int64)
            hasher.update(np.ascontiguousarray(piece).data)
            release_pages(array)
    return hasher.hexdigest()
