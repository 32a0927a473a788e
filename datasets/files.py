"""Any ``.h5ad`` file as a dataset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bench.checks import PEAK
from bench.dataset import Card, Dataset
from bench.errors import DataError, UsageError
from bench.recipe import ATAC, RNA

if TYPE_CHECKING:
    from anndata import AnnData

LABEL_GUESSES = (
    "cell_type", "celltype", "cell_types", "CellType", "cell_ontology_class", "label", "labels",
    "bulk_labels", "cluster", "clusters", "louvain", "leiden",
)  # fmt: skip
"""Columns proposed, in this order, when the label column is not there."""
DEFAULT_LABEL_KEY = "cell_type"


class FileDataset(Dataset):
    """A file given by its path; made by :meth:`from_path`, not registered by name."""

    def __init__(self, path: Path, label_key: str | None, batch_key: str | None) -> None:
        super().__init__()
        self.path, self.label_key, self.batch_key = path, label_key, batch_key
        self._modality: str | None = None

    @classmethod
    def from_path(
        cls,
        path: Path,
        label_key: str | None = None,
        batch_key: str | None = None,
        modality: str | None = None,
    ) -> Self:
        """Return the dataset of a file without opening it.

        ``modality`` overrides what the file says in ``uns["modality"]`` or by its feature names.
        Raises ``UsageError`` if the file is not there or not an ``.h5ad``, or for an unknown
        modality.
        """
        if modality not in (None, RNA, ATAC):
            raise UsageError(f"{path}: modality='{modality}'; expected '{RNA}' or '{ATAC}'.")
        if not path.is_file():
            raise UsageError(f"{path}: no such file; expected an .h5ad file with raw counts in X.")
        if path.suffix != ".h5ad":
            raise UsageError(f"{path}: expected a file whose name ends in .h5ad.")
        made = cls(path, label_key, batch_key)
        made._modality = modality
        made.name = path.stem
        return made

    @property
    def where(self) -> str:
        """The path of the file."""
        return str(self.path)

    def fingerprint(self) -> dict[str, Any]:
        """Return path, size and time of the file, and the columns read."""
        stat = self.path.stat()
        return {
            "path": str(self.path.resolve()),
            "size": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
            "label_key": self.label_key,
            "batch_key": self.batch_key,
            "modality": self._modality,
        }

    def load(self) -> AnnData:
        """Return counts, labels and batch; sets ``card`` from what the file says.

        Raises ``DataError`` if the file cannot be read or a column is not there.
        """
        import anndata

        try:
            adata = anndata.read_h5ad(self.path)
        except Exception as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{self.path}: not a readable .h5ad file: {text}") from None
        label_key = self._column(adata, self.label_key or DEFAULT_LABEL_KEY, "--label-key")
        batch_key = None
        if self.batch_key:
            batch_key = self._column(adata, self.batch_key, "--batch-key")
        elif "batch" in adata.obs and adata.obs["batch"].nunique() > 1:
            batch_key = "batch"
        self.card = Card(
            modality=self._modality or modality_of(adata),
            summary=f"file {self.path.name}",
            label_key=label_key,
            batch_key=batch_key,
            reference=str(adata.uns.get("source", "")),
            licence=str(adata.uns.get("licence", "")),
            organism=str(adata.uns.get("organism", "")),
            labels_from=f"column {label_key} of the file",
        )
        return adata

    def _column(self, adata: AnnData, key: str, flag: str) -> str:
        if key in adata.obs:
            return key
        guesses = [name for name in LABEL_GUESSES if name in adata.obs]
        others = [name for name in adata.obs.columns if name not in guesses]
        there = ", ".join([*guesses, *others]) or "none"
        raise DataError(
            f"{self.path}: no column '{key}' in obs; pass {flag} with one of: {there}."
        )


def modality_of(adata: AnnData) -> str:
    """Return what ``uns["modality"]`` says, else ``atac`` if most features are intervals."""
    said = str(adata.uns.get("modality", "")).lower()
    if "atac" in said or "chromatin" in said:
        return ATAC
    if said:
        return RNA
    names = list(adata.var_names[:200])
    return ATAC if sum(bool(PEAK.match(name)) for name in names) > len(names) / 2 else RNA


def find_local(name: str) -> Path | None:
    """Return ``<BENCH_DATA_DIR>/<name>.h5ad`` if it is there."""
    folder = os.environ.get("BENCH_DATA_DIR")
    if not folder or "/" in name:
        return None
    path = Path(folder).expanduser() / f"{name}.h5ad"
    return path if path.is_file() else None
