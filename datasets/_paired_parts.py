"""Two parts of the same cells put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import pair_data
from bench.contract.multiome import check_cells
from bench.data.tools.gene_positions import place_genes, read_tss

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData


def pair_parts(rna: AnnData, atac: AnnData, tss: Path | None, where: str) -> MuData:
    """Return both parts with the notes of both, and positions of the genes from a table of TSS.

    Raises ``DataError`` if they are not the same cells in the same order.
    """
    notes = [line for part in (rna, atac) for line in part.uns.pop("bench_notes", [])]
    check_cells(rna, atac, where)
    if tss is not None:
        notes.append(place_genes(rna, read_tss(tss), where))
    data = pair_data(rna, atac)
    data.uns["bench_notes"] = list(dict.fromkeys(notes))
    return data
