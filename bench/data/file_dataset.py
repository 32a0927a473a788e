"""A file or folder of counts as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.contract import Dataset, Parameters
from bench.digests import digest
from bench.errors import UsageError
from bench.messages import collect_notes

from .file_digests import digest_files
from .file_names import display_name, is_zarr, list_files

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.settings import Settings


class FileDataset(Dataset):
    """A file or folder, given by its path instead of a registered name (:meth:`from_path`)."""

    class Params(Parameters):
        """Parameters in the brackets after a path."""

        labels: str | None = Field(
            None, description="second file with columns of cells, joined by barcode"
        )
        labels_by_position: bool = Field(
            False, description="take the lines of the second file in the order of the cells"
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
            None, description="modality of an .h5mu (both: rna with atac, the default where it "
            "holds these two); rna, atac, protein or a genome of a 10x file",
        )  # fmt: skip
        layer: str | None = Field(
            None, description="where the counts are: X, raw or the name of a layer (default: X; "
            "where X is normalised, raw or a layer of whole numbers)",
        )  # fmt: skip
        atac: str | None = Field(
            None, description="second file with the peaks of the same cells; the first has genes"
        )

    params: Params

    def __init__(self, path: Path, params: Params, *, labels_needed: bool = True) -> None:
        super().__init__(params)
        self.path, self.labels_needed = path, labels_needed
        self.orientation_given = params.transpose is not None
        self.cache: Path | None = None

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

    def configure(self, settings: Settings) -> None:
        """Set the cache folder, where digests of the files are stored."""
        self.cache = settings.cache_dir

    def files(self) -> list[Path]:
        """Return every file that is read."""
        files = list_files(self.path)
        for name in ("labels", "atac"):
            path = self._second_file(name)
            if path is not None and not path.exists():
                raise UsageError(f"{self.path}: {name}={path}: no such file.", code="missing_file")
            if path is not None:
                # Labels may be a text with any suffix.
                files += [path] if name == "labels" and path.is_file() else list_files(path)
        return files

    def _second_file(self, name: str) -> Path | None:
        text = getattr(self.params, name)
        return Path(text).expanduser() if text else None

    @property
    def paired(self) -> bool:
        """Whether the file may hold paired data, by suffix and parameters; it is not opened."""
        part, packed = self.params.part, self.path.suffix.lower() == ".h5mu"
        return bool(self.params.atac) or part == "both" or (part is None and packed)

    def fingerprint(self) -> dict[str, Any]:
        """Return a digest of the contents and formats of all files; their folders do not count."""
        files = self.files()
        roots = [self.path, self._second_file("labels"), self._second_file("atac")]
        folders = [root for root in roots if root is not None and is_zarr(root)]

        def role(path: Path) -> str:
            folder = next((one for one in folders if one in path.parents), None)
            return str(path.relative_to(folder)) if folder else path.suffix

        contents = digest_files(files, self.cache)
        return {"files": digest(list(zip(map(role, files), contents, strict=True)))}

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
