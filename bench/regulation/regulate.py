"""Links between peaks and genes by a fitted method: tables, maps, bound peaks, figures."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.errors import DataError, UsageError
from bench.execute.output_folder import check_output_folder, replace_results
from bench.messages import did_you_mean, quote_names
from bench.seeds import derive_seed

from .binding import (
    BindingIntervals,
    check_genome,
    find_bound_peaks,
    read_binding,
    score_bound_peaks,
    signal_heights,
)
from .figures import draw_locus, draw_map, draw_peak_lines
from .link_calculator import ALL_CELLS, LinkCalculator
from .links import NEAR_DISTANCES, FeaturePositions, LinkTable, near_tss_shares

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .fitted_multiome import FittedMultiome

logger = logging.getLogger(__name__)
NOTE_FILE = "regulate.json"
_MAX_TYPE_FIGURES = 12
_COLUMNS = ["gene", "peak", "weight", "distance", "together", "per_cell"]


@dataclass(frozen=True)
class RegulateOptions:
    """Options of :func:`regulate`: links, scores and figures to write."""

    cell_types: tuple[str, ...] = ()
    """Cell types with separate maps; empty: all."""
    binding: tuple[Path, ...] = ()
    """BED files of bound peaks, one a transcription factor."""
    tss_window: int | None = None
    """Largest distance of a peak from the gene's TSS, base pairs; ``None``: any."""
    n_cells: int = 20
    """Number of single cells, chosen at random, whose links are written."""
    cells: tuple[str, ...] = ()
    """Names of single cells whose links are written, in place of a random choice."""
    top: int = 20_000
    """Largest number of links in a table."""
    gene: str | None = None
    """Gene whose locus is drawn; ``None``: the gene with the largest sum of weights."""
    figures: bool = True


@dataclass
class RegulateOutput:
    """Files and scores of :func:`regulate`."""

    folder: Path
    names: dict[str, str]
    """Cell type → its name in file names."""
    files: dict[str, str] = field(default_factory=dict)
    """File name → its contents in words."""
    shares: dict[str, float] = field(default_factory=dict)
    """Shares of links and of pairs near the gene's TSS."""
    binding: pd.DataFrame | None = None
    """Scores of bound peaks: one row a factor, set of cells and kind of weight."""
    unlinked: list[str] = field(default_factory=list)
    """Single cells without a link."""

    def summary_lines(self) -> list[str]:
        """Return the results as lines of text."""
        lines = []
        for limit in NEAR_DISTANCES if self.shares else ():
            links, weight, pairs = (
                self.shares[f"{kind}_{limit // 1000}kb"] for kind in ("links", "weight", "pairs")
            )
            lines.append(
                f"within {limit // 1000:,} kb of the gene's start: {links:.1%} of the links, "
                f"{weight:.1%} of their weight; {pairs:.1%} of all pairs of a chromosome"
            )
        for row in [] if self.binding is None else self.binding.to_dict("records"):
            lines.append(
                f"{row['factor']}, {row['cells']} ({row['weight']}): AUROC {row['auroc']:.3f} "
                f"(accessibility {row['auroc_accessibility']:.3f}, permuted "
                f"{row['auroc_permuted']:.3f}), AUPRC {row['auprc']:.3f} "
                f"({row['auprc_accessibility']:.3f}, {row['auprc_permuted']:.3f}; base rate "
                f"{row['base_rate']:.3f}); of the signal: cosine {row['cosine']:.3f} "
                f"({row['cosine_accessibility']:.3f}, {row['cosine_permuted']:.3f}), Pearson "
                f"{row['pearson']:.3f} ({row['pearson_accessibility']:.3f}, "
                f"{row['pearson_permuted']:.3f}), Jaccard {row['jaccard']:.3f} "
                f"({row['jaccard_accessibility']:.3f}, {row['jaccard_permuted']:.3f})"
            )
        if self.unlinked:
            lines.append(f"without a link: {quote_names(self.unlinked)}")
        return lines + [f"  {self.folder / name}  {text}" for name, text in self.files.items()]


def regulate(fitted: FittedMultiome, options: RegulateOptions, out: Path) -> RegulateOutput:
    """Write link tables, maps, links of single cells, scores of bound peaks and figures.

    Cell types only group the cells; the fit does not see them here.
    """
    check_output_folder(out, NOTE_FILE)
    types = _select_types(fitted, options.cell_types)
    positions = FeaturePositions.of(fitted.data)
    _check_positions(fitted.name, positions, options)
    _check_cells(fitted, options.cells)
    factors = _read_factors(options.binding, positions)
    calculator = LinkCalculator(
        fitted, positions, types, options.tss_window, options.n_cells, options.cells
    )
    tables, cells = calculator.tables(), calculator.single_cells
    if tables[ALL_CELLS].table.empty:
        raise DataError(f"{fitted.name}: the method has no link for these cells.", code="no_links")
    output = RegulateOutput(out, file_names([ALL_CELLS, *types]))
    top_links = tables[ALL_CELLS].table.nlargest(options.top, "weight")
    output.shares = near_tss_shares(top_links, positions)
    output.unlinked = calculator.cells_without_links()
    with replace_results(out, NOTE_FILE) as partial:
        _write_links(partial, tables, options.top, output)
        _write_maps(partial, tables, positions, output)
        cells.to_csv(partial / "cells.csv.gz", index=False, float_format="%.4g")
        output.files["cells.csv.gz"] = (
            f"links of {cells['cell'].nunique()} of {len(calculator.chosen_cells)} single cells"
        )
        peak_maps = _write_peak_maps(partial, tables, positions, factors, output)
        if factors:
            scores = _score_binding(factors, tables, positions, constant=calculator.constant)
            _write_binding(partial, scores, output)
        if options.figures:
            _draw(partial, tables, cells, positions, options.gene, output)
            _draw_peak_maps(partial, tables, peak_maps, factors, output)
        output.files[NOTE_FILE] = "options, and shares of links near the gene's start"
        note = {
            "run": fitted.name,
            "cells": {name or "all": one.n_cells for name, one in tables.items()},
            "weights": "the same in each cell" if calculator.constant else "mean over the cells",
            "single_cells": list(fitted.data.obs_names[calculator.chosen_cells]),
            "without_links": output.unlinked,
            "shares": output.shares, "top": options.top, "tss_window": options.tss_window,
            "binding": [factor.path for factor in factors], "files": sorted(output.files),
        }  # fmt: skip
        (partial / NOTE_FILE).write_text(json.dumps(note, indent=1) + "\n")
    return output


def _select_types(fitted: FittedMultiome, selected: tuple[str, ...]) -> list[str]:
    """Return the cell types with separate maps."""
    if fitted.types is None:
        if selected:
            raise UsageError(
                "--cell-types: the cells have no types; name their column by --label-key.",
                code="missing_labels",
            )
        logger.info("no cell types: only links over all cells")
        return []
    known = [str(name) for name in np.unique(fitted.types) if name]
    untyped = int((fitted.types == "").sum())
    if untyped:
        logger.info(
            f"{untyped} of {len(fitted.types)} cells have no type and are in no type's map"
        )
    for name in selected:
        if name not in known:
            raise UsageError(
                f"--cell-types: no type '{name}'.{did_you_mean(name, known)}", code="unknown_name"
            )
    logger.info("cell types only group cells here; the fit did not see them")
    return list(selected) or known


def _check_cells(fitted: FittedMultiome, names: tuple[str, ...]) -> None:
    """Raise ``UsageError`` for a name that is not among the cells."""
    known = fitted.data.obs_names
    for name in names:
        if name not in known:
            raise UsageError(
                f"--cell {name}: not among the {len(known)} cells, named like '{known[0]}'."
                f"{did_you_mean(name, list(known[:2000]))}",
                code="unknown_name",
            )


def _check_positions(name: str, positions: FeaturePositions, options: RegulateOptions) -> None:
    """Raise an error for an unknown ``--gene``, and for ``--tss-window`` without any TSS."""
    genes = positions.genes.index
    if options.gene is not None and options.gene not in genes:
        raise UsageError(
            f"--gene {options.gene}: not among the {len(genes)} genes of the fit."
            f"{did_you_mean(options.gene, list(genes[:2000]))}",
            code="unknown_name",
        )
    if positions.has_tss:
        return
    if options.tss_window is not None:
        raise DataError(
            f"{name}: no TSS is known, which --tss-window needs.", code="missing_positions"
        )
    logger.info("no distances: the genes have no TSS; add them with 'bench data annotate'")


def _read_factors(paths: tuple[Path, ...], positions: FeaturePositions) -> list[BindingIntervals]:
    """Read the BED files and check that they have the same genome as the peaks."""
    factors = [read_binding(path) for path in paths]
    names = [one.factor for one in factors]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"--binding: two files of the name '{name}'; rename one.", code="duplicate_names"
            )
    for factor in factors:
        bound, _ = find_bound_peaks(positions.peaks, factor.table)
        warning = check_genome(positions.peaks, factor, bound)
        if warning:
            logger.warning(warning)
    return factors


def _write_binding(partial: Path, scores: pd.DataFrame, output: RegulateOutput) -> None:
    output.binding = scores
    scores.to_csv(partial / "binding.csv", index=False, float_format="%.5g")
    output.files["binding.csv"] = "ranking of bound peaks by links, with two controls"


def _score_binding(
    factors: Sequence[BindingIntervals], tables: dict[str, LinkTable],
    positions: FeaturePositions, *, constant: bool,
) -> pd.DataFrame:  # fmt: skip
    """Return one row a factor, set of cells and kind of weight, over peaks with a chromosome."""
    placed = (positions.peaks["chrom"] != "").to_numpy()
    peaks = positions.peaks[placed]
    chrom = peaks["chrom"].to_numpy().astype(str)
    rows = []
    for factor in factors:
        bound, signal = find_bound_peaks(peaks, factor.table)
        for name, table in tables.items():
            for kind in ("weight", "per_cell") if constant else ("weight",):
                scores = score_bound_peaks(
                    bound, signal, table.sum_by_peak(kind, peaks.index),
                    table.accessibility[placed], chrom, derive_seed(0, "regulate", factor.factor),
                )  # fmt: skip
                row = {"factor": factor.factor, "cells": name or "all", "weight": kind}
                rows.append(row | {"peaks": len(peaks), "bound": int(bound.sum())} | scores)
    return pd.DataFrame(rows)


def file_names(types: Sequence[str]) -> dict[str, str]:
    """Return a file name for each cell type; names differ by more than upper and lower case."""
    names: dict[str, str] = {}
    for cell_type in types:
        text = re.sub(r"[^\w.+-]+", "_", cell_type).strip("_") or "type"
        name = text = "all" if cell_type == ALL_CELLS else text
        number = 2
        while name.lower() in {other.lower() for other in names.values()}:
            name, number = f"{text}_{number}", number + 1
        names[cell_type] = name
    return names


def _write_links(
    folder: Path, tables: dict[str, LinkTable], top: int, output: RegulateOutput
) -> None:
    """Write the top links of all cells, by ``weight``, and of each cell type, by ``per_cell``."""
    for name, one in tables.items():
        table = one.table.nlargest(top, "weight" if name == ALL_CELLS else "per_cell")[_COLUMNS]
        file = "links.csv.gz" if name == ALL_CELLS else f"links_{output.names[name]}.csv.gz"
        table.to_csv(folder / file, index=False, float_format="%.4g")
        output.files[file] = (
            f"{len(table)} of {len(one.table)} links of {one.n_cells} cells ({name or 'all'})"
        )


def _write_maps(
    folder: Path, tables: dict[str, LinkTable], positions: FeaturePositions,
    output: RegulateOutput,
) -> None:  # fmt: skip
    """Write gene × peak matrices of ``per_cell``, and the names of their rows and columns."""
    genes, peaks = positions.genes.index, positions.peaks.index
    for name, one in tables.items():
        rows = genes.get_indexer(pd.Index(one.table["gene"]))
        columns = peaks.get_indexer(pd.Index(one.table["peak"]))
        matrix = sp.csr_matrix(
            (one.table["per_cell"].to_numpy(), (rows, columns)), shape=(len(genes), len(peaks))
        )
        file = f"map_{output.names[name]}.npz"
        sp.save_npz(folder / file, matrix)
        output.files[file] = (
            f"map of {name or 'all cells'}: mean links of a cell, {len(genes)} genes × "
            f"{len(peaks)} peaks"
        )
    for kind, names in (("rows", genes), ("columns", peaks)):
        file = f"map_{kind}.txt"
        pd.Series(names).to_csv(folder / file, index=False, header=False)
        output.files[file] = f"names of the {kind} of the maps"


def _write_peak_maps(
    folder: Path, tables: dict[str, LinkTable], positions: FeaturePositions,
    factors: Sequence[BindingIntervals], output: RegulateOutput,
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """Write one table of the peaks for each set of cells, with the signals of the factors.

    Returns the tables by cell type. Columns: position, sums of the links over the genes
    (``weight`` and ``per_cell``), ``accessible`` (share of cells) and the signal of each factor.
    """
    maps = {}
    peaks = positions.peaks
    signals = {one.factor: signal_heights(*find_bound_peaks(peaks, one.table)) for one in factors}
    for name, one in tables.items():
        table = peaks[["chrom", "start", "end"]].copy()
        for column in ("weight", "per_cell"):
            table[column] = one.sum_by_peak(column, peaks.index)
        table["accessible"] = one.accessibility
        for factor, height in signals.items():
            table[f"signal_{factor}"] = height
        file = f"peaks_{output.names[name]}.csv.gz"
        table.to_csv(folder / file, index_label="peak", float_format="%.5g")
        beside = f" beside the signal of {quote_names(list(signals))}" if signals else ""
        output.files[file] = f"map of the peaks of {name or 'all cells'}{beside}"
        maps[name] = table
    return maps


def _draw_peak_maps(
    folder: Path, tables: dict[str, LinkTable], maps: dict[str, pd.DataFrame],
    factors: Sequence[BindingIntervals], output: RegulateOutput,
) -> None:  # fmt: skip
    """Draw the signals of the factors and the maps of all cells and of the largest cell types."""
    types = sorted(filter(None, tables), key=lambda name: -tables[name].n_cells)
    peaks = maps[ALL_CELLS]
    lines = {f"signal of {one.factor}": peaks[f"signal_{one.factor}"] for one in factors}
    lines |= {
        name or "all cells": maps[name]["per_cell"]
        for name in [ALL_CELLS, *types[:_MAX_TYPE_FIGURES]]
    }
    title = "links of each peak, mean of a cell" + (", beside the signal" if factors else "")
    output.files |= draw_peak_lines(lines, peaks, folder / "peaks", title)


def _draw(
    folder: Path, tables: dict[str, LinkTable], cells: pd.DataFrame, positions: FeaturePositions,
    gene: str | None, output: RegulateOutput,
) -> None:  # fmt: skip
    """Draw the map of the cell with the most links, of large cell types, and one gene's locus."""
    if len(cells):
        cell = cells["cell"].value_counts().index[0]
        table = cells[cells["cell"] == cell]
        title = f"links of cell {cell}"
        output.files |= draw_map(table, "weight", positions, folder / "cell", title)
    types = sorted(filter(None, tables), key=lambda name: -tables[name].n_cells)
    for name in types[:_MAX_TYPE_FIGURES]:
        title = f"{name}: mean links of a cell ({tables[name].n_cells} cells)"
        path = folder / f"map_{output.names[name]}"
        output.files |= draw_map(tables[name].table, "per_cell", positions, path, title)
    if len(types) > _MAX_TYPE_FIGURES:
        logger.info(f"maps of the {_MAX_TYPE_FIGURES} largest of {len(types)} types are drawn")
    table = tables[ALL_CELLS].table.dropna(subset="distance")
    if table.empty:
        return
    gene = gene or str(table.groupby("gene")["weight"].sum().idxmax())
    files = draw_locus(table[table["gene"] == gene], gene, positions, folder / "locus")
    if not files:
        logger.info(f"{gene} has no link with a distance in these cells: its locus is not drawn")
    output.files |= files
