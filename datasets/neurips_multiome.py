"""Human bone marrow, expression and chromatin of each nucleus (GSE194122, NeurIPS 2021)."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.contract import RNA, Card, RemoteFile, format_peak_names
from bench.errors import DataError

from ._chromatin import assemble, column
from ._paired import Measured, Paired, Part

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

_NAME = "GSE194122_openproblems_neurips2021_multiome_BMMC_processed.h5ad.gz"
_FILE = RemoteFile(
    _NAME,
    "https://ftp.ncbi.nlm.nih.gov/geo/series/GSE194nnn/GSE194122/suppl/" + _NAME,
    about=2_700_000_000,
)
_KINDS = {"rna": "GEX", "atac": "ATAC"}
"""What ``var["feature_types"]`` calls the parts."""
_BLOCK = 4096
"""Cells read at once."""


class NeuripsMultiome(Paired):
    """Bone marrow of ten donors measured at four sites, expression and chromatin of each nucleus.

    Thirteen samples are the batches. The types were annotated sample by sample from both parts
    and brought to one list, so they are a consensus of clusterings; neighbouring progenitors
    and T-cell types have soft borders. Both parts lie in one file, which is unpacked for
    reading (several GB for a moment in the cache folder).
    """

    name = "neurips_multiome"
    parts: ClassVar = {"rna": Measured(13431, (_FILE,)), "atac": Measured(116490, (_FILE,))}
    card = Card(
        modality=RNA,
        summary="69,249 nuclei of human bone marrow, 13 samples, paired (10x Multiome)",
        label_key="cell_type",
        batch_key="batch",
        n_cells=69249,
        n_features=13431,
        n_types=22,
        organism="human",
        reference="Luecken et al. 2021, NeurIPS Datasets and Benchmarks, "
        "https://openreview.net/forum?id=gN35BGa1Rt",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE194122",
        licence="none stated (GEO)",
        labels_from="annotation of each sample by marker genes and peaks, brought to one list",
        tags=("paired", "blood", "batches"),
        files=(_FILE,),
        documented="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE194122 (file); "
        "https://openproblems.bio/datasets/openproblems_neurips2021/bmmc_multiome (sizes, "
        "columns cell_type and batch, layer counts)",
    )

    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part (CSR) with ``obs["cell_type"]`` and ``obs["batch"]``."""
        packed = files[_NAME]
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{self.name}.", dir=self.cache) as folder:
            path = Path(folder) / _NAME.removesuffix(".gz")
            _unpack(packed, path)
            where = f"{self.name}: {packed}"
            obs, names, counts = _read(path, _KINDS[part], where)
        return assemble(
            counts,
            cells=list(obs.index),
            features=format_peak_names(names) if part == "atac" else list(names),
            labels=column(obs, "cell_type", where),
            label_key=self.card.label_key,
            batch=("batch", column(obs, "batch", where)),
            where=self.name,
        )


def _unpack(packed: Path, path: Path) -> None:
    try:
        with gzip.open(packed) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 24)
    except (OSError, EOFError) as error:
        raise DataError(
            f"{packed}: cannot be unpacked into {path.parent.parent}: {error}; free space there, "
            "or fetch the file again."
        ) from None


def _read(path: Path, kind: str, where: str) -> tuple[pd.DataFrame, np.ndarray, sp.csr_matrix]:
    """Return cells, feature names and counts of one kind of features.

    The layer is read in blocks of cells, as the other kind's entries would not be needed.
    """
    import h5py
    import numpy as np
    import scipy.sparse as sp
    from anndata.io import read_elem, sparse_dataset

    try:
        with h5py.File(path) as file:
            obs, var = read_elem(file["obs"]), read_elem(file["var"])
            wanted = np.flatnonzero(column(var, "feature_types", where) == kind)
            layer = sparse_dataset(file["layers/counts"])
            blocks = [
                sp.csr_matrix(layer[start : start + _BLOCK])[:, wanted].astype(np.float32)
                for start in range(0, len(obs), _BLOCK)
            ]
    except (OSError, KeyError, ValueError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{where}: {text}; expected an .h5ad file with obs, var and layers/counts."
        ) from None
    if not len(wanted):
        raise DataError(f"{where}: no features of type {kind} in var['feature_types'].")
    return obs, var.index.to_numpy()[wanted], sp.vstack(blocks, format="csr")
