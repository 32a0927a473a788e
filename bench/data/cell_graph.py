"""The user's own graph of the cells: a key of ``obsp``, a matrix or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp

from bench.errors import DataError
from bench.messages import did_you_mean

if TYPE_CHECKING:
    from anndata import AnnData

_TABLES = (".csv", ".tsv", ".txt")


def find_cell_graph(cells: AnnData, given: Any, name: str) -> sp.csr_matrix | None:
    """Return the weights of the graph, shape (n_cells, n_cells), float64; ``None`` for ``None``.

    Parameters
    ----------
    cells
        The cells. Rows and columns of the graph have their order.
    given
        A key of ``obsp``; a matrix; or the path of a SciPy ``.npz``, a MatrixMarket file, or a
        table of edges with the columns ``first``, ``second`` and, unless all weights are 1,
        ``weight``. Edges hold names of cells, or row numbers from 0.
    name
        Name of the option in messages.

    Raises
    ------
    DataError
        If there is no such key or file, if the shape is not (n_cells, n_cells), for negative or
        infinite weights, for unknown cells, and for a graph without edges.
    """
    if given is None:
        return None
    if isinstance(given, (str, Path)):
        key = str(given)
        given = cells.obsp[key] if key in cells.obsp else _read(Path(given), cells, name)
    matrix = sp.csr_matrix(given, dtype=np.float64)
    if matrix.shape != (cells.n_obs, cells.n_obs):
        raise DataError(
            f"{name}: a graph of {matrix.shape[0]} × {matrix.shape[1]} for {cells.n_obs} cells; "
            "expected one row and one column a cell.",
            code="other_cells",
        )
    if not np.isfinite(matrix.data).all() or (matrix.data < 0).any():
        raise DataError(
            f"{name}: the graph has negative or infinite weights; expected similarities, finite "
            "and at least 0, such as connectivities (not distances).",
            code="not_similarities",
        )
    matrix.eliminate_zeros()
    if not matrix.nnz:
        raise DataError(f"{name}: the graph has no edge.", code="empty_graph")
    return matrix


def _read(path: Path, cells: AnnData, name: str) -> Any:
    if not path.is_file():
        keys = list(map(str, cells.obsp))
        known = did_you_mean(str(path), keys) if keys else " obsp is empty."
        raise DataError(
            f"{name} {path}: neither a key of obsp nor a file.{known}",
            code="missing_file",
        )
    try:
        if path.suffix == ".npz":
            return sp.load_npz(path)
        if path.name.endswith((".mtx", ".mtx.gz")):
            return scipy.io.mmread(path)
        if path.suffix in _TABLES:
            return _of_edges(pd.read_csv(path, sep=None, engine="python"), cells, name, path)
    except (ValueError, OSError, KeyError, pd.errors.ParserError) as error:
        text = " ".join(str(error).split())
        raise DataError(f"{name} {path}: unreadable ({text}).", code="unreadable") from None
    raise DataError(
        f"{name} {path}: expected .npz, .mtx, or a table of edges as .csv, .tsv or .txt.",
        code="unknown_format",
    )


def _of_edges(edges: pd.DataFrame, cells: AnnData, name: str, path: Path) -> sp.coo_matrix:
    """Return the symmetric matrix of a table of edges."""
    missing = [column for column in ("first", "second") if column not in edges]
    if missing:
        raise DataError(
            f"{name} {path}: no column '{missing[0]}' in the table of edges; expected first, "
            "second and weight.",
            code="missing_column",
        )
    ends = [_cell_numbers(edges[column], cells, name, path) for column in ("first", "second")]
    weight = edges["weight"].to_numpy(np.float64) if "weight" in edges else np.ones(len(edges))
    shape = (cells.n_obs, cells.n_obs)
    one_way = sp.csr_matrix((weight, (ends[0], ends[1])), shape=shape)
    return one_way.maximum(one_way.T)


def _cell_numbers(column: pd.Series, cells: AnnData, name: str, path: Path) -> np.ndarray:
    """Return row numbers of cells given by name or, if no value is a name, by number."""
    numbers = cells.obs_names.get_indexer(pd.Index(column.astype(str)))
    if (numbers < 0).all() and pd.api.types.is_integer_dtype(column):
        numbers = np.where(column < cells.n_obs, column, -1)
    if (numbers < 0).any():
        unknown = column[numbers < 0].iloc[0]
        raise DataError(
            f"{name} {path}: '{unknown}' is no cell; expected names such as "
            f"'{cells.obs_names[0]}', or row numbers from 0 to {cells.n_obs - 1}.",
            code="other_cells",
        )
    return np.asarray(numbers)
