"""Any file or folder with counts as a dataset."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.contract import (
    ATAC,
    MULTIOME,
    PARTS,
    RNA,
    Card,
    Dataset,
    Parameters,
    check_cells,
    format_peak_names,
    pair_data,
    parse_interval,
)
from bench.digests import digest
from bench.errors import DataError, UsageError
from bench.messages import collect_notes, log_note

from .file_names import display_name, has_known_suffix, is_matrix_folder, list_files

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

LABEL_GUESSES = (
    "cell_type", "celltype", "cell_types", "CellType", "cell_ontology_class", "label", "labels",
    "bulk_labels", "cluster", "clusters", "louvain", "leiden",
)  # fmt: skip
"""Columns proposed, in this order, when the label column is not there."""
DEFAULT_LABEL_KEY = "cell_type"


class FileDataset(Dataset):
    """A file or folder given by its path; made by :meth:`from_path`, not registered by name."""

    class Params(Parameters):
        """What stands in the brackets after a path."""

        labels: str | None = Field(
            None, description="second file with columns of cells, joined by barcode"
        )
        label_key: str | None = Field(None, description="column of the true types")
        batch_key: str | None = Field(None, description="column of the batches")
        transpose: bool | None = Field(
            None,
            description="text and MatrixMarket: true if features are in rows, false if cells are "
            "(else found and said); other formats: true swaps cells and features",
        )
        modality: Literal["rna", "atac"] | None = Field(
            None, description="what the counts are (else by the file or its feature names)"
        )
        part: str | None = Field(
            None, description="modality of an .h5mu (both: rna with atac, the default where these "
            "two are all it holds), or rna, atac, protein of a 10x file",
        )  # fmt: skip
        atac: str | None = Field(
            None, description="second file with the peaks of the same cells; the first has genes"
        )

    params: Params

    def __init__(self, path: Path, params: Params, *, labels_needed: bool = True) -> None:
        super().__init__(params)
        self.path, self.labels_needed = path, labels_needed

    @classmethod
    def from_path(
        cls, path: Path, params: Params | None = None, *, labels_needed: bool = True
    ) -> FileDataset:
        """Return the dataset of a path without opening a file.

        Without ``labels_needed`` cells may have no types; ``card.label_key`` is then empty.

        Raises ``UsageError`` if there is no such file, folder or file of labels or the name is of
        no known format, and ``DataError`` for a matrix without names beside it.
        """
        made = cls(path, params or cls.Params(), labels_needed=labels_needed)
        made.name = display_name(path)
        made.files()
        return made

    @property
    def where(self) -> str:
        """The path of the file."""
        return str(self.path)

    def files(self) -> list[Path]:
        """Return every file that is read."""
        found = list_files(self.path)
        if self.params.labels:
            labels = Path(self.params.labels).expanduser()
            if not labels.is_file():
                raise UsageError(f"{self.path}: labels={labels}: no such file.")
            found.append(labels)
        if self.params.atac:
            peaks = Path(self.params.atac).expanduser()
            if not peaks.exists():
                raise UsageError(f"{self.path}: atac={peaks}: no such file.")
            found += list_files(peaks)
        return found

    @property
    def paired(self) -> bool:
        """Whether the file may hold both parts of paired data; only reading it tells."""
        part, packed = self.params.part, self.path.suffix.lower() == ".h5mu"
        return bool(self.params.atac) or part == "both" or (part is None and packed)

    def fingerprint(self) -> dict[str, Any]:
        """Return the path, and a digest of path, size and time of every file that is read."""
        stats = [(path.resolve(), path.stat()) for path in self.files()]
        files = [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]
        return {"path": str(self.path.resolve()), "files": digest(files)}

    def load(self) -> AnnData | MuData:
        """Return counts, labels and batch, of both parts if the file is of paired data.

        Sets ``card`` from what the file says.

        What was decided or dropped on the way goes to ``notes``. Raises ``DataError`` if a file
        cannot be read, no barcode matches, or a column is not there.
        """
        with collect_notes() as notes:
            adata = self._load()
        self.notes = [text.removeprefix(f"{self.path}: ") for text in notes]
        return adata

    def _load(self) -> AnnData | MuData:
        from . import formats

        pair = self.paired and (
            self.params.part == "both" or bool(self.params.atac)
            or set(formats.list_modalities(self.path)) == set(PARTS)
        )  # fmt: skip
        if not pair:
            return self._complete(self._read(self.path, self.params.part))
        if self.params.transpose is not None or self.params.modality:
            raise UsageError(f"{self.path}: transpose= and modality= are for a single part.")
        first = None if self.params.atac else RNA
        rna = self._read(self.path, first)
        atac = self._read(Path(self.params.atac or self.path).expanduser(), first and ATAC)
        check_cells(rna, atac, str(self.path))
        rna = self._complete(rna, RNA)
        if rna.n_obs < atac.n_obs:  # those without a label were dropped, which was said
            atac = atac[rna.obs_names].copy()
        atac.var_names = format_peak_names(atac.var_names)
        self.card = replace(self.card, modality=MULTIOME)
        return pair_data(rna, atac)

    def _read(self, path: Path, part: str | None) -> AnnData:
        from . import formats

        params = self.params
        return formats.read_counts(
            path,
            transpose=params.transpose,
            part=part,
            obs_columns=[key for key in (params.label_key, params.batch_key) if key],
        )

    def _complete(self, adata: AnnData, modality: str | None = None) -> AnnData:
        """Join the labels, find the columns, and set ``card``."""
        params = self.params
        label_key, labels_from = params.label_key, "the file"
        if params.labels:
            path = Path(params.labels).expanduser()
            adata, label_key = self._join(adata, path)
            labels_from = path.name
        if label_key or self.labels_needed or DEFAULT_LABEL_KEY in adata.obs:
            label_key = self._column(adata, label_key or DEFAULT_LABEL_KEY, "label")
        batch_key = None
        if params.batch_key:
            batch_key = self._column(adata, params.batch_key, "batch")
        elif "batch" in adata.obs and adata.obs["batch"].nunique() > 1:
            batch_key = "batch"
        modality = modality or params.modality or guess_modality(adata)
        if modality == ATAC:
            adata.var_names = format_peak_names(adata.var_names)
        self.card = Card(
            modality=modality,
            summary=f"file {self.path.name}",
            label_key=label_key or "",
            batch_key=batch_key,
            reference=str(adata.uns.get("source", "")),
            licence=str(adata.uns.get("licence", "")),
            organism=str(adata.uns.get("organism", "")),
            labels_from=f"column {label_key} of {labels_from}" if label_key else "",
        )
        return adata

    def _join(self, adata: AnnData, path: Path) -> tuple[AnnData, str | None]:
        """Add the columns of the second file; cells without a label there are dropped."""
        from . import formats

        table = formats.read_cell_table(path)
        key = self.params.label_key
        if key is None and DEFAULT_LABEL_KEY not in table and len(table.columns) == 1:
            key = str(table.columns[0])
        adata = formats.join_labels(adata, table, where=str(path))
        shown = key or DEFAULT_LABEL_KEY
        if shown in table:
            unlabelled = adata.obs[shown].isna().to_numpy()
            if unlabelled.any():
                log_note(
                    f"{path}: {unlabelled.sum()} of {adata.n_obs} cells have no value in column "
                    f"'{shown}' and were dropped"
                )
                adata = adata[~unlabelled].copy()
        return adata, key

    def _column(self, adata: AnnData, key: str, what: str) -> str:
        if key in adata.obs:
            return key
        guesses = [name for name in LABEL_GUESSES if name in adata.obs]
        others = [str(name) for name in adata.obs.columns if name not in guesses]
        if not guesses and not others:
            raise DataError(
                f"{self.path}: no column '{key}', the cells have none at all; give them in a "
                f"second file: '{self.path.name}[labels=FILE,{what}_key=COLUMN]' "
                f"(bench fit: --labels FILE --{what}-key COLUMN)."
            )
        there = ", ".join([*guesses, *others])
        raise DataError(
            f"{self.path}: no column '{key}' in obs; pass --{what}-key with one of: {there}."
        )


def guess_modality(adata: AnnData) -> str:
    """Return what ``uns["modality"]`` says, else ``atac`` if most features are intervals."""
    said = str(adata.uns.get("modality", "")).lower()
    if "atac" in said or "chromatin" in said:
        return ATAC
    if said:
        return RNA
    names = list(adata.var_names[:200])
    return (
        ATAC if sum(parse_interval(name) is not None for name in names) > len(names) / 2 else RNA
    )


def is_data_path(name: str) -> bool:
    """Return whether a name ends like a file of counts, or is a folder that holds a matrix."""
    return has_known_suffix(name) or is_matrix_folder(Path(name))


def find_named_file(name: str) -> Path | None:
    """Return ``<name>.h5ad``, else ``<name>.h5mu`` in ``BENCH_DATA_DIR`` if it is there."""
    folder = os.environ.get("BENCH_DATA_DIR")
    if not folder or "/" in name:
        return None
    paths = [Path(folder).expanduser() / f"{name}{suffix}" for suffix in (".h5ad", ".h5mu")]
    return next((path for path in paths if path.is_file()), None)
