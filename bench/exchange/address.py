"""Results at an address of files, by fsspec: a folder, S3, an SSH server and others.

``bench.json`` says what the folder is, ``results/<score key>.<digest>.json`` is the record of a
result with its list of files, ``files/<SHA-256>`` is a file. Nothing is changed once it is
written: other numbers of the same job are another record beside the first.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.registry import known_implementations

from bench.addresses import mask_secrets, public_address
from bench.errors import BenchError, StoreError, UsageError
from bench.messages import did_you_mean

from .data_files import MAX_RECORD_BYTES, InvalidFile
from .record import Row, read_record, result_row, row_digest, without_local_paths, write_record
from .source import ResultSource

if TYPE_CHECKING:
    from bench.store.result import Result

FORMAT = 1
_NAME = re.compile(r"([0-9a-f]{24})\.([0-9a-f]{24})\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AT_A_TIME = 100
_PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
    "sftp": "paramiko", "ssh": "paramiko", "hf": "huggingface_hub", "smb": "smbprotocol",
    "webdav": "webdav4", "oss": "ossfs", "oci": "ocifs",
}  # fmt: skip


def open_file_system(address: str) -> tuple[Any, str]:
    """Return the file system of an address and the path in it.

    Raises ``UsageError`` for an unknown kind, ``StoreError`` if its package is not installed.
    """
    protocol = address.partition("://")[0]
    if protocol not in known_implementations and protocol not in fsspec.available_protocols():
        hint = did_you_mean(protocol, ["file", "s3", "gs", "az", "sftp", "http"])
        raise UsageError(f"{address}: no kind of address '{protocol}'.{hint}", code="unknown_name")
    try:
        with _address_errors(address):
            system, path = fsspec.core.url_to_fs(address)
            return system, str(path).rstrip("/")
    except ImportError:
        package = _PACKAGES.get(protocol, f"the package of fsspec for {protocol}")
        raise StoreError(
            f"{address}: needs {package}; pip install {package}, and give your access as that "
            "package expects it.",
            code="missing_package",
        ) from None


@contextmanager
def _address_errors(address: str) -> Iterator[None]:
    """Raise faults of a file system or a network as ``StoreError``."""
    try:
        yield
    except (BenchError, ImportError):
        raise
    except Exception as error:  # each package has its own errors
        text = " ".join(str(error).split())[:300] or type(error).__name__
        raise StoreError(f"{address}: cannot be used: {text}.", code="no_answer") from None


class AddressSource(ResultSource):
    """The results at an address.

    Parameters
    ----------
    address
        Such as ``s3://bucket/results`` or ``file:///shared/results``.
    held
        Score key and digest of results that need not be read.

    Raises
    ------
    UsageError
        If there are no results.
    """

    def __init__(self, address: str, held: set[tuple[str, str]] | None = None) -> None:
        super().__init__()
        self.name, self._held = public_address(address), held or set()
        self._address = address
        self._system, self._root = open_file_system(address)
        if address.startswith("file://"):
            self.hidden = (Path(self._root),)
        self._entries: dict[str, dict[str, Any]] = {}
        self._sizes: dict[str, int] = {}
        with self._errors():
            marker = self._join("bench.json")
            if not self._system.exists(marker):
                raise UsageError(
                    f"{address}: no results of 'bench push' there (no bench.json).",
                    code="no_results",
                )
            read_marker(self._system.cat_file(marker), address)

    def _errors(self) -> Any:
        return _address_errors(mask_secrets(self._address))

    def _join(self, *parts: str) -> str:
        return posixpath.join(self._root, *parts)

    def rows(self) -> list[Row]:
        """Read the records that are not held."""
        sizes = list_sizes(self._system, self._join("results"), self._address)
        self._sizes = list_sizes(self._system, self._join("files"), self._address)
        keys = {name: found.groups() for name in sizes if (found := _NAME.fullmatch(name))}
        names = sorted(name for name, key in keys.items() if key not in self._held)
        self.n_held = len(keys) - len(names)
        rows = []
        for start in range(0, len(names), _AT_A_TIME):
            some = {name: sizes[name] for name in names[start : start + _AT_A_TIME]}
            for name, content in zip(some, self._read_records(some), strict=True):
                try:
                    rows.append(self._read_entry(name, content))
                except InvalidFile as error:
                    self.damaged.append(f"{name}: {error}")
        return rows

    def _read_records(self, sizes: dict[str, int]) -> list[bytes]:
        """Return the beginning of some records, as long as one may be."""
        paths = [self._join("results", name) for name in sizes]
        ends = [min(size, MAX_RECORD_BYTES + 1) for size in sizes.values()]
        with self._errors():
            found: list[bytes] = self._system.cat_ranges(
                paths, [0] * len(paths), ends, on_error="raise"
            )
        return found

    def _read_entry(self, name: str, content: bytes) -> Row:
        try:
            entry = json.loads(content)
            record = json.dumps(entry["result"]).encode()
            files = {str(k): (int(size), str(sha)) for k, (size, sha) in entry["files"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InvalidFile("no record of a result.", code="damaged_result") from None
        result = read_record(record)
        row = result_row(result) | {"run_id": name}
        if name != entry_name(row):
            raise InvalidFile(
                "its content is not what its name stands for.", code="damaged_result"
            )
        for file, (_, sha) in files.items():
            if not _SHA256.fullmatch(sha):
                raise InvalidFile(f"{file[:80]!r}: no checksum.", code="damaged_result")
        self._entries[name] = {"result": result, "files": files}
        return row

    def result(self, row: Row) -> Result:
        """Return the result of the record."""
        return without_local_paths(self._entries[row["run_id"]]["result"])

    def file_sizes(self, row: Row) -> dict[str, int]:
        """Return the sizes in the record."""
        files = self._entries[row["run_id"]]["files"]
        return {name: size for name, (size, _) in files.items()}

    def copy_file(self, row: Row, name: str, target: Path) -> None:
        """Fetch a file and compare it with its checksum."""
        size, sha = self._entries[row["run_id"]]["files"][name]
        path = self._join("files", sha)
        if sha not in self._sizes:
            raise InvalidFile(f"{name}: not at {self.name}.", code="no_artifacts")
        if self._sizes[sha] != size:
            raise InvalidFile(f"{name}: not of the size in the record.", code="damaged_result")
        with self._errors():
            self._system.get_file(path, str(target))
        if file_sha256(target) != sha:
            raise InvalidFile(f"{name}: its checksum is another.", code="damaged_result")


class AddressTarget:
    """Writes results to an address; what is there is not written again."""

    def __init__(self, address: str) -> None:
        self._address, self.name = address, public_address(address)
        self._system, self._root = open_file_system(address)
        with self._errors():
            for folder in ("results", "files"):
                self._system.makedirs(self._join(folder), exist_ok=True)
            marker = self._join("bench.json")
            if self._system.exists(marker):
                read_marker(self._system.cat_file(marker), address)
            else:
                self._write("bench.json", json.dumps({"format": FORMAT}).encode())
        self._names = set(list_sizes(self._system, self._join("results"), address))
        self._sizes = list_sizes(self._system, self._join("files"), address)

    def _errors(self) -> Any:
        return _address_errors(mask_secrets(self._address))

    def _join(self, *parts: str) -> str:
        return posixpath.join(self._root, *parts)

    def has(self, row: Row) -> bool:
        """Return whether this result is there, with these numbers."""
        return entry_name(row) in self._names

    def add(self, result: Result, folder: Path, names: list[str]) -> int:
        """Write a result with its files, the record last; returns the bytes that were sent."""
        sent, files = 0, {}
        for name in names:
            path = folder / name
            size, sha = path.stat().st_size, file_sha256(path)
            files[name] = [size, sha]
            if self._sizes.get(sha) != size:  # a transfer that broke off left less
                with self._errors():
                    self._system.put_file(str(path), self._join("files", sha))
                self._sizes[sha] = size
                sent += size
        record = json.loads(write_record(result))
        content = json.dumps({"result": record, "files": files}, sort_keys=True).encode()
        name = entry_name(result_row(result))
        with self._errors():
            self._write(f"results/{name}", content)
        self._names.add(name)
        return sent + len(content)

    def _write(self, name: str, content: bytes) -> None:
        """Write a small file under another name, then give it its own."""
        target = self._join(name)
        partial = f"{target}.part"
        self._system.pipe_file(partial, content)
        self._system.mv(partial, target)


def entry_name(row: Row) -> str:
    """Return the name of the record of a result."""
    return f"{row['score_key']}.{row_digest(row)}.json"


def read_marker(content: bytes, address: str) -> None:
    """Raise ``UsageError`` unless ``bench.json`` is that of this version."""
    try:
        version = json.loads(content[:1000])["format"]
    except (ValueError, KeyError, TypeError):
        version = None
    if version != FORMAT:
        raise UsageError(
            f"{address}: its bench.json is not that of this version of the program; push to an "
            "empty place.",
            code="other_versions",
        )


def list_sizes(system: Any, path: str, address: str) -> dict[str, int]:
    """Return the sizes of the files in a folder by name; empty if there is no folder."""
    with _address_errors(mask_secrets(address)):
        system.invalidate_cache()
        try:
            found = system.ls(path, detail=True)
        except FileNotFoundError:
            return {}
    return {
        posixpath.basename(one["name"]): int(one.get("size") or 0)
        for one in found
        if one.get("type") == "file"
    }


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
