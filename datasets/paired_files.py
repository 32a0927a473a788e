"""Paired sets that are distributed as one ``.h5ad`` file a part, with the same cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ._fact_files import add_datasets
from ._paired import Paired, Part

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


class PairedFiles(Paired):
    """Counts in ``X``, types in ``obs["cell_type"]`` of each file."""

    names: ClassVar[Mapping[str, str]] = {}
    """Columns with names of ``cells``, genes (``rna``) and peaks (``atac``), if not the index."""

    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        from ._labelled_counts import read_labelled_file

        return read_labelled_file(
            self.part_file(files, part),
            "cell_type",
            label_key=self.card.label_key,
            peaks=part == "atac",
            names=(self.names.get("cells", ""), self.names.get(part, "")),
            where=self.name,
        )


add_datasets(__name__)
