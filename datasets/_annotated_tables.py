"""Tables of genes × cells, read line by line, whose first lines may annotate the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from bench.data.formats.delimited import open_rows
from bench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


class GeneRows:
    """Counts of genes × cells, collected one gene at a time, never dense in memory."""

    def __init__(self, path: Path, n_cells: int) -> None:
        self.path, self.n_cells = path, n_cells
        self.genes: list[str] = []
        self._rows: list[sp.csr_matrix] = []

    def add(self, line: int, gene: str, fields: list[str]) -> None:
        """Add the values of one gene in all cells; raises ``DataError`` that names the line."""
        if len(fields) != self.n_cells:
            raise DataError(
                f"{self.path}: line {line} ({gene}) has {len(fields)} values, expected "
                f"{self.n_cells}, one a cell; the file is damaged or not the published one.",
                code="invalid_line",
            )
        try:
            values = np.array(fields, dtype=np.float32)
        except ValueError as error:
            raise DataError(
                f"{self.path}: line {line} ({gene}): {error}; expected numbers only.",
                code="not_a_number",
            ) from None
        self.genes.append(gene)
        self._rows.append(sp.csr_matrix(values))

    def matrix(self) -> sp.csr_matrix:
        """Return cells × genes, CSR float32; raises ``DataError`` if there is no gene."""
        if not self._rows:
            raise DataError(f"{self.path}: no genes; the file is cut off.", code="empty_file")
        return sp.vstack(self._rows, format="csr").T.tocsr()


def read_annotated(path: Path, *, sep: str, head: int, before: int, skip: int = 0) -> AnnData:
    """Read a table of genes × cells whose first ``head`` lines annotate the cells.

    The first ``before`` columns hold, in the head, the name of the annotation (in the last of
    them that is not empty; the line with the names of the cells may have none) and below the
    name of the gene (in the first). ``skip`` lines separate the two. Annotations become columns
    of ``obs`` in their order; the first nameless line is the column ``""``, later ones are left
    out. Raises ``DataError`` with the line that is wrong.
    """
    facts: dict[str, list[str]] = {}
    genes: GeneRows | None = None
    with open_rows(path, sep) as lines:
        for line, fields in lines:
            if line <= head:
                names = [field.strip() for field in fields[:before] if field.strip()]
                values = [field.strip() for field in fields[before:]]
                facts.setdefault(names[-1] if names else "", values)
            elif line > head + skip:
                genes = genes or GeneRows(path, max(len(values) for values in facts.values()))
                genes.add(line, fields[0], fields[before:])
    if genes is None:
        raise DataError(
            f"{path}: no gene after {head} lines; the file is empty or cut off.", code="empty_file"
        )
    obs = {name: values for name, values in facts.items() if len(values) == genes.n_cells}
    return AnnData(
        genes.matrix(),
        obs=pd.DataFrame(obs, index=[f"cell{number}" for number in range(genes.n_cells)]),
        var=pd.DataFrame(index=genes.genes),
    )
