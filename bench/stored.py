"""The files of one dataset in the cache: what is known of it, its counts, its truth."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.folders import read_info, reader
from bench.markers import Markers
from bench.recipe import DatasetInfo

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData

    from bench.dataset import Dataset
    from bench.folders import FolderWriter
    from bench.prepare.blocks import Csr


@dataclass(frozen=True)
class StoredDataset:
    """A checked dataset in the cache; reading ``info`` needs no heavy import."""

    folder: Path
    label: str
    """Display name."""
    facts: dict[str, Any]
    markers: Markers | None = None
    """Marker lists chosen for the dataset; not kept with the counts."""

    @property
    def info(self) -> DatasetInfo:
        """The facts that a recipe may depend on."""
        return DatasetInfo(**self.facts["info"])

    @property
    def counts_digest(self) -> str:
        """Identifies counts, cells and features."""
        return str(self.facts["counts_digest"])

    @property
    def labels_digest(self) -> str:
        """Identifies the true types."""
        return str(self.facts["labels_digest"])

    @property
    def batch_digest(self) -> str:
        """Identifies the batches; empty if there are none."""
        return str(self.facts["batch_digest"])

    @property
    def train_digest(self) -> str:
        """Identifies the cells that a fit may see; empty if it may see all."""
        return str(self.facts.get("train_digest", ""))

    @property
    def rare_type(self) -> str:
        """The type of a rare-population task; empty if there is none."""
        return str(self.facts["card"].get("rare_type", ""))

    @property
    def proteins_digest(self) -> str:
        """Identifies counts and names of the proteins; empty if there are none."""
        return str(self.facts.get("proteins_digest", ""))

    @property
    def n_types(self) -> int:
        """Number of true types."""
        return len(self.facts["types"])


@dataclass(frozen=True)
class Truth:
    """What the scorer knows of a dataset's cells."""

    folder: Path

    @cached_property
    def types(self) -> np.ndarray:
        """True type of each cell."""
        return reader(self.folder)("types")

    @cached_property
    def batch(self) -> np.ndarray | None:
        """Batch of each cell, if there is one."""
        return reader(self.folder)("batch") if (self.folder / "batch.npy").is_file() else None

    @cached_property
    def train(self) -> np.ndarray | None:
        """Mask of the cells that a fit may see, if some are held out."""
        return reader(self.folder)("train") if (self.folder / "train.npy").is_file() else None


def load_counts(folder: Path) -> AnnData:
    """Return the counts of a stored dataset, without labels, memory-mapped and read-only."""
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    read, counts = reader(folder), stored_counts(folder)
    matrix = sp.csr_matrix(
        (counts.data, counts.indices, counts.indptr), shape=counts.shape, copy=False
    )
    return AnnData(
        X=matrix,
        obs=pd.DataFrame(index=read("cells").tolist()),
        var=pd.DataFrame(index=read("features").tolist()),
    )


def stored_counts(folder: Path) -> Csr:
    """Return the counts of a stored dataset, memory-mapped, for a pass over blocks."""
    from bench.prepare.blocks import Csr

    read, info = reader(folder), read_info(folder)["info"]
    shape = (info["n_cells"], info["n_features"])
    return Csr(read("data"), read("indices"), read("indptr"), shape)


def write_dataset(writer: FolderWriter, adata: AnnData, dataset: Dataset) -> dict[str, Any]:
    """Write counts, names, and apart from them types and batch, in one pass over the counts.

    Returns the facts about the content, with digests.
    """
    import numpy as np

    from bench.prepare import describe
    from bench.prepare.blocks import index_type, parts

    card = dataset.card
    matrix = parts(adata.X) or adata.X  # turned only once if it is stored by columns
    columns, end = index_type(matrix), 0
    writer.append("indptr", np.zeros(1, dtype=np.int64))
    totals: list[np.ndarray] = []

    def write(block: sp.csr_matrix) -> None:
        nonlocal end
        writer.append("data", block.data)
        writer.append("indices", block.indices.astype(columns))
        writer.append("indptr", block.indptr[1:].astype(np.int64) + end)
        end += block.nnz
        totals.append(np.asarray(block.sum(axis=1, dtype=np.float64)).ravel())

    info = describe(
        matrix, name=dataset.name, modality=card.modality, has_batch=card.batch_key is not None,
        each=write,
    )  # fmt: skip
    texts = {"cells": adata.obs_names, "features": adata.var_names}
    texts["types"] = adata.obs[card.label_key]
    if card.batch_key is not None:
        texts["batch"] = adata.obs[card.batch_key]
    for name, values in texts.items():
        writer.save(name, np.asarray([str(value) for value in values], dtype=np.str_))
    if card.train_key is not None:
        writer.save("train", adata.obs[card.train_key].to_numpy(dtype=bool))
    has_proteins = _write_proteins(writer, adata, dataset)
    kinds, sizes = np.unique(writer.read("types"), return_counts=True)
    counts = ("data", "indices", "indptr", "cells", "features")
    return {
        "info": asdict(info),
        "counts_digest": _array_digest({name: writer.read(name) for name in counts}),
        "labels_digest": _array_digest({"types": writer.read("types")}),
        "batch_digest": "" if card.batch_key is None
        else _array_digest({"batch": writer.read("batch")}),
        "train_digest": "" if card.train_key is None
        else _array_digest({"train": writer.read("train")}),
        "proteins_digest": "" if not has_proteins
        else _array_digest({name: writer.read(name) for name in ("proteins", "protein_names")}),
        "types": {str(kind): int(size) for kind, size in zip(kinds, sizes, strict=True)},
        "median_counts": float(np.median(np.concatenate(totals))),
    }  # fmt: skip


PROTEINS = "ADT"
"""Where counts of surface proteins (antibody-derived tags) are: ``obsm["ADT"]``."""


def _write_proteins(writer: FolderWriter, adata: AnnData, dataset: Dataset) -> bool:
    """Write the counts of proteins if there are any; values that are no counts are left out."""
    import numpy as np

    found = proteins_of(adata)
    if found is None:
        return False
    values, names = found
    if not (np.isfinite(values).all() and values.min(initial=0) >= 0
            and np.array_equal(values, np.rint(values))):  # fmt: skip
        dataset.notes.append(f"obsm['{PROTEINS}'] holds no raw counts and is not used")
        return False
    writer.save("proteins", values)
    writer.save("protein_names", np.asarray(names, dtype=np.str_))
    return True


def proteins_of(adata: AnnData) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """Return ``obsm["ADT"]`` (cells × proteins, float32) and the names of its columns."""
    import numpy as np

    if PROTEINS not in adata.obsm:
        return None
    table = adata.obsm[PROTEINS]
    dense = table.toarray() if hasattr(table, "toarray") else table
    values = np.asarray(dense, dtype=np.float32)
    columns = getattr(table, "columns", [f"protein{n + 1}" for n in range(values.shape[1])])
    return values, tuple(str(name) for name in columns)


def _array_digest(arrays: dict[str, np.ndarray]) -> str:
    """Return what identifies the values; types of integers and of text make no difference."""
    import numpy as np

    from bench.prepare.blocks import ENTRIES, release

    whole = hashlib.blake2b(digest_size=12)
    for name in sorted(arrays):
        array = arrays[name]
        whole.update(f"{name} {array.shape} ".encode())
        if array.dtype.kind == "U":
            whole.update("\n".join(array.tolist()).encode())
            continue
        for start in range(0, len(array), ENTRIES):
            piece = array[start : start + ENTRIES]
            if array.dtype.kind in "iu":
                piece = piece.astype(np.int64)
            whole.update(np.ascontiguousarray(piece).data)
            release(array)
    return whole.hexdigest()
