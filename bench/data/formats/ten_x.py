"""The ``.h5`` files of Cell Ranger, version 2 (a group for each genome) and 3."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.errors import DataError
from bench.messages import log_note, option_hint

from .assemble import build_anndata
from .elements import decode_text, read_compressed
from .guards import array_bytes, open_hdf5, read_errors, require_memory
from .matrix_market import select_features

if TYPE_CHECKING:
    from anndata import AnnData


def read_10x_h5(path: Path, *, part: str | None = None) -> AnnData:
    """Return counts (CSR float32, cells × features) of a Cell Ranger ``.h5``, version 2 or 3.

    Names, ``var["gene_ids"]``, ``var["feature_types"]`` and ``part`` are as in
    :func:`read_10x_mtx`; ``part`` may also be a genome. Genomes in separate groups are joined over
    all cells, with a note. Raises ``DataError`` for an unreadable file.
    """
    with read_errors(path, "10x .h5 file"), open_hdf5(path) as file:
        require_memory(path, 2 * array_bytes(file))
        names = [name for name in file if "barcodes" in file[name]]
        if part in names:
            names, part = [str(part)], None
        counts, obs, var = _join_genomes([_read_group(path, file[name], name) for name in names])
        if len(names) > 1:
            log_note(
                f"{path}: holds the genomes {', '.join(names)}; joined over {len(obs)} cells; for "
                f"one of them, {option_hint(path, part=names[0])}"
            )
    genomes = list(dict.fromkeys(var.get("genome", [])))
    if part in genomes:
        chosen = (var["genome"] == part).to_numpy()
        counts, var, part = counts[:, chosen], var[chosen], None
    elif len(genomes) > 1 and len(names) == 1:
        log_note(
            f"{path}: features of {', '.join(genomes)}; for one, "
            f"{option_hint(path, part=genomes[0])}"
        )
    adata = build_anndata(path, counts, obs, var, hint="rename them in the file")
    return select_features(adata, part, path)


def _read_group(
    path: Path, group: Any, name: str
) -> tuple[sp.csr_matrix, pd.DataFrame, pd.DataFrame]:
    """Return counts, cells and features of one group; the file has features in rows."""
    cells = decode_text(group["barcodes"][()])
    if "features" in group:
        features = group["features"]
        columns = {"gene_ids": "id", "feature_types": "feature_type", "genome": "genome"}
        table = {
            key: decode_text(features[of][()]) for key, of in columns.items() if of in features
        }
        symbols = decode_text(features["name"][()])
    else:
        table = {"gene_ids": decode_text(group["genes"][()])}
        symbols = decode_text(group["gene_names"][()])
    shape = tuple(int(size) for size in group["shape"][()])
    if shape != (len(symbols), len(cells)):
        raise DataError(
            f"{path}: {name} is {' × '.join(map(str, shape))}, but has {len(symbols)} names of "
            f"features and {len(cells)} barcodes; an incomplete or damaged file?",
            code="size_mismatch",
        )
    # Stored by cells, so rows of a matrix of cells × features.
    counts = read_compressed(path, group, name, (len(cells), len(symbols)), by_columns=False)
    obs = pd.DataFrame(index=pd.Index(cells, dtype=object))
    var = pd.DataFrame(table, index=pd.Index(symbols, dtype=object))
    return counts.astype(np.float32), obs, var


def _join_genomes(
    groups: list[tuple[sp.csr_matrix, pd.DataFrame, pd.DataFrame]],
) -> tuple[sp.csr_matrix, pd.DataFrame, pd.DataFrame]:
    """Return the features of all groups side by side; a cell has zeros where a group lacks it."""
    if len(groups) == 1:
        return groups[0]
    cells = pd.Index(dict.fromkeys(name for _, obs, _ in groups for name in obs.index))
    aligned = []
    for counts, obs, _ in groups:
        rows = cells.get_indexer(obs.index)
        place = sp.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, np.arange(len(rows)))),
            shape=(len(cells), len(rows)),
        )
        aligned.append(place @ counts)
    var = pd.concat([var for _, _, var in groups])
    return sp.hstack(aligned, format="csr"), pd.DataFrame(index=cells), var
