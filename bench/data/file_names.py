"""Formats by the name of a file, and which files belong together; nothing is read."""

from __future__ import annotations

import re
from pathlib import Path

from bench.errors import DataError, UsageError

_PACKED = r"(\.(gz|zip|bz2|xz))?$"
HDF = re.compile(r"\.(h5ad|h5mu|loom|h5|hdf5)$", re.IGNORECASE)
TEXT = re.compile(r"\.(csv|tsv|txt|tab)" + _PACKED + r"|\.zip$", re.IGNORECASE)
MARKET = re.compile(r"\.mtx(\.gz|\.bz2)?$", re.IGNORECASE)
_ZARR = re.compile(r"\.zarr$", re.IGNORECASE)
EXPECTED = (
    ".h5ad, .h5mu, .loom, .zarr, .h5 (10x, or X and Y), .mtx, .csv, .tsv, .txt (also .gz, .zip), "
    "or a folder with a 10x matrix"
)
_BARCODES = ("barcode", "cell", "colname")


_FEATURES = ("feature", "gene", "peak", "region", "rowname")


_NAMES_END = re.compile(r"\.(tsv|txt|csv|bed)(\.gz)?$", re.IGNORECASE)


def find_matrix(folder: Path) -> Path:
    """Return the one ``.mtx`` file of a folder; raises ``DataError`` if there is not one."""
    found = sorted(path for path in folder.iterdir() if MARKET.search(path.name))
    if len(found) != 1:
        below = sorted({path.parent.name for path in folder.glob("*/*.mtx*")})
        hint = f"; look in {', '.join(below)}" if below else ""
        raise DataError(
            f"{folder}: {len(found)} files that end in .mtx or .mtx.gz; expected one, with "
            f"barcodes.tsv and features.tsv (or genes.tsv) beside it{hint}."
        )
    return found[0]


def find_names(matrix: Path) -> tuple[Path, Path, Path]:
    """Return the matrix with the files of barcodes and features beside it.

    Raises ``DataError`` if there is not exactly one of each.
    """
    stem = MARKET.sub("", matrix.name)
    prefix = re.sub(r"(matrix|counts?)$", "", stem, flags=re.IGNORECASE)
    files = [path for path in sorted(matrix.parent.iterdir()) if _NAMES_END.search(path.name)]
    return (
        matrix,
        _beside(matrix, files, prefix, _BARCODES),
        _beside(matrix, files, prefix, _FEATURES),
    )


def _beside(matrix: Path, files: list[Path], prefix: str, words: tuple[str, ...]) -> Path:
    """Return the file whose name holds the first word that any holds, with the prefix if any."""
    for start in dict.fromkeys([prefix, ""]):
        for word in words:
            fitting = [
                path
                for path in files
                if path.name.startswith(start) and word in path.name[len(start) :].lower()
            ]
            if len(fitting) == 1:
                return fitting[0]
            if fitting:
                there = ", ".join(path.name for path in fitting)
                raise DataError(
                    f"{matrix}: {len(fitting)} files of {words[0]}s beside it ({there}); expected "
                    "one; move the others away."
                )
    there = ", ".join(path.name for path in files) or "none"
    raise DataError(
        f"{matrix}: no file of {words[0]}s beside it (text files there: {there}); expected "
        f"{prefix}{words[0]}s.tsv, plain or .gz."
    )


def known(name: str) -> bool:
    """Return whether a name ends like a file that :func:`read` understands."""
    return any(pattern.search(name) for pattern in (HDF, TEXT, MARKET, _ZARR))


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder with a 10x matrix or in zarr format."""
    return path.is_dir() and (
        is_zarr(path) or any(MARKET.search(one.name) for one in path.iterdir())
    )


def display_name(path: Path) -> str:
    """Return the name of the data in a path: ``x`` for ``x.csv.gz``."""
    name = Path(path).name
    for pattern in (HDF, TEXT, MARKET, _ZARR):
        name = pattern.sub("", name) or name
    return name


def files_of(path: Path) -> list[Path]:
    """Return every file that :func:`read` opens for a path; raises ``UsageError``, ``DataError``.

    ``UsageError`` if there is nothing at the path or its name is of no known format.
    """
    if path.is_dir():
        if is_zarr(path):
            return sorted(one for one in path.rglob("*") if one.is_file())
        return list(find_names(find_matrix(path)))
    if not path.is_file():
        raise UsageError(f"{path}: no such file or folder; expected {EXPECTED}.")
    if not known(path.name):
        raise UsageError(f"{path}: a file of no known format; expected {EXPECTED}.")
    return list(find_names(path)) if MARKET.search(path.name) else [path]


def is_zarr(path: Path) -> bool:
    """Return whether a folder is in zarr format."""
    return any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json"))
