"""A file or folder of counts as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.contract import Dataset, Parameters
from bench.digests import digest
from bench.errors import UsageError
from bench.messages import collect_notes

from .file_names import display_name, list_files

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


class FileDataset(Dataset):
    """A file or folder, given by its path instead of a registered name (:meth:`from_path`)."""

    class Params(Parameters):
        """Parameters in the brackets after a path."""

        labels: str | None = Field(
            None, description="second file with columns of cells, joined by barcode"
        )
        label_key: str | None = Field(None, description="column of the true types")
        batch_key: str | None = Field(None, description="column of the batches")
        transpose: bool | None = Field(
            None,
            description="text and MatrixMarket: true if features are in rows, false if cells are "
            "(default: by names and totals); other formats: true swaps cells and features",
        )
        modality: Literal["rna", "atac"] | None = Field(
            None, description="modality of the counts (default: by the file or its feature names)"
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

        Without ``labels_needed`` cells may have no types; ``card.label_key`` is then empty. Raises
        ``UsageError`` for a missing path or an unknown format, and ``DataError`` for a matrix
        without names beside it.
        """
        dataset = cls(path, params or cls.Params(), labels_needed=labels_needed)
        dataset.name = display_name(path)
        dataset.files()
        return dataset

    @property
    def where(self) -> str:
        """The path of the file."""
        return str(self.path)

    def files(self) -> list[Path]:
        """Return every file that is read."""
        files = list_files(self.path)
        if self.params.labels:
            labels = Path(self.params.labels).expanduser()
            if not labels.is_file():
                raise UsageError(
                    f"{self.path}: labels={labels}: no such file.", code="missing_file"
                )
            files.append(labels)
        if self.params.atac:
            peaks = Path(self.params.atac).expanduser()
            if not peaks.exists():
                raise UsageError(f"{self.path}: atac={peaks}: no such file.", code="missing_file")
            files += list_files(peaks)
        return files

    @property
    def paired(self) -> bool:
        """Whether the file may hold both parts of paired data; its name does not decide."""
        part, packed = self.params.part, self.path.suffix.lower() == ".h5mu"
        return bool(self.params.atac) or part == "both" or (part is None and packed)

    def fingerprint(self) -> dict[str, Any]:
        """Return the path, and a digest of path, size and time of every file that is read."""
        stats = [(path.resolve(), path.stat()) for path in self.files()]
        files = [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]
        return {"path": str(self.path.resolve()), "files": digest(files)}

    def load(self) -> AnnData | MuData:
        """Return counts, labels and batch; both parts of paired data.

        Sets ``card`` to the facts of the file and ``notes`` to the assumptions of the reader.
        Raises ``DataError`` for an unreadable file, for labels without a common barcode, and for a
        missing column.
        """
        from .file_reader import read_file

        with collect_notes() as notes:
            data, self.card = read_file(self)
        self.notes = [text.removeprefix(f"{self.path}: ") for text in notes]
        return data
