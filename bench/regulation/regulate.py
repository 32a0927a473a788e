"""Which peaks regulate which genes, by a kept model: tables, maps, binding, figures.

``weight`` is what the method's ``links`` returns for a set of cells. ``per_cell`` is the mean over
these cells of the links of each cell alone, that is of pairs whose gene is detected and whose peak
is open there. Methods whose weights are such a mean already return one number for both. For others
(weights that are the same in every cell) it is the weight times ``together``, the share of
cells that have both: the map of a type then differs from type to type.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.contract import select_cells
from bench.errors import DataError, UsageError
from bench.execute.output_folder import refuse_foreign, replacing
from bench.messages import did_you_mean
from bench.seeds import derive_seed

from .binding import Intervals, bound_scores, check_genome, overlapping, read_binding
from .figures import draw_locus, draw_map
from .fitted_multiome import Kept
from .links import NEAR, Links, Sites, near_shares, signed_distance, together

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)
NOTE = "regulate.json"
ALL = ""
"""Key of all cells among the types."""
_SHARES = ("links", "weight", "pairs")
_FIGURES = 12
"""Most types whose map is drawn."""


@dataclass(frozen=True)
class Asked:
    """What is to be written."""

    cell_types: tuple[str, ...] = ()
    """Types with a map of their own; empty: all."""
    binding: tuple[Path, ...] = ()
    tss_window: int | None = None
    """Only links whose peak is so near the start of the gene, base pairs."""
    n_cells: int = 20
    """Cells whose own links are written."""
    top: int = 20_000
    """Most links in a table."""
    gene: str | None = None
    """Gene whose locus is drawn; ``None``: the one with the largest sum of weights."""
    figures: bool = True


@dataclass
class Regulated:
    """What :func:`regulate` wrote and found."""

    folder: Path
    names: dict[str, str]
    """Type → its name in files."""
    files: dict[str, str] = field(default_factory=dict)
    """File name → what it holds."""
    shares: dict[str, float] = field(default_factory=dict)
    """Share of the links near the start of their gene, and of all pairs of a chromosome."""
    binding: pd.DataFrame | None = None
    """One row a factor, set of cells and kind of weight."""

    def lines(self) -> list[str]:
        """Return what to say about it."""
        said = []
        for limit in NEAR:
            one = {kind: self.shares.get(f"{kind}_{limit // 1000}kb") for kind in _SHARES}
            if one["links"] is not None:
                said.append(
                    f"within {limit // 1000:,} kb of the gene's start: {one['links']:.1%} of the "
                    f"links, {one['weight']:.1%} of their weight; {one['pairs']:.1%} of all pairs "
                    "of a chromosome"
                )
        for row in [] if self.binding is None else self.binding.to_dict("records"):
            said.append(
                f"{row['factor']}, {row['cells']} ({row['weight']}): AUROC {row['auroc']:.3f} "
                f"(accessibility {row['auroc_accessibility']:.3f}, permuted "
                f"{row['auroc_permuted']:.3f}), AUPRC {row['auprc']:.3f} "
                f"({row['auprc_accessibility']:.3f}, {row['auprc_permuted']:.3f}; base rate "
                f"{row['base_rate']:.3f})"
            )
        return said + [f"  {self.folder / name}  {what}" for name, what in self.files.items()]


def regulate(kept: Kept, asked: Asked, out: Path) -> Regulated:
    """Write links, maps, links of single cells, areas of bound peaks and figures into ``out``.

    Types only group cells here, after the fit. Raises ``UsageError`` and ``DataError``.
    """
    refuse_foreign(out, NOTE)
    types = _chosen_types(kept, asked.cell_types)
    sites = Sites.of(kept.data)
    if asked.gene is not None and asked.gene not in sites.genes.index:
        raise UsageError(
            f"--gene {asked.gene}: not among the {len(sites.genes)} genes of the fit."
            f"{did_you_mean(asked.gene, list(sites.genes.index[:2000]))}"
        )
    if not sites.measured:
        logger.info(
            "no distances: TSS of genes are not known; add them with 'bench data annotate'"
        )
        if asked.tss_window is not None:
            raise DataError(f"{kept.name}: no TSS is known, which --tss-window needs.")
    factors = [read_binding(path) for path in asked.binding]
    _check_names([one.factor for one in factors])
    for one in factors:  # a wrong genome is said before anything is computed
        warning = check_genome(sites.peaks, one, overlapping(sites.peaks, one.table)[0])
        if warning:
            logger.info(warning)
    work = _Work(kept, asked, sites)
    maps, cells = work.maps(types)
    if maps[ALL].table.empty:
        raise DataError(f"{kept.name}: the method lists no link on these cells.")
    done = Regulated(out, file_names([ALL, *types]))
    with replacing(out, NOTE) as partial:
        _write_links(partial, maps, asked.top, done)
        _write_maps(partial, maps, sites, done)
        cells.to_csv(partial / "cells.csv.gz", index=False, float_format="%.4g")
        done.files["cells.csv.gz"] = f"links of {cells['cell'].nunique()} single cells"
        done.shares = near_shares(maps[ALL].table.nlargest(asked.top, "weight"), sites)
        if factors:
            done.binding = work.bound(factors, maps)
            done.binding.to_csv(partial / "binding.csv", index=False, float_format="%.5g")
            done.files["binding.csv"] = "how links rank bound peaks, beside two controls"
        if asked.figures:
            _draw(partial, maps, cells, sites, asked, done)
        done.files[NOTE] = "what was asked, shares of near links"
        about = {
            "run": kept.name,
            "cells": {name or "all": one.n_cells for name, one in maps.items()},
            "weights": "the same in each cell" if work.constant else "mean over the cells",
            "shares": done.shares, "top": asked.top, "tss_window": asked.tss_window,
            "binding": [one.where for one in factors], "files": sorted(done.files),
        }  # fmt: skip
        (partial / NOTE).write_text(json.dumps(about, indent=1) + "\n")
    return done


@dataclass
class _Work:
    """Asks the method for links, of sets of cells and of single cells."""

    kept: Kept
    asked: Asked
    sites: Sites
    constant: bool = False
    """True if the weight of a pair is the same in each cell that has both."""

    def maps(self, types: Sequence[str]) -> tuple[dict[str, Links], pd.DataFrame]:
        """Return the links of all cells and of each type, by name, and those of single cells."""
        every = np.arange(self.kept.data.n_obs)
        table = self._links(every)
        cells = self._single(types)
        self.constant = _same_in_each_cell(table, cells)
        found = {ALL: self._described(table, every)}
        for name in types:
            rows = np.flatnonzero(self.kept.types == name)
            found[name] = self._described(self._links(rows), rows)
        return found, cells

    def _links(self, rows: np.ndarray) -> pd.DataFrame:
        """Return gene, peak, weight and distance of the pairs that the method lists."""
        method: Any = self.kept.method
        table = method.links(select_cells(self.kept.data, rows)).reset_index(drop=True)
        genes = self.sites.genes.loc[table["gene"]]
        peak = self.sites.peaks.index.get_indexer(table["peak"])
        table["distance"] = signed_distance(
            genes["tss"].to_numpy(), self.sites.centre[peak], genes["strand"].to_numpy()
        )
        if self.asked.tss_window is not None:
            near = table["distance"].abs() <= self.asked.tss_window
            table = table[near].reset_index(drop=True)
        return table

    def _single(self, types: Sequence[str]) -> pd.DataFrame:
        """Return the links of a seeded choice of cells, in the order of the data."""
        among = np.arange(self.kept.data.n_obs)
        if self.kept.types is not None:
            among = among[np.isin(self.kept.types, types)]
        rng = np.random.default_rng(derive_seed(0, "regulate", "cells"))
        chosen = np.sort(rng.permutation(among)[: self.asked.n_cells])
        tables = []
        for row in chosen:
            one = self._links(np.array([row])).sort_values("weight", ascending=False)
            one.insert(0, "cell", self.kept.data.obs_names[row])
            if self.kept.types is not None:
                one.insert(1, "type", self.kept.types[row])
            tables.append(one)
        return pd.concat(tables, ignore_index=True)

    def _described(self, table: pd.DataFrame, rows: np.ndarray) -> Links:
        """Add how often both are there, and the mean weight in a cell."""
        data = self.kept.data
        genes, peaks = (_counts(data[part])[rows] for part in ("rna", "atac"))
        table["together"] = together(
            genes, peaks, data["rna"].var_names.get_indexer(table["gene"]),
            data["atac"].var_names.get_indexer(table["peak"]),
        )  # fmt: skip
        table["per_cell"] = table["weight"] * (table["together"] if self.constant else 1.0)
        opened = np.asarray((peaks > 0).mean(axis=0)).ravel()
        return Links(table, opened, len(rows))

    def bound(self, factors: Sequence[Intervals], maps: dict[str, Links]) -> pd.DataFrame:
        """Return one row a factor, set of cells and kind of weight, with the areas."""
        peaks = self.sites.peaks
        known = (peaks["chrom"] != "").to_numpy()
        chrom = peaks["chrom"].to_numpy().astype(str)[known]
        kinds = ("weight", "per_cell") if self.constant else ("weight",)
        rows = []
        for factor in factors:
            bound, signal = (one[known] for one in overlapping(peaks, factor.table))
            for name, one in maps.items():
                for kind in kinds:
                    areas = bound_scores(
                        bound, signal, one.sums(kind, peaks.index)[known],
                        one.accessibility[known], chrom, derive_seed(0, "regulate", factor.factor),
                    )  # fmt: skip
                    about = {"factor": factor.factor, "cells": name or "all", "weight": kind}
                    sizes = {"peaks": int(known.sum()), "bound": int(bound.sum())}
                    rows.append(about | sizes | areas)
        return pd.DataFrame(rows)


def _counts(part: AnnData) -> sp.csr_matrix:
    """Return counts, cells × features, sparse."""
    return sp.csr_matrix(part.layers["counts"] if "counts" in part.layers else part.X)


def _same_in_each_cell(table: pd.DataFrame, cells: pd.DataFrame) -> bool:
    """Return whether each pair has in every single cell the weight that it has over all cells."""
    joined = cells.merge(table, on=["gene", "peak"], how="left", suffixes=("", "_all"))
    return len(joined) > 0 and np.allclose(joined["weight"], joined["weight_all"], rtol=1e-4)


def _chosen_types(kept: Kept, wanted: tuple[str, ...]) -> list[str]:
    """Return the types that get a map of their own; raises ``UsageError`` for an unknown one."""
    if kept.types is None:
        if wanted:
            raise UsageError(
                "--cell-types: the cells have no types; name their column by --label-key."
            )
        logger.info("no types: only links over all cells")
        return []
    known = [str(name) for name in np.unique(kept.types) if name]
    without = int((kept.types == "").sum())
    if without:
        logger.info(f"{without} of {len(kept.types)} cells have no type and are in no type's map")
    for name in wanted:
        if name not in known:
            raise UsageError(f"--cell-types: no type '{name}'.{did_you_mean(name, known)}")
    logger.info("types group cells after the fit, which did not see them")
    return list(wanted) or known


def _check_names(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"--binding: two files of the name '{twice[0]}'; rename one.")


def file_names(types: Sequence[str]) -> dict[str, str]:
    """Return the part of a file's name that stands for each type; no two are alike."""
    found: dict[str, str] = {}
    for name in types:
        text = "all" if name == ALL else re.sub(r"[^\w.+-]+", "_", name).strip("_") or "type"
        taken = {one.lower() for one in found.values()}
        number, tried = 2, text
        while tried.lower() in taken:
            number, tried = number + 1, f"{text}_{number}"
        found[name] = tried
    return found


def _write_links(folder: Path, maps: dict[str, Links], top: int, done: Regulated) -> None:
    """Write the top links of all cells by weight, and of each type by the mean in a cell."""
    for name, one in maps.items():
        order = "weight" if name == ALL else "per_cell"
        table = one.table.nlargest(top, order)[
            ["gene", "peak", "weight", "distance", "together", "per_cell"]
        ]
        file = "links.csv.gz" if name == ALL else f"links_{done.names[name]}.csv.gz"
        table.to_csv(folder / file, index=False, float_format="%.4g")
        done.files[file] = (
            f"{len(table)} of {len(one.table)} links of {one.n_cells} cells ({name or 'all'})"
        )


def _write_maps(folder: Path, maps: dict[str, Links], sites: Sites, done: Regulated) -> None:
    """Write gene × peak matrices of ``per_cell``, and the names of their rows and columns."""
    shape = (len(sites.genes), len(sites.peaks))
    for name, one in maps.items():
        rows = sites.genes.index.get_indexer(pd.Index(one.table["gene"]))
        columns = sites.peaks.index.get_indexer(pd.Index(one.table["peak"]))
        matrix = sp.csr_matrix((one.table["per_cell"].to_numpy(), (rows, columns)), shape=shape)
        file = f"map_{done.names[name]}.npz"
        sp.save_npz(folder / file, matrix)
        size = f"{shape[0]} genes × {shape[1]} peaks"
        done.files[file] = f"map of {name or 'all cells'}: mean links of a cell, {size}"
    for kind, names in (("rows", sites.genes.index), ("columns", sites.peaks.index)):
        file = f"map_{kind}.txt"
        pd.Series(names).to_csv(folder / file, index=False, header=False)
        done.files[file] = f"names of the {kind} of the maps"


def _draw(
    folder: Path, maps: dict[str, Links], cells: pd.DataFrame, sites: Sites, asked: Asked,
    done: Regulated) -> None:  # fmt: skip
    """Draw the map of the cell with the most links, of types, and the locus of one gene."""
    if len(cells):
        name = cells["cell"].value_counts().index[0]
        one = cells[cells["cell"] == name]
        done.files |= draw_map(one, "weight", sites, folder / "cell", f"links of cell {name}")
    largest = sorted(filter(None, maps), key=lambda name: -maps[name].n_cells)[:_FIGURES]
    for name in largest:
        title = f"{name}: mean links of a cell ({maps[name].n_cells} cells)"
        path = folder / f"map_{done.names[name]}"
        done.files |= draw_map(maps[name].table, "per_cell", sites, path, title)
    table = maps[ALL].table
    table = table[table["distance"].notna()]
    if len(table):
        gene = asked.gene or str(table.groupby("gene")["weight"].sum().idxmax())
        drawn = draw_locus(table[table["gene"] == gene], gene, sites, folder / "locus")
        if not drawn:
            logger.info(
                f"{gene} has no link with a distance on these cells: its locus is not drawn"
            )
        done.files |= drawn
    if len(largest) < len(maps) - 1:
        logger.info(f"maps of the {len(largest)} largest of {len(maps) - 1} types are drawn")
