"""The cache of datasets and prepared matrices, as memory-mapped arrays named by their content.

``<cache>/datasets/<digest>/`` holds counts and names, and in a file of its own the labels, which
only the score process opens. ``<cache>/prepared/<key>/`` holds one recipe's result. Folders are
written and verified by ``bench.data.cache.array_folder``; one that is damaged is removed and made again.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import Markers, PairedRecipe, Recipe
from bench.contract.multiome import PARTS, decode_bases, pair_data, select_cells
from bench.data.known_markers import dataset_markers
from bench.digests import digest
from bench.errors import DataError
from bench.versions import PREPARATION

from .array_folder import (
    LAYOUT,
    disk_errors_as_data_errors,
    is_intact,
    mark_used,
    new_array_folder,
    open_arrays,
    read_info,
    write_text_atomically,
)
from .cached_dataset import (
    CachedDataset,
    CellLabels,
    read_counts,
    read_feature_facts,
    read_features,
    write_dataset,
)
from .cleanup import CacheEntry, FoldersInUse, list_entries, remove_entries, remove_leftovers

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Dataset

logger = logging.getLogger(__name__)


MAX_BYTES = 20 * 2**30
"""What ``remove_entries`` leaves unless told otherwise."""


class DataCache:
    """Access to one cache folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            for name in ("datasets", "prepared", "pointers", "locks", "users"):
                (root / name).mkdir(parents=True, exist_ok=True)
            self._in_use = FoldersInUse(root)
            remove_leftovers(root, self._in_use)
        except OSError as error:
            raise DataError(
                f"cache folder {root} cannot be used: {error.strerror}; set BENCH_CACHE_DIR."
            ) from None

    def dataset(self, dataset: Dataset, source: str, label: str) -> CachedDataset:
        """Return the dataset from the cache; load, check and keep it first if it is not there.

        ``source`` identifies the loader's code; ``say`` also hears if its memory will not do.
        Raises ``DataError`` with one clear line.
        """
        from bench.data.checks import memory_warnings

        found = self._dataset(dataset, source, label)
        for line in memory_warnings(found.info):
            logger.info(f"{label}: {line}")
        return replace(found, markers=_made(found.facts) or dataset_markers(dataset))

    def _dataset(self, dataset: Dataset, source: str, label: str) -> CachedDataset:
        identity = _identity(dataset, source)
        pointer = self._pointer(identity)
        with self._locked(pointer.stem):
            if pointer.is_file():
                folder = self.root / "datasets" / _pointed(pointer)
                self._in_use.declare(folder.name)
                if is_intact(folder):
                    mark_used(folder)
                    return CachedDataset(folder, label, read_info(folder))
                if folder.exists():
                    logger.info(f"{label}: the cached copy is damaged; making it anew")
            logger.info(f"{label}: loading and checking")
            folder = self._keep_dataset(dataset)
            with disk_errors_as_data_errors(pointer.parent):
                write_text_atomically(pointer, json.dumps({"folder": folder.name, "of": identity}, indent=1))
        return CachedDataset(folder, label, read_info(folder))

    def known(self, dataset: Dataset, source: str, label: str) -> CachedDataset | None:
        """Return the dataset if it is in the cache, else ``None``; nothing is loaded or verified.

        For listings, which read facts only and must import nothing heavy; counts come from
        :meth:`dataset`, which verifies them.
        """
        try:
            target = _pointed(self._pointer(_identity(dataset, source)))
            folder = self.root / "datasets" / target
            facts = read_info(folder)
            return CachedDataset(folder, label, facts, _made(facts) or dataset_markers(dataset))
        except (OSError, ValueError, KeyError):
            return None

    def _pointer(self, identity: dict[str, Any]) -> Path:
        return self.root / "pointers" / f"{digest(identity)}.json"

    def _keep_dataset(self, dataset: Dataset) -> Path:
        """Load, check and write a dataset block by block; returns its folder."""
        from bench.data.checks import check_data

        adata = dataset.load()
        card = dataset.card
        report = check_data(
            adata, where=dataset.where, label_key=card.label_key, batch_key=card.batch_key,
            modality=card.modality,
        )  # fmt: skip
        facts: dict[str, Any] = {"card": asdict(card)}
        with new_array_folder(self.root / "datasets", self._in_use.declare) as writer:
            facts |= write_dataset(writer, adata, dataset)
            if adata.isbacked:
                adata.file.close()
            # Shown under the name of the dataset, so without it.
            prefix = f"{dataset.where}: "
            lines = [line.removeprefix(prefix) for line in (*dataset.notes, *report.warnings)]
            facts["warnings"] = lines
            made = dataset.replacement_markers
            facts["replacement_markers"] = asdict(made) if made else None
            task = [dataset.card.rare_type, facts["train_digest"], facts["replacement_markers"]]
            name = digest([LAYOUT, facts["info"], facts["counts_digest"], facts["labels_digest"],
                           facts["batch_digest"], dataset.name, *dataset.notes,
                           *(task if any(task) else []),
                           *filter(None, [facts["proteins_digest"]])])  # fmt: skip
            folder = self.root / "datasets" / name
            self._in_use.declare(name)
            with self._locked(name):
                if not is_intact(folder):
                    writer.finish(folder, facts)
        return folder

    def prepared_key(self, dataset: CachedDataset, recipe: Recipe | PairedRecipe) -> str:
        """Return the name of the folder of a dataset prepared by a recipe."""
        return _prepared_key(dataset.facts, recipe)

    def prepared_ready(self, key: str) -> bool:
        """Return whether the prepared folder is there and whole; it stays while this lives."""
        self._in_use.declare(key)
        folder = self.root / "prepared" / key
        if not is_intact(folder):
            return False
        parts = read_info(folder).get("parts", {})
        return all(self.prepared_ready(one) for one in parts.values())

    def prepare(self, folder: Path, recipe: Recipe | PairedRecipe, key: str) -> None:
        """Prepare the dataset in ``folder`` by ``recipe`` unless that is there already.

        Only a recipe that selects features batch by batch sees the batches. Each part of paired
        data is prepared as it would be alone.
        """
        if isinstance(recipe, PairedRecipe):
            self._prepare_pair(folder, recipe, key)
        else:
            self._prepare(folder, recipe, key)

    def _prepare(self, folder: Path, recipe: Recipe, key: str, part: str = "") -> None:
        from bench.prepare.pipeline import apply_recipe

        target = self.root / "prepared" / key
        self._in_use.declare(key)
        with self._locked(key):
            if is_intact(target):
                return
            read, info = open_arrays(folder), read_info(folder)["info"]
            batch = CellLabels(folder).batch if recipe.batch_aware else None
            with new_array_folder(target.parent, self._in_use.declare) as writer:
                kept = apply_recipe(read_counts(folder, part), recipe, writer, batch)
                writer.save("cells", kept.cells)
                writer.save("cell_names", read("cells")[kept.cells])
                writer.save("features", read_features(folder, part)[kept.features])
                facts = {
                    "name": info["name"],
                    "recipe": recipe.as_dict(),
                    "shape": [len(kept.cells), len(kept.features)],
                }
                writer.finish(target, facts)

    def _prepare_pair(self, folder: Path, recipe: PairedRecipe, key: str) -> None:
        """Prepare both parts, and note the cells that both keep and facts about the features."""
        import numpy as np

        info = read_info(folder)
        keys = _part_keys(info, recipe)
        for part in PARTS:
            self._prepare(folder, getattr(recipe, part), keys[part], part)
        target = self.root / "prepared" / key
        self._in_use.declare(key)
        with self._locked(key):
            if is_intact(target):
                return
            read = {part: open_arrays(target.with_name(keys[part])) for part in PARTS}
            cells = np.intersect1d(read[PARTS[0]]("cells"), read[PARTS[1]]("cells"))
            if not len(cells):
                raise DataError(
                    "the filters leave no cell in both parts: "
                    f"min_features={recipe.rna.min_features} (rna), "
                    f"{recipe.atac.min_features} (atac); loosen them."
                )
            with new_array_folder(target.parent, self._in_use.declare) as writer:
                writer.save("cells", cells)
                known = {}
                for part in PARTS:
                    kept = np.isin(read_features(folder, part), read[part]("features"))
                    facts = read_feature_facts(folder, part)
                    known[part] = list(facts)
                    for name, values in facts.items():
                        writer.save(f"{part}_{name}", values[kept])
                writer.finish(target, {
                    "name": info["info"]["name"], "recipe": recipe.as_dict(), "parts": keys,
                    "feature_facts": known,
                })  # fmt: skip

    def open_prepared(self, key: str) -> tuple[AnnData | MuData, np.ndarray]:
        """Return the prepared data (memory-mapped, read-only) and the indices of its cells.

        Of paired data the cells that both parts kept, with the facts about the features.
        """
        import numpy as np

        folder = self.root / "prepared" / key
        read, info = open_arrays(folder), read_info(folder)
        if "parts" not in info:
            return self._open(key)
        cells, opened = np.array(read("cells")), []
        for part in PARTS:
            data, own = self._open(info["parts"][part])
            if len(own) != len(cells):
                data = select_cells(data, np.searchsorted(own, cells))
            for name in info["feature_facts"][part]:
                data.var[name] = decode_bases(np.array(read(f"{part}_{name}")))
            opened.append(data)
        return pair_data(*opened), cells

    def _open(self, key: str) -> tuple[AnnData, np.ndarray]:
        import numpy as np
        import pandas as pd
        import scipy.sparse as sp
        from anndata import AnnData

        folder = self.root / "prepared" / key
        read = open_arrays(folder)
        shape = tuple(read_info(folder)["shape"])
        pattern = (read("indices"), read("indptr"))
        counts = sp.csr_matrix((read("counts_data"), *pattern), shape=shape, copy=False)
        if (folder / "dense.npy").is_file():
            matrix: Any = read("dense")
        else:
            # Values that the recipe does not change are stored once.
            changed = (folder / "data.npy").is_file()
            values = read("data" if changed else "counts_data")
            matrix = sp.csr_matrix((values, *pattern), shape=shape, copy=False)
        data = AnnData(
            X=matrix,
            obs=pd.DataFrame(
                {"size_factor": np.array(read("size_factor"))}, index=read("cell_names").tolist()
            ),
            var=pd.DataFrame(index=read("features").tolist()),
        )
        data.layers["counts"] = counts
        return data, np.array(read("cells"))

    def usage(self) -> list[CacheEntry]:
        """Return what is in the cache, the last used first; downloads and added data are not."""
        return list_entries(self.root, self._in_use)

    def clean(self, max_bytes: int = MAX_BYTES, *, everything: bool = False) -> list[CacheEntry]:
        """Remove the least recently used until ``max_bytes`` are left; returns what went.

        Damaged, unfinished and outdated folders go first, and always; with ``everything`` all
        goes. What a running process needs stays.
        """
        removed = remove_entries(self.root, self._in_use, 0 if everything else max_bytes)
        for pointer in (self.root / "pointers").glob("*.json"):
            if not (self.root / "datasets" / _pointed(pointer)).is_dir():
                pointer.unlink(missing_ok=True)
        return removed

    def verify(self) -> list[tuple[CacheEntry, bool]]:
        """Read all bytes in the cache; returns for each folder whether it is what was written."""
        there = [one for one in self.usage() if not one.folder.name.startswith(".")]
        return [(one, is_intact(one.folder, read_all=True)) for one in there]

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        from filelock import FileLock

        with FileLock(self.root / "locks" / f"{name}.lock"):
            yield


def _prepared_key(facts: dict[str, Any], recipe: Recipe | PairedRecipe, part: str = "") -> str:
    """Return the key of a dataset, or of a part of it, prepared by a recipe."""
    if isinstance(recipe, PairedRecipe):
        return digest([LAYOUT, "pair", _part_keys(facts, recipe), facts["counts_digest"]])
    counts = facts["part_digests"][part] if part else facts["counts_digest"]
    batch = facts["batch_digest"] if recipe.batch_aware else None
    return digest([LAYOUT, counts, recipe.as_dict(), PREPARATION, batch])


def _part_keys(facts: dict[str, Any], recipe: PairedRecipe) -> dict[str, str]:
    return {part: _prepared_key(facts, getattr(recipe, part), part) for part in PARTS}


def _identity(dataset: Dataset, source: str) -> dict[str, Any]:
    """Return what decides which copy in the cache is the dataset's."""
    return {
        "layout": LAYOUT,
        "holds": "proteins",  # copies without them, made by an earlier version, are not found
        "name": dataset.name,
        "params": dataset.params.resolved(),
        "source": source,
        "fingerprint": dataset.fingerprint(),
    }


def _made(facts: dict[str, Any]) -> Markers | None:
    """Return the marker lists that were made when a dataset was loaded, if any were."""
    made = facts.get("replacement_markers")
    if not made:
        return None
    lists = {name: tuple(genes) for name, genes in made["lists"].items()}
    return Markers(lists, made["source"])


def _pointed(pointer: Path) -> str:
    """Return the folder that a pointer names; damaged ones name none."""
    try:
        return str(json.loads(pointer.read_text())["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return "none"
