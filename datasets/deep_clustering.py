"""The sets that papers on deep clustering share, as files with X (counts) and Y (labels)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bench.contract import Parameters

from ._fact_files import add_datasets
from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


class CountsAndLabels(Published):
    """A file of the repository scDCC: 2,000 most variable genes, without names."""

    class Params(Parameters):
        """Which of the two files of a set."""

        cells: Literal["all", "2100"] = Field(
            "all",
            description="all cells, or the 2,100 drawn at random for the comparisons of scDCC",
        )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts with the labels, whose numbers have no names."""
        from bench.data.formats import read_xy_h5

        (path,) = files.values()
        return read_xy_h5(path)


add_datasets(__name__)
