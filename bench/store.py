"""The cache of datasets and prepared matrices, as memory-mapped arrays named by their content.

``<cache>/datasets/<digest>/`` holds counts and names, and in a file of its own the labels, which
only the score process opens. ``<cache>/prepared/<key>/`` holds one recipe's result. Folders are
written and verified by ``bench.folders``; one that is damaged is removed and made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import DataError
from bench.folders import (
    LAYOUT,
    intact,
    mark_used,
    read_info,
    reader,
    write_whole,
    writing,
)
from bench.keys import digest, preparation_digest
from bench.recipe import DatasetInfo, Recipe
from bench.usage import InUse, Usage, clean, survey, sweep

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

    from bench.dataset import Dataset

MAX_BYTES = 20 * 2**30
"""What ``clean`` leaves unless told otherwise."""


@dataclass(frozen=True)
class StoredDataset:
    """A checked dataset in the cache; reading ``info`` needs no heavy import."""

    folder: Path
    label: str
    """Display name."""
    facts: dict[str, Any]

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
    def n_types(self) -> int:
        """Number of true types."""
        return len(self.facts["types"])


class Store:
    """Access to one cache folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            for name in ("datasets", "prepared", "pointers", "locks", "users"):
                (root / name).mkdir(parents=True, exist_ok=True)
            self._in_use = InUse(root)
            sweep(root, self._in_use)
        except OSError as error:
            raise DataError(
                f"cache folder {root} cannot be used: {error.strerror}; set BENCH_CACHE_DIR."
            ) from None

    def dataset(
        self,
        dataset: Dataset,
        source: str,
        label: str,
        say: Callable[[str], None] = lambda t: None,
    ) -> StoredDataset:
        """Return the dataset from the cache; load, check and keep it first if it is not there.

        ``source`` identifies the loader's code. Raises ``DataError`` with one clear line.
        """
        identity = _identity(dataset, source)
        pointer = self._pointer(identity)
        with self._locked(pointer.stem):
            if pointer.is_file():
                folder = self.root / "datasets" / _pointed(pointer)
                self._in_use.declare(folder.name)
                if intact(folder):
                    mark_used(folder)
                    return StoredDataset(folder, label, read_info(folder))
                if folder.exists():
                    say(f"{label}: the cached copy is damaged; making it anew")
            say(f"{label}: loading and checking")
            folder = self._keep_dataset(dataset)
            write_whole(pointer, json.dumps({"folder": folder.name, "of": identity}, indent=1))
        return StoredDataset(folder, label, read_info(folder))

    def known(self, dataset: Dataset, source: str, label: str) -> StoredDataset | None:
        """Return the dataset if it is in the cache, else ``None``; nothing is loaded or verified.

        For listings, which read facts only and must import nothing heavy; counts come from
        :meth:`dataset`, which verifies them.
        """
        try:
            target = _pointed(self._pointer(_identity(dataset, source)))
            folder = self.root / "datasets" / target
            return StoredDataset(folder, label, read_info(folder))
        except (OSError, ValueError, KeyError):
            return None

    def _pointer(self, identity: dict[str, Any]) -> Path:
        return self.root / "pointers" / f"{digest(identity)}.json"

    def _keep_dataset(self, dataset: Dataset) -> Path:
        import numpy as np
        import scipy.sparse as sp

        from bench.checks import check_counts
        from bench.prepare import describe

        adata = dataset.load()
        card = dataset.card
        report = check_counts(
            adata, where=dataset.where, label_key=card.label_key, batch_key=card.batch_key,
            modality=card.modality,
        )  # fmt: skip
        counts = sp.csr_matrix(adata.X, dtype=np.float32)
        counts.sum_duplicates()
        counts.eliminate_zeros()
        names = {"cells": _text(adata.obs_names), "features": _text(adata.var_names)}
        types = _text(adata.obs[card.label_key])
        batch = _text(adata.obs[card.batch_key]) if card.batch_key else None
        arrays = {"data": counts.data, "indices": counts.indices, "indptr": counts.indptr, **names}
        hidden = {"types": types} | ({} if batch is None else {"batch": batch})
        info = describe(
            counts, name=dataset.name, modality=card.modality, has_batch=batch is not None
        )
        kinds, sizes = np.unique(types, return_counts=True)
        facts = {
            "info": asdict(info),
            "counts_digest": _array_digest(arrays),
            "labels_digest": _array_digest({"types": types}),
            "batch_digest": "" if batch is None else _array_digest({"batch": batch}),
            "types": {str(kind): int(size) for kind, size in zip(kinds, sizes, strict=True)},
            "card": asdict(card),
            # Shown under the name of the dataset, so without it.
            "warnings": [
                line.removeprefix(f"{dataset.where}: ")
                for line in (*dataset.notes, *report.warnings)
            ],
        }
        name = digest([LAYOUT, facts["counts_digest"], facts["labels_digest"],
                       facts["batch_digest"], dataset.name, *dataset.notes])  # fmt: skip
        folder = self.root / "datasets" / name
        self._in_use.declare(name)
        with self._locked(name):
            if not intact(folder):
                with writing(folder.parent, self._in_use.declare) as writer:
                    for key, array in (arrays | hidden).items():
                        writer.save(key, array)
                    writer.finish(folder, facts)
        return folder

    def prepared_key(self, dataset: StoredDataset, recipe: Recipe) -> str:
        """Return the name of the folder of a dataset prepared by a recipe."""
        return digest([LAYOUT, dataset.counts_digest, recipe.as_dict(), preparation_digest()])

    def prepared_ready(self, key: str) -> bool:
        """Return whether the prepared folder is there and whole; it stays while this lives."""
        self._in_use.declare(key)
        return intact(self.root / "prepared" / key)

    def prepare(self, folder: Path, recipe: Recipe, key: str) -> None:
        """Prepare the dataset in ``folder`` by ``recipe`` unless that is there already."""
        import numpy as np
        import scipy.sparse as sp

        from bench.prepare import prepare

        target = self.root / "prepared" / key
        self._in_use.declare(key)
        with self._locked(key):
            if intact(target):
                return
            counts = load_counts(folder)
            data = prepare(counts, recipe)
            raw = sp.csr_matrix(data.layers["counts"])
            arrays = {
                "counts_data": raw.data,
                "counts_indices": raw.indices,
                "counts_indptr": raw.indptr,
                "size_factor": np.asarray(data.obs["size_factor"], dtype=np.float32),
                "cells": counts.obs_names.get_indexer(data.obs_names).astype(np.int64),
                "cell_names": _text(data.obs_names),
                "features": _text(data.var_names),
            }
            if sp.issparse(data.X):
                matrix = sp.csr_matrix(data.X)
                arrays |= {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
            else:
                arrays["dense"] = np.ascontiguousarray(data.X, dtype=np.float32)
            facts = {
                "name": read_info(folder)["info"]["name"],
                "recipe": recipe.as_dict(),
                "shape": list(data.shape),
            }
            with writing(target.parent, self._in_use.declare) as writer:
                for name, array in arrays.items():
                    writer.save(name, array)
                writer.finish(target, facts)

    def open_prepared(self, key: str) -> tuple[AnnData, np.ndarray]:
        """Return the prepared data (memory-mapped, read-only) and the indices of its cells."""
        import numpy as np
        import pandas as pd
        import scipy.sparse as sp
        from anndata import AnnData

        folder = self.root / "prepared" / key
        read = reader(folder)
        shape = tuple(read_info(folder)["shape"])
        if (folder / "dense.npy").is_file():
            matrix: Any = read("dense")
        else:
            matrix = sp.csr_matrix(
                (read("data"), read("indices"), read("indptr")), shape=shape, copy=False
            )
        data = AnnData(
            X=matrix,
            obs=pd.DataFrame(
                {"size_factor": np.array(read("size_factor"))}, index=read("cell_names").tolist()
            ),
            var=pd.DataFrame(index=read("features").tolist()),
        )
        data.layers["counts"] = sp.csr_matrix(
            (read("counts_data"), read("counts_indices"), read("counts_indptr")), shape=shape
        )
        return data, np.array(read("cells"))

    def usage(self) -> list[Usage]:
        """Return what is in the cache, the last used first; downloads and added data are not."""
        return survey(self.root, self._in_use)

    def clean(self, max_bytes: int = MAX_BYTES, *, everything: bool = False) -> list[Usage]:
        """Remove the least recently used until ``max_bytes`` are left; returns what went.

        Damaged, unfinished and outdated folders go first, and always; with ``everything`` all
        goes. What a running process needs stays.
        """
        removed = clean(self.root, self._in_use, 0 if everything else max_bytes)
        for pointer in (self.root / "pointers").glob("*.json"):
            if not (self.root / "datasets" / _pointed(pointer)).is_dir():
                pointer.unlink(missing_ok=True)
        return removed

    def verify(self) -> list[tuple[Usage, bool]]:
        """Read all bytes in the cache; returns for each folder whether it is what was written."""
        there = [one for one in self.usage() if not one.folder.name.startswith(".")]
        return [(one, intact(one.folder, read_all=True)) for one in there]

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        from filelock import FileLock

        with FileLock(self.root / "locks" / f"{name}.lock"):
            yield


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


def load_counts(folder: Path) -> AnnData:
    """Return the counts of a stored dataset, without labels, memory-mapped and read-only."""
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    read = reader(folder)
    info = read_info(folder)["info"]
    matrix = sp.csr_matrix(
        (read("data"), read("indices"), read("indptr")),
        shape=(info["n_cells"], info["n_features"]),
        copy=False,
    )
    return AnnData(
        X=matrix,
        obs=pd.DataFrame(index=read("cells").tolist()),
        var=pd.DataFrame(index=read("features").tolist()),
    )


def _identity(dataset: Dataset, source: str) -> dict[str, Any]:
    """Return what decides which copy in the cache is the dataset's."""
    return {
        "layout": LAYOUT,
        "name": dataset.name,
        "params": dataset.params.resolved(),
        "source": source,
        "fingerprint": dataset.fingerprint(),
    }


def _pointed(pointer: Path) -> str:
    """Return the folder that a pointer names; damaged ones name none."""
    try:
        return str(json.loads(pointer.read_text())["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return "none"


def _text(values: Any) -> np.ndarray:
    import numpy as np

    return np.asarray([str(value) for value in values], dtype=np.str_)


def _array_digest(arrays: dict[str, np.ndarray]) -> str:
    import numpy as np

    whole = hashlib.blake2b(digest_size=12)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        if array.dtype.kind == "U":
            content = "\n".join(array.tolist()).encode()
        elif array.dtype.kind in "iu":
            content = array.astype(np.int64).tobytes()
        else:
            content = array.tobytes()
        whole.update(f"{name} {array.shape} ".encode() + content)
    return whole.hexdigest()
