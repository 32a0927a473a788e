"""Link tables of sets of cells and of single cells, computed by a fitted method.

``weight`` is the result of the method's ``links`` for a set of cells. ``per_cell`` is the mean
over single cells of their links, which exist only between detected genes and open peaks. If the
method's weights are already such means, both are equal. If they are constant (the same in every
cell), ``per_cell`` is ``weight`` × ``together``, the share of cells with both features, so that
the maps of cell types differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.contract import select_cells
from bench.seeds import derive_seed

from .links import FeaturePositions, LinkTable, codetection_rate, signed_distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from .fitted_multiome import FittedMultiome

ALL_CELLS = ""
"""Key of all cells among the cell types."""


@dataclass
class LinkCalculator:
    """Computes link tables of a fitted method."""

    fitted: FittedMultiome
    positions: FeaturePositions
    types: Sequence[str]
    """Cell types with a separate table."""
    tss_window: int | None = None
    """Largest distance of a peak from the gene's TSS, base pairs; ``None``: any."""
    n_cells: int = 20
    """Number of single cells, chosen at random."""
    named_cells: Sequence[str] = ()
    """Names of single cells, in place of a random choice."""

    @cached_property
    def constant(self) -> bool:
        """True if each pair has the same weight in all cells that have both features."""
        joined = self._random_cells.merge(
            self._all_links, on=["gene", "peak"], how="left", suffixes=("", "_all")
        )
        return len(joined) > 0 and np.allclose(joined["weight"], joined["weight_all"], rtol=1e-4)

    @cached_property
    def single_cells(self) -> pd.DataFrame:
        """Links of the chosen single cells, in the order of the data or of ``named_cells``."""
        return self._links_of_each(self.chosen_cells)

    @cached_property
    def _random_cells(self) -> pd.DataFrame:
        return self._links_of_each(self._random_rows()) if self.named_cells else self.single_cells

    def _links_of_each(self, rows: np.ndarray) -> pd.DataFrame:
        """Return the links of each of these cells, concatenated."""
        data, types = self.fitted.data, self.fitted.types
        tables = []
        for row in rows:
            table = self._links(np.array([row])).sort_values("weight", ascending=False)
            table.insert(0, "cell", data.obs_names[row])
            if types is not None:
                table.insert(1, "type", types[row])
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def chosen_cells(self) -> np.ndarray:
        """Rows of the named cells, else of a random choice with a fixed seed among ``types``."""
        if not self.named_cells:
            return self._random_rows()
        rows: np.ndarray = self.fitted.data.obs_names.get_indexer(pd.Index(self.named_cells))
        return rows

    def _random_rows(self) -> np.ndarray:
        data, types = self.fitted.data, self.fitted.types
        candidates = np.arange(data.n_obs)
        if types is not None:
            candidates = candidates[np.isin(types, self.types)]
        rng = np.random.default_rng(derive_seed(0, "regulate", "cells"))
        return np.sort(rng.permutation(candidates)[: self.n_cells])

    def cells_without_links(self) -> list[str]:
        """Return the names of chosen cells that have no link."""
        linked = set(self.single_cells["cell"])
        names = self.fitted.data.obs_names[self.chosen_cells]
        return [str(name) for name in names if name not in linked]

    def tables(self) -> dict[str, LinkTable]:
        """Return the links of all cells (``ALL_CELLS``) and of each cell type."""
        every = np.arange(self.fitted.data.n_obs)
        tables = {ALL_CELLS: self._table(self._all_links.copy(), every)}
        for name in self.types:
            rows = np.flatnonzero(self.fitted.types == name)
            tables[name] = self._table(self._links(rows), rows)
        return tables

    @cached_property
    def _all_links(self) -> pd.DataFrame:
        return self._links(np.arange(self.fitted.data.n_obs))

    def _links(self, rows: np.ndarray) -> pd.DataFrame:
        """Return gene, peak, weight and signed distance of the links for a set of cells."""
        method: Any = self.fitted.method
        table = method.links(select_cells(self.fitted.data, rows)).reset_index(drop=True)
        genes = self.positions.genes.loc[table["gene"]]
        peak = self.positions.peaks.index.get_indexer(table["peak"])
        table["distance"] = signed_distance(
            genes["tss"].to_numpy(), self.positions.peak_centres[peak], genes["strand"].to_numpy()
        )
        if self.tss_window is None:
            return table
        return table[table["distance"].abs() <= self.tss_window].reset_index(drop=True)

    def _table(self, table: pd.DataFrame, rows: np.ndarray) -> LinkTable:
        """Add ``together`` and ``per_cell`` to the links for a set of cells."""
        data = self.fitted.data
        genes, peaks = (_counts(data[part])[rows] for part in ("rna", "atac"))
        table["together"] = codetection_rate(
            genes, peaks, data["rna"].var_names.get_indexer(table["gene"]),
            data["atac"].var_names.get_indexer(table["peak"]),
        )  # fmt: skip
        table["per_cell"] = table["weight"] * (table["together"] if self.constant else 1.0)
        accessibility = np.asarray((peaks > 0).mean(axis=0)).ravel()
        return LinkTable(table, accessibility, len(rows))


def _counts(part: AnnData) -> sp.csr_matrix:
    return sp.csr_matrix(part.layers.get("counts", part.X))
