"""What a preparation learned from the cells of a fit, to prepare new cells in the same way.

Frequencies of features (TF-IDF), largest values, means and deviations are those of the cells of
the fit; depth is counted over the features that passed its filters. Nothing of the new cells is
filtered, and none of them changes what becomes of another.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import PairedRecipe, Recipe, parse_interval
from bench.contract.multiome import PARTS, cells_of, check_parts, is_paired, matrices_of, pair_data
from bench.errors import DataError
from bench.messages import quote_names
from bench.prepare.blocks import row_blocks
from bench.prepare.moments import FeatureMoments
from bench.prepare.pipeline import BlockTransform, FilteredCounts

if TYPE_CHECKING:
    from mudata import MuData


logger = logging.getLogger(__name__)

FILE = "preparation.npz"
_ARRAYS = ("counted", "columns", "seen", "factor", "mean", "divisor")


@dataclass(frozen=True)
class FittedPreparation:
    """What the preparation of one matrix learned."""

    recipe: Recipe
    n_cells: int
    """Cells of the fit."""
    median: float
    """Median of their totals above zero, over the counted features."""
    counted: np.ndarray
    """Names of the features that passed the filters; depth is their sum."""
    columns: np.ndarray
    """Places among them of the features that the method gets, int64."""
    seen: np.ndarray
    """In how many cells of the fit each counted feature was detected, int64."""
    factor: np.ndarray
    """By what the values of each feature of the method are multiplied, float32."""
    mean: np.ndarray
    """What is then subtracted, float32; empty if the recipe does not scale."""
    divisor: np.ndarray
    """What is then divided by, float32; empty if the recipe does not scale."""
    var: pd.DataFrame
    """Facts about the features of the method, as in the prepared data; the index are names."""

    @property
    def features(self) -> list[str]:
        """Names of the features that the method gets."""
        return [str(name) for name in self.var.index]

    @classmethod
    def of(cls, counts: AnnData, recipe: Recipe, prepared: AnnData) -> FittedPreparation:
        """Go over the counts of the fit again; ``prepared`` is what the recipe made of them."""
        source = FilteredCounts(counts.X, recipe, None)
        counted = counts.var_names[source.features]
        columns = np.zeros(0, dtype=np.int64)  # names that stand there twice tell no place
        if counted.is_unique:
            columns = counted.get_indexer(prepared.var_names).astype(np.int64)
        totals, seen, factor = _totals(source, recipe, columns)
        mean, divisor = _moments(source, recipe, columns, factor)
        return cls(
            recipe=recipe, n_cells=len(source.cells),
            median=float(np.median(totals[totals > 0])) if np.any(totals > 0) else 1.0,
            counted=counted.to_numpy().astype(np.str_), columns=columns, seen=seen,
            factor=factor, mean=mean, divisor=divisor, var=prepared.var.copy(),
        )  # fmt: skip

    def apply(self, counts: AnnData, where: str, fill: bool | None) -> AnnData:
        """Return new cells as the method gets them, in their order.

        Features go by name, peaks also by coordinates; others of the file are not looked at. With
        ``fill`` features that the file lacks are taken as zero; ``None`` does not even offer it.
        Raises ``DataError``.
        """
        if not counts.n_obs:
            raise DataError(f"{where}: holds no cells.")
        chosen = self._choice(counts.var_names, where, fill)
        transform = BlockTransform(self.recipe, self.n_cells, self.seen)
        raw, matrix, totals, poor = [], [], [], 0
        for _, block in row_blocks(counts.X):
            mine = sp.csr_matrix(block @ chosen)
            mine.sort_indices()
            totals.append(np.asarray(mine.sum(axis=1, dtype=np.float64)).ravel())
            poor += int(np.count_nonzero(np.diff(block.indptr) < self.recipe.min_features))
            raw.append(mine[:, self.columns])
            matrix.append(self._rescaled(_with(mine, transform(mine))[:, self.columns]))
        if poor:
            logger.info(
                f"{where}: {poor} of {counts.n_obs} cells have fewer than "
                f"{self.recipe.min_features} detected features; the fit left such cells out"
            )
        size = np.concatenate(totals) / self.median
        prepared = AnnData(
            X=np.concatenate(matrix) if self.recipe.scale else sp.csr_matrix(sp.vstack(matrix)),
            obs=pd.DataFrame({"size_factor": size.astype(np.float32)}, index=counts.obs_names),
            var=self.var.copy(),
        )
        prepared.layers["counts"] = sp.csr_matrix(sp.vstack(raw))
        return prepared

    def check(self) -> None:
        """Raise ``ValueError`` if the arrays do not fit together, as of a damaged file."""
        n_features = len(self.columns)
        scaled = n_features if self.recipe.scale else 0
        lengths = (len(self.factor), len(self.mean), len(self.divisor), len(self.seen))
        if lengths != (n_features, scaled, scaled, len(self.counted)):
            raise ValueError("arrays of other lengths")
        if n_features and not 0 <= self.columns.min() <= self.columns.max() < len(self.counted):
            raise ValueError("columns that are not there")
        if n_features and list(self.counted[self.columns]) != self.features:
            raise ValueError("features of other names")

    def _choice(self, names: pd.Index, where: str, fill: bool | None) -> Any:
        """Return a matrix that takes the columns of the file to the counted features."""
        if not names.is_unique or len(set(self.counted)) < len(self.counted):
            whose = "the fit" if names.is_unique else where
            raise DataError(
                f"{whose}: names of features stand there more than once, so that they cannot be "
                "told apart; make them unique before (adata.var_names_make_unique())."
            )
        found = np.array(places(self.counted.tolist(), names.tolist()))
        lost = self.counted[found < 0].tolist()
        if len(lost) == len(found) or (len(lost) and not fill):
            hint = "count the cells over the features of the fit"
            if len(lost) > len(found) / 2:
                hint = "are these cells of another genome, or their features named otherwise?"
            elif fill is not None:
                hint += ", or take these as zero (--fill-missing, in Python fill_missing=True)"
            raise DataError(
                f"{where}: {len(lost)} of {len(found)} features of the fit are not there "
                f"({quote_names(lost)}); {hint}{'' if hint.endswith('?') else '.'}"
            )
        if len(lost):
            logger.info(f"{where}: {len(lost)} of {len(found)} features of the fit are taken as zero "
                f"({quote_names(lost)})")  # fmt: skip
        known = np.flatnonzero(found >= 0)
        ones = np.ones(len(known), dtype=np.float32)
        return sp.csr_matrix((ones, (found[known], known)), shape=(len(names), len(found)))

    def _rescaled(self, block: Any) -> Any:
        """Return transformed values of a block of cells divided and centred."""
        block.data *= self.factor[block.indices]
        if not self.recipe.scale:
            return block
        dense = block.toarray()
        dense -= self.mean
        dense /= self.divisor
        if self.recipe.max_value is not None:
            np.clip(dense, -self.recipe.max_value, self.recipe.max_value, out=dense)
        return dense


@dataclass(frozen=True)
class Preparation:
    """What a preparation learned, by part: ``""`` for one matrix, else ``rna`` and ``atac``."""

    parts: dict[str, FittedPreparation]

    @classmethod
    def of(
        cls, counts: AnnData | MuData, recipe: Recipe | PairedRecipe, prepared: AnnData | MuData
    ) -> Preparation:
        """Return what ``prepared`` was made with; see :meth:`Learned.of`."""
        if not isinstance(recipe, PairedRecipe):
            return cls({"": FittedPreparation.of(cells_of(counts), recipe, cells_of(prepared))})
        pairs: Any = (counts, prepared)
        return cls({part: FittedPreparation.of(pairs[0][part], getattr(recipe, part), pairs[1][part])
                    for part in PARTS})  # fmt: skip

    def apply(
        self, counts: AnnData | MuData, *, where: str = "data", fill_missing: bool | None = False
    ) -> Any:
        """Return new cells (counts) prepared like the cells of the fit; see :meth:`Learned.apply`.

        Raises ``DataError``.
        """
        if is_paired(counts) != ("" not in self.parts):
            kinds = ("one matrix", "paired data")
            raise DataError(
                f"{where}: holds {kinds[is_paired(counts)]}, the fit was on "
                f"{kinds['' not in self.parts]}; give the same."
            )
        if is_paired(counts):
            check_parts(counts, where)
        made = [
            learned.apply(one, f"{where}, {part}" if part else where, fill_missing)
            for (part, learned), one in zip(self.parts.items(), matrices_of(counts), strict=True)
        ]
        return made[0] if len(made) == 1 else pair_data(made[0], made[1])

    def save(self, folder: Path) -> None:
        """Write the file ``preparation.npz`` into a folder."""
        arrays: dict[str, Any] = {}
        for part, one in self.parts.items():
            about = {"recipe": one.recipe.as_dict(), "n_cells": one.n_cells, "median": one.median}
            arrays |= {f"{part}/{name}": getattr(one, name) for name in _ARRAYS}
            arrays |= {f"{part}/var/{name}": one.var[name].to_numpy() for name in one.var}
            arrays[f"{part}/features"] = np.array(one.features, dtype=np.str_)
            arrays[f"{part}/about"] = np.array(json.dumps(about))
        texts = {name: array.astype(np.str_) if array.dtype == object else array
                 for name, array in arrays.items()}  # fmt: skip
        np.savez_compressed(folder / FILE, **texts)

    @classmethod
    def load(cls, folder: Path) -> Preparation | None:
        """Read what :meth:`save` wrote, ``None`` if there is no such file.

        Raises ``DataError`` for a file that cannot be read.
        """
        if not (folder / FILE).is_file():
            return None
        try:
            with np.load(folder / FILE, allow_pickle=False) as file:
                found = {}
                for part in ("",) if "/about" in file else PARTS:
                    about = json.loads(str(file[f"{part}/about"]))
                    own = {name: file[f"{part}/{name}"] for name in _ARRAYS}
                    facts = {name.split("/", 2)[2]: file[name] for name in file.files
                             if name.startswith(f"{part}/var/")}  # fmt: skip
                    var = pd.DataFrame(facts, index=file[f"{part}/features"])
                    recipe = Recipe(**about.pop("recipe"))
                    found[part] = FittedPreparation(recipe=recipe, var=var, **about, **own)
                    found[part].check()
        except Exception as error:  # whatever a damaged archive makes of itself
            raise DataError(
                f"{folder / FILE}: cannot be read ({type(error).__name__}); fit again."
            ) from None
        return cls(found)


def places(wanted: Sequence[str], there: Sequence[str]) -> list[int]:
    """Return the number of each wanted feature, -1 if missing; peaks also go by coordinates.

    None is given twice, so that of two names for one interval the second is missing.
    """
    numbers = {name: number for number, name in enumerate(there)}
    found = [numbers.get(name, -1) for name in wanted]
    taken = set(found)
    free: dict[Any, int] = {}
    for number, name in enumerate(there):
        if number not in taken:
            free.setdefault(parse_interval(name), number)
    free.pop(None, None)
    return [number if number >= 0 else free.pop(parse_interval(name), -1)
            for name, number in zip(wanted, found, strict=True)]  # fmt: skip


def _with(block: Any, values: np.ndarray) -> Any:
    """Return other values at the same places."""
    return sp.csr_matrix((values, block.indices, block.indptr), shape=block.shape)


def _selected(source: FilteredCounts, columns: np.ndarray) -> Iterator[Any]:
    """Yield the transformed values of the method's features, block by block."""
    for counts, values, _ in source:
        yield _with(counts, values)[:, columns]


def _totals(
    source: FilteredCounts, recipe: Recipe, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return totals of cells, cells of each counted feature, factors of the method's features."""
    totals, seen = [], np.zeros(len(source.features), dtype=np.int64)
    for counts, _ in source.counts():
        totals.append(np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel())
        seen += np.bincount(counts.indices, minlength=len(seen))
    factor = np.ones(len(columns), dtype=np.float32)
    if recipe.max_abs:
        largest = np.zeros(len(columns), dtype=np.float32)
        for block in _selected(source, columns):
            np.maximum.at(largest, block.indices, np.abs(block.data))
        factor /= np.where(largest > 0, largest, np.float32(1.0))
    return np.concatenate(totals), seen, factor


def _moments(
    source: FilteredCounts, recipe: Recipe, columns: np.ndarray, factor: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return means and divisors of the method's features, empty if the recipe does not scale."""
    if not recipe.scale:
        return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32)
    moments = FeatureMoments(len(columns))
    for block in _selected(source, columns):
        block.data *= factor[block.indices]
        moments.add(block)
    spread = moments.spread()
    divisor = np.where(spread > 0, spread, 1.0).astype(np.float32)
    return moments.mean.astype(np.float32), divisor
