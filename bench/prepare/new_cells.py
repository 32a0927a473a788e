"""Fitted preparations: prepare new cells with the statistics of the cells of a fit.

Frequencies of features (TF-IDF), largest values, means and standard deviations are those of the
training cells. Depth is counted over the features that passed the filters of the fit. New cells
are never filtered, and do not affect each other.
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

from bench.contract import (
    PARTS,
    PairedRecipe,
    Recipe,
    cells_of,
    is_paired,
    pair_data,
    parse_interval,
)
from bench.contract.multiome import check_parts, matrices_of
from bench.errors import DataError
from bench.messages import quote_names

from .blocks import row_blocks
from .pipeline import (
    BlockTransform,
    FilteredCounts,
    max_abs_factors,
    mean_and_deviation,
    standardize,
)

if TYPE_CHECKING:
    from mudata import MuData

logger = logging.getLogger(__name__)

FILE = "preparation.npz"
_ARRAYS = ("filtered_features", "columns", "detections", "scale_factor", "mean", "std")


@dataclass(frozen=True)
class FittedPreparation:
    """A recipe with the statistics of the training cells, for one matrix.

    Values of a method's feature are multiplied by ``scale_factor``, then centred by ``mean`` and
    divided by ``std``.
    """

    recipe: Recipe
    n_cells: int
    """Number of training cells."""
    median_total: float
    """Median of the totals above zero of the training cells, over the filtered features."""
    filtered_features: np.ndarray
    """Names of the features that passed the filters; the depth of a cell is their sum."""
    columns: np.ndarray
    """Positions of the method's features among the filtered ones, int64."""
    detections: np.ndarray
    """Number of training cells in which each filtered feature was detected, int64."""
    scale_factor: np.ndarray
    """One value a feature of the method, float32."""
    mean: np.ndarray
    """One value a feature of the method, float32; empty if the recipe does not scale."""
    std: np.ndarray
    """One value a feature of the method, float32; empty if the recipe does not scale."""
    var: pd.DataFrame
    """Facts about the method's features, as in the prepared data, indexed by name."""

    @property
    def features(self) -> list[str]:
        """Names of the method's features."""
        return [str(name) for name in self.var.index]

    @classmethod
    def fit(cls, counts: AnnData, recipe: Recipe, prepared: AnnData) -> FittedPreparation:
        """Return the statistics of the training cells; ``prepared``: the recipe's result."""
        source = FilteredCounts(counts.X, recipe, None)
        filtered_features = counts.var_names[source.features]
        columns = np.zeros(0, dtype=np.int64)  # duplicate names have no single position
        if filtered_features.is_unique:
            columns = filtered_features.get_indexer(prepared.var_names).astype(np.int64)
        totals, detections = _totals(source)
        scale_factor = np.ones(len(columns), dtype=np.float32)
        if recipe.max_abs:
            blocks = _transformed_blocks(source, columns)
            pieces = ((block.data, block.indices) for block in blocks)
            scale_factor = max_abs_factors(pieces, len(columns))
        mean = std = np.zeros(0, dtype=np.float32)
        if recipe.scale:
            blocks = _transformed_blocks(source, columns)
            mean, std = mean_and_deviation(blocks, scale_factor)
        return cls(
            recipe=recipe,
            n_cells=len(source.cells),
            median_total=float(np.median(totals[totals > 0])) if np.any(totals > 0) else 1.0,
            filtered_features=filtered_features.to_numpy().astype(np.str_),
            columns=columns,
            detections=detections,
            scale_factor=scale_factor,
            mean=mean,
            std=std,
            var=prepared.var.copy(),
        )

    def apply(self, counts: AnnData, where: str, *, fill_missing: bool | None) -> AnnData:
        """Return new cells as the method gets them, in their order.

        Features are matched by name, peaks also by coordinates; other features are ignored. With
        ``fill_missing`` missing features count as zero, else they raise ``DataError``. ``None`` is
        like ``False``, but the message does not suggest ``fill_missing``.
        """
        if not counts.n_obs:
            raise DataError(f"{where}: has no cells.", code="no_cells")
        selection = self._selection_matrix(counts.var_names, where, fill_missing=fill_missing)
        transform = BlockTransform(self.recipe, self.n_cells, self.detections)
        raw, matrix, totals, n_poor = [], [], [], 0
        for _, block in row_blocks(counts.X):
            filtered = sp.csr_matrix(block @ selection)
            filtered.sort_indices()
            totals.append(np.asarray(filtered.sum(axis=1, dtype=np.float64)).ravel())
            n_poor += int(np.count_nonzero(np.diff(block.indptr) < self.recipe.min_features))
            raw.append(filtered[:, self.columns])
            transformed = _replace_values(filtered, transform(filtered))
            matrix.append(self._rescale(transformed[:, self.columns]))
        if n_poor:
            logger.info(
                f"{where}: {n_poor} of {counts.n_obs} cells have fewer than "
                f"{self.recipe.min_features} detected features; the fit left such cells out"
            )
        size_factor = np.concatenate(totals) / self.median_total
        prepared = AnnData(
            X=np.concatenate(matrix) if self.recipe.scale else sp.csr_matrix(sp.vstack(matrix)),
            obs=pd.DataFrame(
                {"size_factor": size_factor.astype(np.float32)}, index=counts.obs_names
            ),
            var=self.var.copy(),
        )
        prepared.layers["counts"] = sp.csr_matrix(sp.vstack(raw))
        return prepared

    def check(self) -> None:
        """Raise ``ValueError`` if the arrays do not fit together, as in a damaged file."""
        n_features, n_filtered = len(self.columns), len(self.filtered_features)
        n_scaled = n_features if self.recipe.scale else 0
        lengths = (len(self.scale_factor), len(self.mean), len(self.std), len(self.detections))
        if lengths != (n_features, n_scaled, n_scaled, n_filtered):
            raise ValueError("arrays of different lengths")
        if not n_features:
            return
        if not 0 <= self.columns.min() <= self.columns.max() < n_filtered:
            raise ValueError("columns out of range")
        if list(self.filtered_features[self.columns]) != self.features:
            raise ValueError("features with different names")

    def _selection_matrix(self, names: pd.Index, where: str, *, fill_missing: bool | None) -> Any:
        """Return a selection matrix, columns of the new cells × filtered features, sparse."""
        n_filtered = len(self.filtered_features)
        if not names.is_unique or len(set(self.filtered_features)) < n_filtered:
            owner = "the fit" if names.is_unique else where
            raise DataError(
                f"{owner}: some features have the same name; give each its own name.",
                code="duplicate_names",
            )
        positions = np.array(match_features(self.filtered_features.tolist(), names.tolist()))
        missing = self.filtered_features[positions < 0].tolist()
        if len(missing) == n_filtered or (missing and not fill_missing):
            raise _missing_features(where, missing, n_filtered, fill_missing=fill_missing)
        if missing:
            logger.info(
                f"{where}: {len(missing)} of {n_filtered} features of the fit are taken as zero "
                f"({quote_names(missing)})"
            )
        present = np.flatnonzero(positions >= 0)
        ones = np.ones(len(present), dtype=np.float32)
        shape = (len(names), n_filtered)
        return sp.csr_matrix((ones, (positions[present], present)), shape=shape)

    def _rescale(self, block: Any) -> Any:
        """Multiply, centre and divide the transformed values of a block of cells."""
        block.data *= self.scale_factor[block.indices]
        if not self.recipe.scale:
            return block
        return standardize(block.toarray(), self.mean, self.std, self.recipe.max_value)


@dataclass(frozen=True)
class Preparation:
    """The fitted preparation of each matrix: ``""`` for one, else ``rna`` and ``atac``."""

    parts: dict[str, FittedPreparation]

    @classmethod
    def fit(
        cls, counts: AnnData | MuData, recipe: Recipe | PairedRecipe, prepared: AnnData | MuData
    ) -> Preparation:
        """Return the statistics of the training cells; ``prepared``: the recipe's result."""
        if not isinstance(recipe, PairedRecipe):
            return cls({"": FittedPreparation.fit(cells_of(counts), recipe, cells_of(prepared))})
        matrices = zip(PARTS, matrices_of(counts), matrices_of(prepared), strict=True)
        return cls(
            {
                part: FittedPreparation.fit(part_counts, getattr(recipe, part), part_prepared)
                for part, part_counts, part_prepared in matrices
            }
        )

    def apply(
        self, counts: AnnData | MuData, *, where: str = "data", fill_missing: bool | None = False
    ) -> Any:
        """Return new cells (counts) prepared like the training cells.

        See :meth:`FittedPreparation.apply`; raises ``DataError``.
        """
        fitted_on_pair = "" not in self.parts
        if is_paired(counts) != fitted_on_pair:
            kinds = ("one matrix", "paired data")
            raise DataError(
                f"{where}: holds {kinds[is_paired(counts)]}, the fit was on "
                f"{kinds[fitted_on_pair]}; give the same kind of data.",
                code="wrong_modality",
            )
        if fitted_on_pair:
            check_parts(counts, where)
        prepared = [
            fitted.apply(matrix, f"{where}, {part}" if part else where, fill_missing=fill_missing)
            for (part, fitted), matrix in zip(self.parts.items(), matrices_of(counts), strict=True)
        ]
        return pair_data(*prepared) if fitted_on_pair else prepared[0]

    def save(self, folder: Path) -> None:
        """Write the file ``preparation.npz`` into a folder."""
        arrays: dict[str, Any] = {}
        for part, fitted in self.parts.items():
            facts = {
                "recipe": fitted.recipe.as_dict(),
                "n_cells": fitted.n_cells,
                "median_total": fitted.median_total,
            }
            arrays |= {f"{part}/{name}": getattr(fitted, name) for name in _ARRAYS}
            arrays |= {f"{part}/var/{name}": fitted.var[name].to_numpy() for name in fitted.var}
            arrays[f"{part}/features"] = np.array(fitted.features, dtype=np.str_)
            arrays[f"{part}/facts"] = np.array(json.dumps(facts))
        plain = {
            name: array.astype(np.str_) if array.dtype == object else array
            for name, array in arrays.items()
        }
        np.savez_compressed(folder / FILE, **plain)

    @classmethod
    def load(cls, folder: Path) -> Preparation | None:
        """Read the file of :meth:`save`; returns ``None`` if there is none.

        Raises ``DataError`` for a file that cannot be read.
        """
        if not (folder / FILE).is_file():
            return None
        try:
            with np.load(folder / FILE, allow_pickle=False) as file:
                parts = ("",) if "/facts" in file else PARTS
                return cls({part: _read_part(file, part) for part in parts})
        except Exception as error:  # a damaged archive raises many kinds
            raise DataError(
                f"{folder / FILE}: cannot be read ({type(error).__name__}); fit again.",
                code="damaged_file",
            ) from None


def _read_part(file: Any, part: str) -> FittedPreparation:
    facts = json.loads(str(file[f"{part}/facts"]))
    prefix = f"{part}/var/"
    columns = {
        name.removeprefix(prefix): file[name] for name in file.files if name.startswith(prefix)
    }
    fitted = FittedPreparation(
        recipe=Recipe(**facts.pop("recipe")),
        var=pd.DataFrame(columns, index=file[f"{part}/features"]),
        **facts,
        **{name: file[f"{part}/{name}"] for name in _ARRAYS},
    )
    fitted.check()
    return fitted


def match_features(fitted: Sequence[str], present: Sequence[str]) -> list[int]:
    """Return the position of each fitted feature among ``present``, -1 if it is missing.

    Peaks are also matched by coordinates. No position is used twice: if two fitted names are one
    interval, the second is missing.
    """
    positions = {name: number for number, name in enumerate(present)}
    matches = [positions.get(name, -1) for name in fitted]
    matched = set(matches)
    unmatched: dict[Any, int] = {}
    for number, name in enumerate(present):
        if number not in matched:
            unmatched.setdefault(parse_interval(name), number)
    unmatched.pop(None, None)
    return [
        number if number >= 0 else unmatched.pop(parse_interval(name), -1)
        for name, number in zip(fitted, matches, strict=True)
    ]


def _missing_features(
    where: str, missing: list[str], n_filtered: int, *, fill_missing: bool | None
) -> DataError:
    hint = "count the cells over the features of the fit."
    if len(missing) > n_filtered / 2:
        hint = "are these cells of another genome, or do their features have other names?"
    elif fill_missing is not None:
        hint = (
            "count the cells over the features of the fit, or take these as zero "
            "(--fill-missing, in Python fill_missing=True)."
        )
    return DataError(
        f"{where}: {len(missing)} of {n_filtered} features of the fit are missing "
        f"({quote_names(missing)}); {hint}",
        code="missing_features",
    )


def _replace_values(block: Any, values: np.ndarray) -> Any:
    """Return a matrix with ``values`` in place of its stored values."""
    return sp.csr_matrix((values, block.indices, block.indptr), shape=block.shape)


def _transformed_blocks(source: FilteredCounts, columns: np.ndarray) -> Iterator[Any]:
    """Yield the transformed values of the method's features, block by block."""
    for counts, values, _ in source:
        yield _replace_values(counts, values)[:, columns]


def _totals(source: FilteredCounts) -> tuple[np.ndarray, np.ndarray]:
    """Return the total of each cell, and the number of cells with each filtered feature."""
    totals, detections = [], np.zeros(len(source.features), dtype=np.int64)
    for counts, _ in source.counts():
        totals.append(np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel())
        detections += np.bincount(counts.indices, minlength=len(detections))
    return np.concatenate(totals), detections
