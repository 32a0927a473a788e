"""Files that are hostile, damaged or odd, a function each that writes one.

``CASES``: name → a function that takes an empty folder and the toy data and returns the words of
the command beside those of every run. A file ``executed`` in that folder means that content of
the file was run as code.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from anndata import AnnData

CASES: dict[str, Callable[[Path, AnnData], list[str]]] = {}
MARKET = "%%MatrixMarket matrix coordinate integer general\n"


def case(function: Callable[[Path, AnnData], Any]) -> None:
    def words(folder: Path, toy: AnnData) -> list[str]:
        written = function(folder, toy)
        return written if isinstance(written, list) else ["-d", str(written)]

    CASES[function.__name__] = words


class Executed:
    """An object that writes a file when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder / "executed"),)


def h5ad(folder: Path, toy: AnnData) -> Path:
    path = folder / "x.h5ad"
    toy.write_h5ad(path)
    return path


def changed(place: str, change: Callable[[Any], Any]) -> Callable[[Path, AnnData], Path]:
    """Return a function that writes a good file and changes one array of it."""

    def write(folder: Path, toy: AnnData) -> Path:
        path = h5ad(folder, toy)
        with h5py.File(path, "a") as file:
            values = change(file[place][()])
            del file[place]
            file[place] = values
        return path

    return write


# -- files of HDF5 -------------------------------------------------------------------------


@case
def an_empty_file(folder, toy):
    (folder / "x.h5ad").touch()
    return folder / "x.h5ad"


@case
def a_text_that_is_called_h5ad(folder, toy):
    (folder / "x.h5ad").write_text("cell,gene\n")
    return folder / "x.h5ad"


@case
def a_truncated_h5ad(folder, toy):
    path = h5ad(folder, toy)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    return path


@case
def an_h5ad_with_flipped_bytes(folder, toy):
    path = h5ad(folder, toy)
    content = bytearray(path.read_bytes())
    content[64:4000:7] = bytes(len(content[64:4000:7]))
    path.write_bytes(content)
    return path


@case
def an_external_link(folder, toy):
    path = h5ad(folder, toy)
    with h5py.File(path, "a") as file:
        file["obs/secret"] = h5py.ExternalLink("/etc/passwd", "/")
    return path


@case
def external_storage(folder, toy):
    path = h5ad(folder, toy)
    with h5py.File(path, "a") as file:
        del file["obs/cell_type"]
        file.create_dataset("obs/cell_type", (60,), "S8", external=[("/etc/passwd", 0, 480)])
    return path


@case
def a_virtual_dataset(folder, toy):
    path = h5ad(folder, toy)
    layout = h5py.VirtualLayout((60,), "S8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "names", (60,))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("obs/secret", layout)
    return path


@case
def a_circle_of_links(folder, toy):
    path = h5ad(folder, toy)
    with h5py.File(path, "a") as file:
        file["uns/up"] = file["/"]
    return path


@case
def a_matrix_larger_than_the_memory(folder, toy):
    path = h5ad(folder, toy)
    with h5py.File(path, "a") as file:
        del file["X"]
        file.create_dataset("X", (60, 10**12), "f4", chunks=(60, 1000))
    return path


@case
def a_shape_of_many_cells(folder, toy):
    path = h5ad(folder, toy)
    with h5py.File(path, "a") as file:
        file["X"].attrs["shape"] = [10**12, 40]
    return path


@case
def no_matrix(folder, toy):
    path = h5ad(folder, toy)
    with h5py.File(path, "a") as file:
        del file["X"]
    return path


for _name, _place, _change in (
    ("indices_out_of_range", "X/indices", lambda values: values + 2_000_000_000),
    ("negative_indices", "X/indices", lambda values: values - 1),
    ("pointers_beyond_the_end", "X/indptr", lambda values: values * 1000),
    ("pointers_that_fall", "X/indptr", lambda values: values[::-1].copy()),
    ("too_few_values", "X/data", lambda values: values[:-1]),
    ("negative_counts", "X/data", lambda values: -values),
    ("counts_that_are_no_numbers", "X/data", lambda values: values * np.nan),
    ("infinite_counts", "X/data", lambda values: values * np.inf),
    ("counts_of_text", "X/data", lambda values: values.astype("S8")),
):
    _function = changed(_place, _change)
    _function.__name__ = _name
    case(_function)


@case
def a_damaged_loom(folder, toy):
    with h5py.File(folder / "x.loom", "w") as file:
        file["matrix"] = np.ones((3, 2))
        file["row_attrs/Gene"] = np.array(["a"] * 7, dtype="S")
    return folder / "x.loom"


@case
def a_10x_file_without_features(folder, toy):
    with h5py.File(folder / "x.h5", "w") as file:
        for key in ("data", "indices", "indptr"):
            file[f"matrix/{key}"] = getattr(toy.X, key)
        file["matrix/barcodes"] = np.array(toy.obs_names, dtype="S")
    return folder / "x.h5"


# -- code in files -------------------------------------------------------------------------


@case
def a_pickle(folder, toy):
    (folder / "x.pkl").write_bytes(pickle.dumps(Executed(folder)))
    return folder / "x.pkl"


@case
def a_pickle_that_is_called_h5ad(folder, toy):
    (folder / "x.h5ad").write_bytes(pickle.dumps(Executed(folder)))
    return folder / "x.h5ad"


@case
def a_pickle_in_npz(folder, toy):
    np.savez(folder / "x.npz", data=np.array([Executed(folder)], dtype=object))
    return folder / "x.npz"


@case
def a_pickle_in_npy(folder, toy):
    np.save(folder / "x.npy", np.array([Executed(folder)], dtype=object))
    return folder / "x.npy"


@case
def pickled_objects_in_zarr(folder, toy):
    path = folder / "x.zarr"
    toy.write_zarr(path)
    array = next(path.rglob(".zarray"))
    values = json.loads(array.read_text())
    array.write_text(json.dumps(values | {"filters": [{"id": "pickle", "protocol": 5}]}))
    return path


@case
def python_in_parameters(folder, toy):
    (folder / "p.yaml").write_text(f"pca: !!python/object/apply:os.mkdir ['{folder}/executed']\n")
    return ["-d", str(h5ad(folder, toy)), "--params", str(folder / "p.yaml")]


@case
def a_plugin_named_by_a_found_bench_toml(folder, toy):
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(folder / 'executed')!r})\n")
    (folder / "bench.toml").write_text('plugins = ["own.py"]\n')
    return ["-d", str(h5ad(folder, toy))]


# -- archives ------------------------------------------------------------------------------


def archive_of(name: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = 5
        archive.addfile(member, io.BytesIO(b"a,b\n1"))
    return stream.getvalue()


@case
def an_archive_that_leaves_its_folder(folder, toy):
    (folder / "x.tar.gz").write_bytes(archive_of("../executed"))
    return folder / "x.tar.gz"


@case
def an_archive_with_absolute_paths(folder, toy):
    (folder / "x.tar.gz").write_bytes(archive_of(f"{folder}/executed"))
    return folder / "x.tar.gz"


@case
def a_zip_that_leaves_its_folder(folder, toy):
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("../executed", "a,b\n1,2\n")
    return folder / "x.zip"


@case
def a_truncated_gz(folder, toy):
    content = gzip.compress(toy.to_df().to_csv().encode())
    (folder / "x.csv.gz").write_bytes(content[: len(content) // 2])
    return folder / "x.csv.gz"


@case
def one_line_of_300_mb_in_300_kb(folder, toy):
    with gzip.open(folder / "x.csv.gz", "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(b"0" * 2**20)
    return folder / "x.csv.gz"


# -- text ----------------------------------------------------------------------------------


def text(name: str, content: str | bytes) -> Callable[[Path, AnnData], Path]:
    def write(folder: Path, toy: AnnData) -> Path:
        path = folder / name
        if path.suffix == ".mtx":
            (folder / "barcodes.tsv").write_text("a\nb\n")
            (folder / "genes.tsv").write_text("x\ny\n")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


for _name, _file, _content in (
    ("an_empty_text", "x.csv", ""),
    ("a_header_alone", "x.csv", "cell,g1,g2\n"),
    ("lines_of_other_lengths", "x.csv", "cell,g1,g2\na,1,2\nb,1\nc,1,2,3,4\n"),
    ("words_for_counts", "x.csv", "cell,g1,g2\na,1,two\nb,3,4\n"),
    ("binary_content_in_a_text", "x.csv", bytes(range(256)) * 40),
    ("a_page_of_html", "x.tsv", "<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"),
    ("a_matrix_of_no_market", "matrix.mtx", "3 3 1\n1 1 1\n"),
    ("a_matrix_market_file_of_huge_size", "matrix.mtx", f"{MARKET}9000000000000 2 1\n1 1 1\n"),
    ("an_entry_outside_the_matrix", "matrix.mtx", f"{MARKET}2 2 1\n9 9 1\n"),
    ("an_rds_of_random_bytes", "x.rds", bytes(range(7, 207)) * 9),
):
    _function = text(_file, _content)
    _function.__name__ = _name
    case(_function)


# -- things that are no files --------------------------------------------------------------


@case
def a_path_that_does_not_exist(folder, toy):
    return folder / "nowhere.h5ad"


@case
def an_empty_folder(folder, toy):
    (folder / "empty").mkdir()
    return folder / "empty"


@case
def a_link_to_itself(folder, toy):
    (folder / "x.h5ad").symlink_to("x.h5ad")
    return folder / "x.h5ad"


@case
def a_pipe(folder, toy):
    os.mkfifo(folder / "x.h5ad")
    return folder / "x.h5ad"


@case
def a_device_without_end(folder, toy):
    (folder / "x.csv").symlink_to("/dev/zero")
    return folder / "x.csv"


@case
def a_socket(folder, toy):
    import socket

    socket.socket(socket.AF_UNIX).bind(str(folder / "x.h5"))
    return folder / "x.h5"


# -- words and settings --------------------------------------------------------------------


@case
def no_labels(folder, toy):
    toy = toy.copy()
    del toy.obs["cell_type"]
    return ["-d", str(h5ad(folder, toy)), "--label-key", "cell_type"]


@case
def labels_of_other_cells(folder, toy):
    (folder / "labels.csv").write_text("cell,cell_type\nother1,a\nother2,b\n")
    return ["-d", str(h5ad(folder, toy)), "--labels", str(folder / "labels.csv")]


@case
def settings_that_are_no_toml(folder, toy):
    (folder / "bench.toml").write_text("jobs = = 2\n")
    return ["-d", "sim_rna"]


@case
def a_plugin_that_is_no_python(folder, toy):
    (folder / "own.py").write_text("class (:\n")
    return ["-d", "sim_rna", "--plugin", str(folder / "own.py")]


@case
def a_selector_with_half_a_bracket(folder, toy):
    return ["-d", "sim_rna[n_cells="]


@case
def parameters_that_are_a_list(folder, toy):
    (folder / "p.yaml").write_text("[1, 2, 3]\n")
    return ["-d", "sim_rna", "--params", str(folder / "p.yaml")]


# -- damage to what this program wrote -----------------------------------------------------


def damaged_database(change: Callable[[bytes], bytes]) -> Callable[[Path, AnnData], list[str]]:
    """Return a function that writes a damaged database in place of the empty one of the run."""

    def write(folder: Path, toy: AnnData) -> list[str]:
        path = folder / "results" / "mlflow.db"
        path.parent.mkdir()
        shutil.copy(folder / "empty.db", path)
        (path.parent / "artifacts/run").mkdir(parents=True)  # it had runs
        path.write_bytes(change(path.read_bytes()))
        return ["-d", "sim_rna[n_cells=60]"]

    return write


for _name, _cut in (
    ("a_database_cut_in_half", lambda content: content[: len(content) // 2]),
    ("a_database_of_text", lambda content: b"no database\n" * 100),
    ("a_database_of_zeros", lambda content: bytes(len(content))),
    ("a_database_with_a_damaged_page", lambda content: content[:4096] + b"\xff" * 90_000
     + content[94_096:]),
):  # fmt: skip
    _damaged = damaged_database(_cut)
    _damaged.__name__ = _name
    case(_damaged)
