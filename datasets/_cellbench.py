"""Reader of the runs of CellBench, mixtures of cell lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.formats import read_labels, read_text

from ._labelled_counts import (
    drop_spike_ins,
    join_annotation,
    keep_cells,
    keep_labelled,
    require_columns,
    stack,
)

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from ._published import Published


def read_runs(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the singlets of all runs over their common genes.

    Files: counts (genes × cells) and metadata of each run in turn.
    """
    paths = list(files.values())
    parts = {}
    for counts, metadata in zip(paths[::2], paths[1::2], strict=True):
        run = counts.name.removeprefix("sc_").removesuffix(".count.csv.gz")
        part = read_text(counts, orientation="genes")
        part = join_annotation(part, read_labels(metadata), "cellbench")
        require_columns(part.obs, metadata, "cell_line_demuxlet", "demuxlet_cls")
        singlets = (part.obs["demuxlet_cls"] == "SNG").to_numpy()
        part = keep_cells(part, singlets, "not singlets by demuxlet")
        parts[run] = keep_labelled(drop_spike_ins(part), "cell_line_demuxlet")
    return stack(parts, "batch")
