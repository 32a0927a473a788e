"""The rare-population task: a dataset with one type made rare, and cells kept from the fit.

Any dataset takes these parameters in its brackets, a file, a named set or a simulator alike:
``zheng_sorted[rare_type=monocytes,prevalence=0.01,train=0.7]``. Labels are used here, on the side
of the dataset; a fit sees which cells are there and nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.contract import (
    Card,
    Dataset,
    FileLocation,
    Parameters,
    cells_of,
    is_paired,
    select_cells,
)
from bench.errors import DataError, UsageError
from bench.messages import did_you_mean
from bench.seeds import derive_seed

from .known_markers import dataset_markers
from .marker_guides import add_shuffled_genes, draw_random_genes, normalize_name, select_lists

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Markers

MIN_RARE_CELLS = 5
"""Cells of the rare type that must be left: below, a score is the luck of single cells."""
TRAIN_KEY = "bench_train"
PAIRED_TRAIN_SHARE = 0.8
"""Share of the cells of paired data for the fit, unless told: pairs are matched on the others."""


class RarePopulationTask(Parameters):
    """What makes a dataset a rare-population task."""

    rare_type: str = Field(
        "", description="type to be found; case, spaces and punctuation do not matter"
    )
    prevalence: float | None = Field(
        None, gt=0, lt=1, description="its share of the cells after down-sampling; none: as it is"
    )
    plant_seed: int = Field(
        0, ge=0, description="which of its cells are kept, and which cells are held out"
    )
    train: float | None = Field(
        None, ge=0, lt=1, description="share of each type's cells for the fit; 0: all; none: all, "
        "of paired data 0.8",
    )  # fmt: skip
    thin: float | None = Field(
        None, gt=0, lt=1, description="share of the molecules that are kept, drawn at random: "
        "shallower sequencing; none: all",
    )  # fmt: skip
    signatures: str = Field(
        "", description="marker lists that guided methods get, separated by +; empty: all"
    )
    guide: Literal["true", "random", "shuffled"] = Field(
        "true", description="control: random genes of like expression, or shuffled values"
    )


class RarePopulation(Dataset):
    """A dataset with the cells of one type down-sampled and a part of the cells held out."""

    def __init__(self, inner: Dataset, task: RarePopulationTask) -> None:
        super().__init__(inner.params)
        self.inner, self.task, self.name = inner, task, inner.name
        self.guided = bool(task.signatures) or task.guide != "true"
        if hasattr(inner, "card"):  # that of a file is known once it has been read
            self.card: Card = inner.card

    @property
    def paired(self) -> bool:
        """Whether the data are, or may be, paired."""
        return self.inner.paired

    @property
    def where(self) -> str:
        """What error messages call the data themselves."""
        return self.inner.where

    def own_markers(self) -> Markers | None:
        """Return the marker lists that come with the data."""
        return self.inner.own_markers()

    def file_locations(self) -> list[FileLocation]:
        """Return where the files lie."""
        return self.inner.file_locations()

    def fetch(self) -> dict[str, Path]:
        """Fetch the files that are missing."""
        return self.inner.fetch()

    def fingerprint(self) -> dict[str, Any]:
        """Return what decides the content of the data, and the task."""
        lists = dataset_markers(self) if self.guided else None
        task = {key: value for key, value in self.task.resolved().items() if value is not None}
        return {
            "of": self.inner.fingerprint(),
            "task": task,
            "markers": [lists.lists, lists.source] if lists else None,
        }

    def load(self) -> AnnData | MuData:
        """Return counts, labels and batch of the cells that are left, and who is held out.

        Raises ``DataError`` if there is no such type, or too few cells for the prevalence.
        """
        data = self.inner.load()
        self.card = self.inner.card
        self.notes = [*self.inner.notes]
        if self.task.thin is not None:
            data = self._thinned(data, self.task.thin)
        train_share = self.task.train
        if train_share is None and is_paired(data):
            train_share = PAIRED_TRAIN_SHARE
        if not self.task.rare_type and not train_share and not self.guided:
            return data
        types = cells_of(data).obs[self.card.label_key].astype(str).to_numpy()
        if self.task.rare_type:
            rare = self._find(types)
            self.card = replace(self.card, rare_type=rare)
            if self.task.prevalence is not None:
                kept = self._keep(types, rare, self.task.prevalence)
                data, types = select_cells(data, kept), types[kept]
        if train_share:
            train = draw_training_cells(types, train_share, self.task.plant_seed)
            self.notes.append(
                f"{train.sum()} of {len(train)} cells are for the fit, {(~train).sum()} held out"
            )
            cells_of(data).obs[TRAIN_KEY] = train
            self.card = replace(self.card, train_key=TRAIN_KEY)
        return self._guide(data) if self.guided else data

    def _thinned(self, adata: Any, share: float) -> AnnData:
        """Return the data with each molecule kept with chance ``share``; raises ``DataError``."""
        import numpy as np
        import scipy.sparse as sp

        if is_paired(adata):
            raise DataError(f"{self.where}: thin= is for one modality; add part=rna or part=atac.")
        adata = adata.to_memory() if adata.isbacked else adata.copy()
        counts = sp.csr_matrix(adata.X)
        if np.any(counts.data < 0) or np.any(counts.data != np.round(counts.data)):
            raise DataError(
                f"{self.where}: thin={share:g} needs counts in X; it holds values that are not "
                "whole numbers."
            )
        before = counts.sum()
        rng = np.random.default_rng(derive_seed(self.task.plant_seed, "thin"))
        kept = rng.binomial(counts.data.astype(np.int64), share).astype(np.float32)
        counts = sp.csr_matrix((kept, counts.indices, counts.indptr), counts.shape)
        counts.eliminate_zeros()
        adata.X = counts
        self.notes.append(f"{counts.sum() / before:.1%} of the molecules are kept")
        return adata

    def _guide(self, adata: Any) -> AnnData:
        """Choose the marker lists or put a control in their place; raises ``DataError``."""
        if is_paired(adata):
            raise DataError(f"{self.where}: signatures= and guide= are for part=rna only.")
        known = dataset_markers(self)
        if known is None:
            raise DataError(
                f"{self.where}: signatures= and guide= need marker lists, the dataset has none; "
                "give them with --markers FILE."
            )
        names, seed = self.task.signatures, self.task.plant_seed
        lists = select_lists(known, names, self.where) if names else known
        note = ""
        if self.task.guide != "true" and adata.isbacked:
            adata = adata.to_memory()
        if self.task.guide == "random":
            lists, note = draw_random_genes(adata, lists, known.lists, seed)
        elif self.task.guide == "shuffled":
            adata, lists, note = add_shuffled_genes(adata, lists, seed)
        self.replacement_markers = lists
        self.notes += [note] if note else []
        return adata

    def _find(self, types: np.ndarray) -> str:
        """Return the type that is meant; raises ``DataError``."""
        wanted, names = self.task.rare_type, sorted(set(types.tolist()))
        found = [name for name in names if name == wanted]
        found = found or [name for name in names if normalize_name(name) == normalize_name(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(
                f"{self.where}: rare_type={wanted} could be {' or '.join(found)}; write it as "
                "one of them."
            )
        raise DataError(
            f"{self.where}: rare_type={wanted}: no cell is of that type."
            f"{did_you_mean(wanted, names)}"
        )

    def _keep(self, types: np.ndarray, rare: str, prevalence: float) -> np.ndarray:
        """Return the indices of the cells that are left; raises ``DataError``.

        A lower prevalence keeps some of the cells that a higher one keeps.
        """
        import numpy as np

        cells, others = np.flatnonzero(types == rare), int(np.sum(types != rare))
        wanted = round(others * prevalence / (1.0 - prevalence))
        if not MIN_RARE_CELLS <= wanted <= len(cells):
            low, high = MIN_RARE_CELLS / (MIN_RARE_CELLS + others), len(cells) / len(types)
            possible = (
                f"possible is {_up(low)} to {_down(high)}" if len(cells) >= MIN_RARE_CELLS
                else f"it has only {len(cells)} cells, too few for any (at least {MIN_RARE_CELLS})"
            )  # fmt: skip
            raise DataError(
                f"{self.where}: prevalence={prevalence:g} of '{rare}' beside {others} other cells "
                f"takes {wanted} cells, there are {len(cells)}; {possible}."
            )
        rng = np.random.default_rng(derive_seed(self.task.plant_seed, "plant", rare))
        left = rng.permutation(cells)[:wanted]
        self.notes.append(
            f"{wanted} of {len(cells)} cells of '{rare}' are kept: {prevalence:g} of the "
            f"{others + wanted} cells"
        )
        return np.sort(np.concatenate([np.flatnonzero(types != rare), left]))


def split_task(
    values: Mapping[str, str], owner: str
) -> tuple[dict[str, str], RarePopulationTask | None]:
    """Return a selector's values without those of the task, and the task if there is one.

    Raises ``UsageError`` for a value that is not valid or that does nothing alone.
    """
    own = {key: value for key, value in values.items() if key in RarePopulationTask.model_fields}
    rest = {key: value for key, value in values.items() if key not in own}
    if not own:
        return rest, None
    task: RarePopulationTask = RarePopulationTask.build(own, owner=owner)
    if task.prevalence is not None and not task.rare_type:
        raise UsageError(f"{owner}.prevalence={task.prevalence:g}: of which type? Add rare_type=.")
    drawn = task.prevalence is not None or task.thin is not None
    drawn = drawn or bool(task.train) or task.guide != "true"
    if not drawn and "plant_seed" in own:
        raise UsageError(
            f"{owner}.plant_seed={task.plant_seed}: nothing is drawn; add prevalence=, train=, "
            "thin= or guide=."
        )
    return rest, task


def draw_training_cells(types: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return the mask of the cells for the fit, shape (n_cells,): ``share`` of each type.

    A type with two cells or more has at least one on either side; a single cell is for the fit.
    """
    import numpy as np

    mask = np.zeros(len(types), dtype=bool)
    for name in np.unique(types):
        cells = np.flatnonzero(types == name)
        wanted = min(max(1, round(share * len(cells))), max(1, len(cells) - 1))
        rng = np.random.default_rng(derive_seed(seed, "train", str(name)))
        mask[rng.choice(cells, wanted, replace=False)] = True
    return mask


def _up(share: float) -> str:
    """Return a share with three digits, not below it."""
    import math

    digits = 2 - math.floor(math.log10(share))
    return f"{math.ceil(share * 10**digits) / 10**digits:g}"


def _down(share: float) -> str:
    """Return a share with three digits, not above it."""
    import math

    digits = 2 - math.floor(math.log10(share))
    return f"{math.floor(share * 10**digits) / 10**digits:g}"
