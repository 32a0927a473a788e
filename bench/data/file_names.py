"""Formats by the suffix of a path, and the files that belong together; no file is opened."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bench.errors import DataError, UsageError

_PACKED = r"(\.(gz|zip|bz2|xz))?$"
HDF5_SUFFIX = re.compile(r"\.(h5ad|h5mu|loom|h5|hdf5)$", re.IGNORECASE)
TEXT_SUFFIX = re.compile(r"\.(csv|tsv|txt|tab)" + _PACKED + r"|\.zip$", re.IGNORECASE)
MARKET_SUFFIX = re.compile(r"\.mtx(\.gz|\.bz2)?$", re.IGNORECASE)
_PACKED_SUFFIX = re.compile(r"\.(gz|zip|bz2|xz|zst|tar|tgz|7z|rar)$", re.IGNORECASE)
_ZARR_SUFFIX = re.compile(r"\.zarr$", re.IGNORECASE)
_SUFFIXES = (HDF5_SUFFIX, TEXT_SUFFIX, MARKET_SUFFIX, _ZARR_SUFFIX)
EXPECTED_FORMATS = (
    ".h5ad, .h5mu, .loom, .zarr, .h5 (10x, exprs, or X and Y), .mtx, .csv, .tsv, .txt (also .gz, "
    ".zip), or a folder with a 10x matrix"
)
_BARCODES = ("barcode", "cell", "colname", "mat_rows")
_FEATURES = ("feature", "gene", "peak", "region", "rowname", "mat_cols")
_SYMBOLS = ("name", "symbol")
_NAMES_SUFFIX = re.compile(r"\.(tsv|txt|csv|bed)(\.gz)?$", re.IGNORECASE)


def find_matrix_file(folder: Path) -> Path:
    """Return the only ``.mtx`` file of a folder; raises ``DataError`` for none or several."""
    matrices = sorted(path for path in folder.iterdir() if MARKET_SUFFIX.search(path.name))
    if len(matrices) != 1:
        below = sorted({path.parent.name for path in folder.glob("*/*.mtx*")})
        hint = f"; look in {', '.join(below)}" if below else ""
        raise DataError(
            f"{folder}: {len(matrices)} files that end in .mtx or .mtx.gz; expected one, with "
            f"barcodes.tsv and features.tsv (or genes.tsv) beside it{hint}.",
            code="ambiguous_file" if matrices else "missing_file",
        )
    return matrices[0]


def find_name_files(matrix: Path) -> tuple[Path, ...]:
    """Return the matrix, then the files of barcodes and features beside it.

    Two lists of features, one of names and one of identifiers, are both returned, in this order.
    Raises ``DataError`` if there is not exactly one file of each kind.
    """
    stem = MARKET_SUFFIX.sub("", matrix.name)
    prefix = re.sub(r"(matrix|counts?)$", "", stem, flags=re.IGNORECASE)
    files = [path for path in sorted(matrix.parent.iterdir()) if _NAMES_SUFFIX.search(path.name)]
    barcodes = _find_beside(matrix, files, prefix, _BARCODES)
    others = [path for path in files if path not in barcodes]
    return (matrix, *barcodes, *_find_beside(matrix, others, prefix, _FEATURES))


def _find_beside(
    matrix: Path, files: list[Path], prefix: str, words: tuple[str, ...]
) -> list[Path]:
    """Return the file beside a matrix whose name contains one of ``words``.

    A file with the prefix of the matrix is preferred, then one with an earlier word. Of two files
    of features, one of names and one of identifiers, the names come first.
    """
    for start in dict.fromkeys([prefix, ""]):
        for word in words:
            matches = [
                path
                for path in files
                if path.name.startswith(start)
                and word in path.name[len(start) :].lower()
                # The matrix of kb_python, cells_x_genes, gives its name to the lists of genes.
                and not (words is _BARCODES and word in prefix.lower() and not start)
            ]
            if len(matches) == 1:
                return matches
            named = [path for path in matches if _holds_symbols(path, start, word)]
            if len(matches) == 2 and len(named) == 1 and words is _FEATURES:
                return sorted(matches, key=lambda path: path not in named)
            if matches:
                raise DataError(
                    f"{matrix}: {len(matches)} files of {words[0]}s beside it "
                    f"({', '.join(path.name for path in matches)}); expected one; move the others "
                    "away.",
                    code="ambiguous_file",
                )
    names = ", ".join(path.name for path in files) or "none"
    raise DataError(
        f"{matrix}: no file of {words[0]}s beside it (text files there: {names}); expected "
        f"{words[0]}s.tsv, plain or .gz.",
        code="missing_names",
    )


def _holds_symbols(path: Path, prefix: str, word: str) -> bool:
    rest = path.name[len(prefix) :].lower().replace(word, "", 1)
    return any(symbol in rest for symbol in _SYMBOLS)


def is_data_path(name: str) -> bool:
    """Return whether a path has the suffix of a file of counts, or is a folder with a matrix."""
    return has_known_suffix(name) or is_matrix_folder(Path(name))


def find_named_file(name: str) -> Path | None:
    """Return ``<name>.h5ad``, else ``<name>.h5mu``, in the folder ``BENCH_DATA_DIR``, if there."""
    folder = os.environ.get("BENCH_DATA_DIR")
    if not folder or "/" in name:
        return None
    paths = [Path(folder).expanduser() / f"{name}{suffix}" for suffix in (".h5ad", ".h5mu")]
    return next((path for path in paths if os.path.isfile(path)), None)


def has_known_suffix(name: str) -> bool:
    """Return whether a name has the suffix of a file of counts."""
    return any(pattern.search(name) for pattern in _SUFFIXES)


def is_matrix_folder(path: Path) -> bool:
    """Return whether a path is a folder with a 10x matrix or in zarr format."""
    return os.path.isdir(path) and (  # unlike Path.is_dir, also of a text too long for a path
        is_zarr(path) or any(MARKET_SUFFIX.search(member.name) for member in path.iterdir())
    )


def display_name(path: Path) -> str:
    """Return the name of a dataset by its path: ``x`` for ``x.csv.gz``."""
    name = path.name
    for pattern in _SUFFIXES:
        name = pattern.sub("", name) or name
    return re.sub(r"[\[\],*?=]|^not:", "_", name)  # what selectors read as something else


def list_files(path: Path) -> list[Path]:
    """Return every file that a reader opens for a path.

    Raises ``UsageError`` for a missing path and an unknown format, and ``DataError`` for a matrix
    without its names.
    """
    if os.path.isdir(path):
        if is_zarr(path):
            return sorted(member for member in path.rglob("*") if member.is_file())
        return list(find_name_files(find_matrix_file(path)))
    if not os.path.isfile(path):
        if os.path.exists(path):
            raise UsageError(
                f"{path}: a pipe, socket or device; expected a file: save the data as one first.",
                code="missing_file",
            )
        raise UsageError(
            f"{path}: no such file or folder; expected {EXPECTED_FORMATS}.", code="missing_file"
        )
    if not has_known_suffix(path.name):
        plain = _PACKED_SUFFIX.sub("", path.name)
        hint = "unpack it first; " if plain != path.name else ""
        raise UsageError(
            f"{path}: a file of unknown format; {hint}expected {EXPECTED_FORMATS}.",
            code="unknown_format",
        )
    return list(find_name_files(path)) if MARKET_SUFFIX.search(path.name) else [path]


def is_zarr(path: Path) -> bool:
    """Return whether a folder is in zarr format."""
    return any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json"))
