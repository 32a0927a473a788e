"""The files between the harness and a program of its own: counts, embedding, clusters."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp

_EMBEDDINGS = ("embedding.npy", "embedding.csv", "embedding.h5ad")


def write_counts(data: ad.AnnData, folder: Path, form: str, *, prepared: bool = False) -> Path:
    """Write the counts, or with ``prepared`` the prepared matrix; returns the path.

    ``form``: ``h5ad``, ``npz`` or ``mtx``. Names of features and cells are written beside it.
    """
    matrix = sp.csr_matrix(data.X if prepared or "counts" not in data.layers
                           else data.layers["counts"])  # fmt: skip
    path = folder / f"counts.{form}"
    if form == "h5ad":
        ad.AnnData(matrix, obs=data.obs[[]], var=data.var[[]]).write_h5ad(path)
    elif form == "npz":
        sp.save_npz(path, matrix)
    else:
        scipy.io.mmwrite(path, matrix)
    for name, values in (("features.txt", data.var_names), ("cells.txt", data.obs_names)):
        (folder / name).write_text("\n".join(map(str, values)) + "\n")
    return path


def read_embedding(out: Path, cells: list[str]) -> np.ndarray:
    """Return the embedding in a folder, one row a cell; raises ``ValueError``."""
    path = next((out / name for name in _EMBEDDINGS if (out / name).is_file()), None)
    if path is None:
        raise ValueError(f"the command wrote no embedding; expected {', '.join(_EMBEDDINGS)}")
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".h5ad":
        data = ad.read_h5ad(path)
        first = next(iter(data.obsm.values())) if data.obsm else data.to_df()
        return pd.DataFrame(np.asarray(first), data.obs_names).reindex(cells).to_numpy()
    table = pd.read_csv(path, header=None, dtype=str, skip_blank_lines=True)
    if str(table.iloc[-1, 0]) in set(cells):
        table = table.set_index(0).reindex(cells)  # drops a header
    elif len(table) == len(cells) + 1:
        table = table.iloc[1:]
    return table.astype(float).to_numpy()


def read_clusters(out: Path, n_cells: int) -> np.ndarray | None:
    """Return ``clusters.csv``, one name a cell; ``None`` without it. Raises ``ValueError``."""
    path = out / "clusters.csv"
    if not path.is_file():
        return None
    names = np.array(path.read_text(encoding="utf-8").split("\n"))
    names = names[names != ""]
    if len(names) != n_cells:
        raise ValueError(f"clusters.csv has {len(names)} lines for {n_cells} cells")
    return names


def read_imputed(out: Path, data: ad.AnnData) -> pd.DataFrame | None:
    """Return ``imputed.npy``, cells × features; ``None`` without it. Raises ``ValueError``."""
    path = out / "imputed.npy"
    if not path.is_file():
        return None
    values: np.ndarray = np.load(path, allow_pickle=False)
    if values.shape != data.shape:
        raise ValueError(f"imputed.npy has the shape {values.shape}; expected {data.shape}")
    return pd.DataFrame(values, data.obs_names, data.var_names)
