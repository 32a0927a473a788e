"""The files of one dataset in the cache: what is known of it, its counts, its truth."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import PROTEINS, Markers, protein_counts
from bench.contract.multiome import (
    PARTS,
    cells_of,
    decode_bases,
    is_paired,
    pair_data,
    read_feature_columns,
)
from bench.contract.recipe import MULTIOME, DatasetInfo, combine_infos, dataset_info_from_dict
from bench.digests import digest

from .array_folder import open_arrays, read_info

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Dataset
    from bench.prepare.blocks import Csr

    from .array_folder import FolderWriter


@dataclass(frozen=True)
class CachedDataset:
    """A checked dataset in the cache; reading ``info`` needs no heavy import."""

    folder: Path
    label: str
    """Display name."""
    facts: dict[str, Any]
    markers: Markers | None = None
    """Marker lists chosen for the dataset; not kept with the counts."""

    @property
    def info(self) -> DatasetInfo:
        """The facts that a recipe may depend on; a ``PairedInfo`` for paired data."""
        return dataset_info_from_dict(self.facts["info"])

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
class CellLabels:
    """What the scorer knows of a dataset's cells."""

    folder: Path

    @cached_property
    def types(self) -> np.ndarray:
        """True type of each cell."""
        return open_arrays(self.folder)("types")

    @cached_property
    def batch(self) -> np.ndarray | None:
        """Batch of each cell, if there is one."""
        return open_arrays(self.folder)("batch") if (self.folder / "batch.npy").is_file() else None

    @cached_property
    def train(self) -> np.ndarray | None:
        """Mask of the cells that a fit may see, if some are held out."""
        return open_arrays(self.folder)("train") if (self.folder / "train.npy").is_file() else None


def load_counts(folder: Path) -> AnnData | MuData:
    """Return the counts of a stored dataset, without labels, memory-mapped and read-only."""
    if "parts" in read_info(folder)["info"]:
        return pair_data(*(_load_part(folder, part) for part in PARTS))
    return _load_part(folder)


def _load_part(folder: Path, part: str = "") -> AnnData:
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    counts = read_counts(folder, part)
    facts = {name: decode_bases(values) for name, values in read_feature_facts(folder, part).items()}
    matrix = sp.csr_matrix(
        (counts.data, counts.indices, counts.indptr), shape=counts.shape, copy=False
    )
    return AnnData(
        X=matrix,
        obs=pd.DataFrame(index=open_arrays(folder)("cells").tolist()),
        var=pd.DataFrame(facts, index=read_features(folder, part).tolist()),
    )


def read_counts(folder: Path, part: str = "") -> Csr:
    """Return the counts of a stored dataset, memory-mapped, for a pass over blocks.

    ``part`` names one of the parts of paired data.
    """
    from bench.prepare.blocks import Csr

    read, info = open_arrays(folder), read_info(folder)["info"]
    shape = (info["n_cells"], (info["parts"][part] if part else info)["n_features"])
    data, indices, indptr = (read(_file(part, name)) for name in ("data", "indices", "indptr"))
    return Csr(data, indices, indptr, shape)


def read_features(folder: Path, part: str = "") -> np.ndarray:
    """Return the names of the features of a stored dataset, or of one part of it."""
    names, info = open_arrays(folder)("features"), read_info(folder)["info"]
    if not part:
        return names
    n_genes = info["parts"][PARTS[0]]["n_features"]
    return names[:n_genes] if part == PARTS[0] else names[n_genes:]


def read_feature_facts(folder: Path, part: str = "") -> dict[str, np.ndarray]:
    """Return the facts about the features of a part (see ``bench.contract.multiome.FACTS``); else nothing."""
    read = open_arrays(folder)
    known = read_info(folder).get("feature_facts", {}).get(part, ())
    return {name: read(_file(part, name)) for name in known}


def _file(part: str, name: str) -> str:
    return f"{part}_{name}" if part else name


def write_dataset(
    writer: FolderWriter, data: AnnData | MuData, dataset: Dataset
) -> dict[str, Any]:
    """Write counts, names, and apart from them types and batch, in one pass over the counts.

    Of paired data each part has files of its own. Returns the facts about the content, with
    digests.
    """
    import numpy as np

    card = dataset.card
    adata = cells_of(data)
    matrices = {part: data[part] for part in PARTS} if is_paired(data) else {"": data}
    names = [str(name) for one in matrices.values() for name in one.var_names]
    texts = {"cells": adata.obs_names, "features": names, "types": adata.obs[card.label_key]}
    if card.batch_key is not None:
        texts["batch"] = adata.obs[card.batch_key]
    for name, values in texts.items():
        writer.save(name, np.asarray([str(value) for value in values], dtype=np.str_))
    if card.train_key is not None:
        writer.save("train", adata.obs[card.train_key].to_numpy(dtype=bool))
    about = _write_parts(writer, matrices, dataset)
    has_proteins = _write_proteins(writer, adata, dataset)
    kinds, sizes = np.unique(writer.read("types"), return_counts=True)
    return about | {
        "labels_digest": _array_digest({"types": writer.read("types")}),
        "batch_digest": "" if card.batch_key is None
        else _array_digest({"batch": writer.read("batch")}),
        "train_digest": "" if card.train_key is None
        else _array_digest({"train": writer.read("train")}),
        "proteins_digest": "" if not has_proteins
        else _array_digest({name: writer.read(name) for name in ("proteins", "protein_names")}),
        "types": {str(kind): int(size) for kind, size in zip(kinds, sizes, strict=True)},
    }  # fmt: skip


def _write_parts(
    writer: FolderWriter, matrices: dict[str, AnnData], dataset: Dataset
) -> dict[str, Any]:
    """Write the counts of each part, and what is known of the features of paired data.

    A part of paired data has the digest that its counts would have alone, so that the same matrix
    is prepared once.
    """
    import numpy as np

    infos, digests, known, first = {}, {}, {}, 0
    totals = np.zeros(next(iter(matrices.values())).n_obs)
    for part, adata in matrices.items():
        infos[part], sums = _write_counts(writer, adata, part, dataset)
        totals += sums
        arrays = {name: writer.read(_file(part, name)) for name in ("data", "indices", "indptr")}
        arrays["cells"] = writer.read("cells")
        arrays["features"] = writer.read("features")[first : first + adata.n_vars]
        first += adata.n_vars
        digests[part] = _array_digest(arrays)
        if part:
            facts = read_feature_columns(adata.var, part, dataset.where)
            for name, values in facts.items():
                writer.save(_file(part, name), values)
            known[part] = list(facts)
    about: dict[str, Any] = {"median_counts": float(np.median(totals))}
    if "" in matrices:
        return about | {"info": asdict(infos[""]), "counts_digest": digests[""]}
    files = [_file(part, name) for part, names in known.items() for name in names]
    facts_digest = _array_digest({name: writer.read(name) for name in files})
    return about | {
        "info": asdict(combine_infos(infos, dataset.name, MULTIOME)),
        "counts_digest": digest([*digests.values(), facts_digest]),
        "part_digests": digests,
        "feature_facts": known,
    }


def _write_counts(
    writer: FolderWriter, adata: AnnData, part: str, dataset: Dataset
) -> tuple[DatasetInfo, np.ndarray]:
    """Write one matrix; returns the facts about it and the total of each cell."""
    import numpy as np

    from bench.prepare.in_memory import describe_counts
    from bench.prepare.blocks import csr_parts, index_type

    matrix = csr_parts(adata.X) or adata.X  # turned only once if it is stored by columns
    columns, end = index_type(matrix), 0
    data, indices, indptr = (_file(part, name) for name in ("data", "indices", "indptr"))
    writer.append(indptr, np.zeros(1, dtype=np.int64))
    totals: list[np.ndarray] = []

    def write(block: sp.csr_matrix) -> None:
        nonlocal end
        writer.append(data, block.data)
        writer.append(indices, block.indices.astype(columns))
        writer.append(indptr, block.indptr[1:].astype(np.int64) + end)
        end += block.nnz
        totals.append(np.asarray(block.sum(axis=1, dtype=np.float64)).ravel())

    card = dataset.card
    info = describe_counts(
        matrix, name=dataset.name, modality=part or card.modality,
        has_batch=card.batch_key is not None, each_block=write,
    )  # fmt: skip
    return info, np.concatenate(totals)


def _write_proteins(writer: FolderWriter, adata: AnnData, dataset: Dataset) -> bool:
    """Write the counts of proteins if there are any; values that are no counts are left out."""
    import numpy as np

    found = protein_counts(adata)
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


def _array_digest(arrays: dict[str, np.ndarray]) -> str:
    """Return what identifies the values; types of integers and of text make no difference."""
    import numpy as np

    from bench.prepare.blocks import ENTRIES, release_pages

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
            release_pages(array)
    return whole.hexdigest()
