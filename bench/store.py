"""The cache of datasets and prepared matrices, as memory-mapped arrays named by their content.

``<cache>/datasets/<digest>/`` holds counts and names, and in a file of its own the labels, which
only the score process opens. ``<cache>/prepared/<key>/`` holds one recipe's result. A folder is
written whole under a temporary name and renamed; every file's size and BLAKE2 digest are kept in
``info.json``, and a folder that does not match is removed and made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import DataError
from bench.keys import digest, preparation_digest
from bench.recipe import DatasetInfo, Recipe

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

    from bench.dataset import Dataset

LAYOUT = 1
"""Raised when the files of a folder change their meaning; older folders are then not found."""


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
            for name in ("datasets", "prepared", "pointers", "locks"):
                (root / name).mkdir(parents=True, exist_ok=True)
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
                folder = self.root / "datasets" / json.loads(pointer.read_text())["folder"]
                if _intact(folder):
                    return StoredDataset(folder, label, _read_info(folder))
                say(f"{label}: the cached copy is damaged or gone; loading it again")
                shutil.rmtree(folder, ignore_errors=True)
            say(f"{label}: loading and checking")
            folder = self._keep_dataset(dataset)
            _write_whole(pointer, json.dumps({"folder": folder.name, "of": identity}, indent=1))
        return StoredDataset(folder, label, _read_info(folder))

    def known(self, dataset: Dataset, source: str, label: str) -> StoredDataset | None:
        """Return the dataset if it is in the cache, else ``None``; nothing is loaded or verified.

        For listings, which read facts only and must import nothing heavy; counts come from
        :meth:`dataset`, which verifies them.
        """
        try:
            target = json.loads(self._pointer(_identity(dataset, source)).read_text())["folder"]
            folder = self.root / "datasets" / target
            return StoredDataset(folder, label, _read_info(folder))
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
            "warnings": list(report.warnings),
        }
        name = digest([LAYOUT, facts["counts_digest"], facts["labels_digest"],
                       facts["batch_digest"], dataset.name])  # fmt: skip
        folder = self.root / "datasets" / name
        if not _intact(folder):
            shutil.rmtree(folder, ignore_errors=True)
            _write_folder(folder, arrays, facts, hidden)
        return folder

    def prepared_key(self, dataset: StoredDataset, recipe: Recipe) -> str:
        """Return the name of the folder of a dataset prepared by a recipe."""
        return digest([LAYOUT, dataset.counts_digest, recipe.as_dict(), preparation_digest()])

    def prepared_ready(self, key: str) -> bool:
        """Return whether the prepared folder is there and whole."""
        return _intact(self.root / "prepared" / key)

    def prepare(self, folder: Path, recipe: Recipe, key: str) -> None:
        """Prepare the dataset in ``folder`` by ``recipe`` unless that is there already."""
        import numpy as np
        import scipy.sparse as sp

        from bench.prepare import prepare

        target = self.root / "prepared" / key
        with self._locked(key):
            if _intact(target):
                return
            shutil.rmtree(target, ignore_errors=True)
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
            _write_folder(target, arrays, {"recipe": recipe.as_dict(), "shape": data.shape})

    def open_prepared(self, key: str) -> tuple[AnnData, np.ndarray]:
        """Return the prepared data (memory-mapped, read-only) and the indices of its cells."""
        import numpy as np
        import pandas as pd
        import scipy.sparse as sp
        from anndata import AnnData

        folder = self.root / "prepared" / key
        shape = tuple(_read_info(folder)["shape"])
        read = _reader(folder)
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
        return _reader(self.folder)("types")

    @cached_property
    def batch(self) -> np.ndarray | None:
        """Batch of each cell, if there is one."""
        return _reader(self.folder)("batch") if (self.folder / "batch.npy").is_file() else None


def load_counts(folder: Path) -> AnnData:
    """Return the counts of a stored dataset, without labels, memory-mapped and read-only."""
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    read = _reader(folder)
    info = _read_info(folder)["info"]
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


def _reader(folder: Path) -> Callable[[str], np.ndarray]:
    import numpy as np

    return lambda name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)


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


def _write_folder(
    folder: Path,
    arrays: dict[str, np.ndarray],
    facts: dict[str, Any],
    hidden: dict[str, np.ndarray] | None = None,
) -> None:
    """Write arrays and ``info.json`` under a temporary name, then rename."""
    import numpy as np

    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for name, array in (arrays | (hidden or {})).items():
            np.save(partial / f"{name}.npy", array, allow_pickle=False)
        files = {p.name: [p.stat().st_size, _file_digest(p)] for p in sorted(partial.iterdir())}
        (partial / "info.json").write_text(json.dumps(facts | {"files": files}, indent=1))
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise DataError(
            f"cannot write to the cache folder {folder.parent}: {error.strerror or error}."
        ) from None


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.rename(path)


def _read_info(folder: Path) -> dict[str, Any]:
    info: dict[str, Any] = json.loads((folder / "info.json").read_text())
    return info


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=12)).hexdigest()


def _intact(folder: Path) -> bool:
    """Return whether the folder holds exactly what was written, byte for byte."""
    try:
        files = _read_info(folder)["files"]
        return all(
            (folder / name).stat().st_size == size and _file_digest(folder / name) == known
            for name, (size, known) in files.items()
        )
    except (OSError, ValueError, KeyError):
        return False
