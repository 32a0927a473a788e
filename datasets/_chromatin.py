"""From what authors distribute to counts with labels; shared by the chromatin and paired sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

_MISSING = frozenset(["", "nan", "NA", "None", "<NA>"])
_SHOWN = 12


def column(frame: pd.DataFrame, key: str, where: str) -> np.ndarray:
    """Return a column as strings, empty where the value is missing.

    Raises ``DataError`` that names the columns found if it is not there.
    """
    import numpy as np

    if key not in frame:
        there = ", ".join(map(str, frame.columns[:_SHOWN])) or "none"
        raise DataError(
            f"{where}: no column '{key}' (found: {there}); expected the file that the record "
            "documents, fetch it again."
        )
    values = frame[key]
    text = values.astype(str).to_numpy(dtype=object)
    return np.where(values.isna().to_numpy(), "", text)


def assemble(
    counts: Any,
    *,
    cells: Sequence[str],
    features: Sequence[str],
    labels: np.ndarray,
    label_key: str,
    batch: tuple[str, np.ndarray] | None = None,
    without: Sequence[str] = (),
    where: str,
) -> AnnData:
    """Return counts (CSR float32, cells × features) with labels and batch in ``obs``.

    Cells without a label, and those whose label is in ``without``, are left out; a line in
    ``uns["bench_notes"]`` counts them. Raises ``DataError`` if sizes do not agree.
    """
    import numpy as np
    import pandas as pd
    from anndata import AnnData

    shape = (len(cells), len(features))
    if counts.shape != shape or len(labels) != shape[0]:
        raise DataError(
            f"{where}: counts of {counts.shape[0]} × {counts.shape[1]}, {shape[0]} cell names, "
            f"{shape[1]} feature names, {len(labels)} labels: these do not belong together; "
            "fetch the files again."
        )
    text = np.asarray(labels, dtype=object).astype(str)
    gone = np.isin(text, [*_MISSING, *without])
    obs = pd.DataFrame({label_key: text}, index=pd.Index(np.asarray(cells, dtype=object)))
    if batch is not None:
        obs[batch[0]] = np.asarray(batch[1], dtype=object).astype(str)
    keep = np.flatnonzero(~gone)
    matrix = as_counts(counts)
    if gone.any():
        matrix, obs = matrix[keep], obs.iloc[keep]
    adata = AnnData(matrix, obs=obs)
    adata.var_names = pd.Index(np.asarray(features, dtype=object))
    if gone.any():
        adata.uns["bench_notes"] = [f"{where}: {_left_out(text[gone])}."]
    return adata


def _left_out(labels: np.ndarray) -> str:
    found = Counter("no label" if label in _MISSING else f"'{label}'" for label in labels)
    parts = ", ".join(f"{count} with {label}" for label, count in found.most_common())
    return f"cells left out: {len(labels)} ({parts})"


def as_counts(matrix: Any) -> sp.csr_matrix:
    """Return any matrix as CSR float32 without explicit zeros."""
    import numpy as np
    import scipy.sparse as sp

    result = sp.csr_matrix(matrix, dtype=np.float32)
    result.eliminate_zeros()
    return result


def raw(adata: AnnData) -> Any:
    """Return ``layers["counts"]`` if the file has it, else ``X``."""
    return adata.layers["counts"] if "counts" in adata.layers else adata.X
