"""Guards of every reader: errors as one line, memory, links to other files, damaged matrices.

An HDF5 file may name other files: by external links, as external storage of a dataset, or as
sources of a virtual dataset. The author of the file chose those paths, so none is followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil

from bench.errors import DataError
from bench.messages import format_size

from .unpack import name_packing


@contextmanager
def read_errors(path: Path, what: str) -> Iterator[None]:
    """Turn the errors of a library that reads ``path`` into a ``DataError`` of one line."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, KeyError):
            text = f"{text} is missing"
        elif isinstance(error, RecursionError):
            text = "its groups contain each other"
        raise DataError(
            f"{path}: not a readable {what}: {text}; an incomplete or damaged file?",
            code="unreadable",
        ) from None


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; raises ``DataError`` if it refers to other files."""
    packing = "" if h5py.is_hdf5(path) else name_packing(path)
    if packing:
        raise DataError(
            f"{path}: packed by {packing}; unpack it first, HDF5 is not read from packed files.",
            code="unknown_format",
        )
    with h5py.File(path, "r") as file:
        _refuse_other_files(path, file, "", set())
        yield file


def _refuse_other_files(path: Path, group: h5py.Group, prefix: str, seen: set[Any]) -> None:
    """Raise ``DataError`` for a link or dataset whose content is in another file.

    Soft links are not followed: their targets are members of this file.
    """
    for name in group:
        place = f"{prefix}/{name}"
        try:
            link = group.get(name, getlink=True)
        except TypeError:  # a link of a kind that only other programs know
            link = None
        if isinstance(link, h5py.SoftLink):
            continue
        if not isinstance(link, h5py.HardLink):
            target = getattr(link, "filename", "an unknown kind of link")
            raise _other_file(path, place, f"an external link ({target})")
        member = group[name]
        if isinstance(member, h5py.Dataset):
            if member.external:
                raise _other_file(path, place, f"external storage ({member.external[0][0]})")
            sources = member.virtual_sources() if member.is_virtual else []
            outside = next((one.file_name for one in sources if one.file_name != "."), None)
            if outside is not None:
                raise _other_file(path, place, f"a virtual dataset ({outside})")
        elif isinstance(member, h5py.Group):
            address = h5py.h5o.get_info(member.id).addr
            if address not in seen:
                seen.add(address)
                _refuse_other_files(path, member, place, seen)


def _other_file(path: Path, place: str, what: str) -> DataError:
    return DataError(
        f"{path}: {place} is {what}; its content is in another file, which is not read; copy the "
        "data into one file, for example with h5repack.",
        code="external_data",
    )


def check_compressed(
    path: Path, name: str, arrays: tuple[Any, Any, Any], shape: tuple[int, int]
) -> None:
    """Check the arrays of a compressed matrix before their first use.

    ``arrays`` are data, indices and indptr; ``shape`` is (compressed axis, other axis). Raises
    ``DataError``.
    """
    data, indices, indptr = arrays
    fault = ""
    if len(indptr) != shape[0] + 1:
        fault = f"indptr has {len(indptr)} values for {shape[0]} rows"
    elif len(indices) != len(data):
        fault = f"{len(data)} values have {len(indices)} indices"
    elif indptr[0] != 0 or indptr[-1] != len(data) or np.any(indptr[1:] < indptr[:-1]):
        fault = f"indptr does not rise from 0 to {len(data)}, the number of values"
    elif len(indices) and (indices.min() < 0 or indices.max() >= shape[1]):
        fault = f"indices go from {indices.min()} to {indices.max()}, expected 0 to {shape[1] - 1}"
    if fault:
        raise DataError(
            f"{path}: the sparse matrix {name} is damaged: {fault}; write the file again.",
            code="damaged_matrix",
        )


def require_array_memory(path: Path, group: Any) -> None:
    """Require memory for all arrays of an HDF5 or zarr group.

    A dense X counts twice, since it stays in memory while it becomes sparse.
    """
    dense = "X" in group and hasattr(group["X"], "shape")
    require_memory(path, array_bytes(group) + (array_bytes({"X": group["X"]}) if dense else 0))


def array_bytes(group: Any) -> float:
    """Return the bytes of all arrays in an HDF5 or zarr group and its subgroups."""
    total = 0.0
    for key in group:
        member = group.get(key)
        if member is None:  # a soft link to nothing
            continue
        if hasattr(member, "shape"):
            total += float(member.size or 0) * max(member.dtype.itemsize, 1)
        else:
            total += array_bytes(member)
    return total


def require_memory(path: Path, needed: float) -> None:
    """Raise ``DataError`` if ``needed`` bytes exceed the available memory."""
    available = psutil.virtual_memory().available
    if needed > available:
        raise DataError(
            f"{path}: needs {format_size(needed)} of memory, {format_size(available)} available; "
            "use fewer cells or features, or a machine with more memory.",
            code="not_enough_memory",
        )
