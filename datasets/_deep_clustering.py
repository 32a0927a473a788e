"""Reader of the files of the repository scDCC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.formats import read_xy_h5

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from ._published import Published


def read_counts_and_labels(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the counts of 2,000 genes without names; labels are numbers."""
    (path,) = files.values()
    return read_xy_h5(path)
