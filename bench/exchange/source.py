"""Where results come from: a results folder, an MLflow server or an address of files.

A source is read only. What it holds may be written by anybody: each record is checked and each
file is one of data.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from contextlib import closing
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO

from bench.addresses import public_address
from bench.store.mlflow_client import StoreClient, open_server
from bench.store.result_store import ResultStore, require_results

from .data_files import InvalidFile, check_content, check_size, choose_files, list_files
from .record import Row, present_result, read_record, without_local_paths

if TYPE_CHECKING:
    from bench.settings import Settings
    from bench.store.result import Result

_RUN_ID_CHARACTERS = set("0123456789abcdef")


class ResultSource(ABC):
    """Finished jobs of one experiment, with their files."""

    name: str
    """As it is shown: without passwords."""
    n_held = 0
    """Results that :meth:`rows` left out, since they need not be read."""

    hidden: tuple[Path, ...] = ()
    """Folders that no fit may read."""

    def __init__(self) -> None:
        self.damaged: list[str] = []
        """Records that cannot be read, with the reason."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """Return a row for each finished job."""

    @abstractmethod
    def result(self, row: Row) -> Result:
        """Return the result of a row, without paths of its machine; raises ``InvalidFile``."""

    @abstractmethod
    def file_sizes(self, row: Row) -> dict[str, int]:
        """Return the sizes of all files of a result by name; raises ``InvalidFile``."""

    @abstractmethod
    def copy_file(self, row: Row, name: str, target: Path) -> None:
        """Copy one file of a result."""

    def copy_files(self, row: Row, folder: Path) -> list[str]:
        """Copy the files of a result that travel; returns the names of those that stay behind.

        Raises ``InvalidFile``.
        """
        files, left = choose_files(self.file_sizes(row))
        for name in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(row, name, target)
            check_content(target)
        return left


class FolderSource(ResultSource):
    """A results folder; nothing in it is written.

    Raises ``UsageError`` if it is none, ``StoreError`` if it lacks the experiment.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        super().__init__()
        self.name = str(folder)
        self._settings = settings.model_copy(update={"results": folder, "tracking_uri": ""})
        require_results(self._settings)
        self._artifacts = folder.resolve() / "artifacts"
        self.hidden = (folder.resolve(),)

    def rows(self) -> list[Row]:
        """Read the database."""
        with closing(ResultStore(self._settings, untouched=True)) as store:
            store.require_experiment()
            return store.rows()

    def folder(self, row: Row) -> Path:
        """Return the artifacts of a result; raises ``InvalidFile`` if they are not there.

        Addresses in the database are not followed.
        """
        folder = self._artifacts / _run_id(row) / "artifacts"
        if folder.parent.is_symlink() or folder.is_symlink() or not folder.is_dir():
            raise InvalidFile(f"has no files in {self._artifacts}.", code="no_artifacts")
        return folder

    def result(self, row: Row) -> Result:
        """Read ``result.json``."""
        path = self.folder(row) / "result.json"
        if path.is_symlink() or not path.is_file():
            raise InvalidFile("has no result.json.", code="no_artifacts")
        check_size(path.name, path.stat().st_size)
        with _open(path) as stream:
            return without_local_paths(present_result(read_record(stream.read()), row))

    def file_sizes(self, row: Row) -> dict[str, int]:
        """List the folder."""
        return list_files(self.folder(row))

    def copy_file(self, row: Row, name: str, target: Path) -> None:
        """Copy a file that was listed."""
        with _open(self.folder(row) / name) as stream, target.open("wb") as copy:
            shutil.copyfileobj(stream, copy)


class ServerSource(ResultSource):
    """An MLflow server."""

    def __init__(self, address: str, settings: Settings) -> None:
        super().__init__()
        self.name = public_address(address)
        self._settings = settings.model_copy(update={"tracking_uri": address})

    @cached_property
    def _client(self) -> StoreClient:
        return open_server(self._settings.tracking_uri)

    def rows(self) -> list[Row]:
        """Ask the server."""
        with closing(ResultStore(self._settings, self._client)) as store:
            store.require_experiment()
            return store.rows()

    def result(self, row: Row) -> Result:
        """Fetch ``result.json``."""
        if "result.json" not in self.file_sizes(row):
            raise InvalidFile("has no result.json.", code="no_artifacts")
        with TemporaryDirectory(prefix="bench-pull-") as scratch:
            path = Path(scratch) / "record"
            self.copy_file(row, "result.json", path)
            check_size("result.json", path.stat().st_size)
            return without_local_paths(present_result(read_record(path.read_bytes()), row))

    def file_sizes(self, row: Row) -> dict[str, int]:
        """List the artifacts of the run."""
        sizes: dict[str, int] = {}
        folders = [""]
        while folders:
            for entry in self._client.list_artifacts(_run_id(row), folders.pop() or None):
                if not entry.is_dir:
                    sizes[entry.path] = entry.file_size or 0
                elif entry.path.count("/") < 2:
                    folders.append(entry.path)
        return sizes

    def copy_file(self, row: Row, name: str, target: Path) -> None:
        """Fetch a file."""
        with TemporaryDirectory(prefix="bench-pull-") as scratch:
            fetched = self._client.download_artifacts(_run_id(row), name, scratch)
            shutil.copyfile(fetched, target)


def _open(path: Path) -> BinaryIO:
    """Open a file of a source; raises ``InvalidFile`` if it cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidFile(f"{path}: {error.strerror}.", code="unreadable") from None


def _run_id(row: Row) -> str:
    """Return the id of a run; raises ``InvalidFile`` if it is none of MLflow."""
    run_id = str(row["run_id"])
    if len(run_id) != 32 or set(run_id) - _RUN_ID_CHARACTERS:
        raise InvalidFile(f"run {run_id[:40]!r}: no id of MLflow.", code="invalid_path")
    return run_id
