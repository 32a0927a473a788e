"""Files that name other files, or whose sparse matrices lead out of their arrays."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from anndata import AnnData

from bench.data.formats import read_counts
from bench.data.h5ad_summary import summarize_h5ad
from bench.errors import DataError
from bench.messages import collect_notes

pytestmark = pytest.mark.filterwarnings("ignore")


def fault(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read_counts(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert "secret" not in str(error.value).replace("secret.bin", "").replace("secret.h5", "")
    return error.value.code


@pytest.fixture
def hostile(tmp_path: Path, toy_counts: AnnData) -> Path:
    """Return a good file; beside it lie files that it must not read."""
    (tmp_path / "secret.bin").write_bytes(b"secret--" * 60)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["names"] = np.array(["secret"] * 60, dtype="S8")
        file["group/names"] = np.arange(60)
    path = tmp_path / "x.h5ad"
    toy_counts.write_h5ad(path)
    return path


PLACES = ["obs/cell_type", "X", "uns/deep/down/here", "var/_index", "obsm/x", "layers/counts"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", ["link", "storage", "virtual"])
def test_content_of_other_files_is_refused(hostile: Path, place: str, how: str):
    folder = hostile.parent
    with h5py.File(hostile, "a") as file:
        file.pop(place, None)
        if how == "link":
            file[place] = h5py.ExternalLink("secret.h5", "/names")
        elif how == "storage":
            storage = [(str(folder / "secret.bin"), 0, 480)]
            file.create_dataset(place, (60,), "S8", external=storage)
        else:
            layout = h5py.VirtualLayout((60,), "S8")
            layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "names", (60,))
            file.create_virtual_dataset(place, layout)
    assert fault(hostile) == "external_data"
    with collect_notes() as notes:
        assert summarize_h5ad(hostile, None) == {}
    assert "another file" in notes[0]


@pytest.mark.parametrize("name", ["x.h5", "x.loom", "x.h5mu", "y.h5"])
def test_every_layout_is_guarded(tmp_path: Path, name: str):
    path = tmp_path / name
    with h5py.File(path, "w") as file:
        for key in {"x.loom": ("row_attrs/a", "matrix"), "x.h5mu": ("mod/rna/X",),
                    "y.h5": ("X", "Y"), "x.h5": ("matrix/barcodes",)}[name]:  # fmt: skip
            file[key] = np.ones((2, 2))
        file["else"] = h5py.ExternalLink("secret.h5", "/")
    assert fault(path) == "external_data"


def test_links_inside_the_file_are_read(hostile: Path, toy_counts: AnnData):
    with h5py.File(hostile, "a") as file:
        file["elsewhere/X"] = file["X"]
        del file["X"]
        file["X"] = h5py.SoftLink("/elsewhere/X")
        file["uns/dangling"] = h5py.SoftLink("/nowhere")
        layout = h5py.VirtualLayout((60, 2), "f8")
        file["numbers"] = np.ones((60, 2))
        layout[:] = h5py.VirtualSource(".", "numbers", (60, 2))
        file.create_virtual_dataset("obsm/inside", layout)
    adata = read_counts(hostile)
    assert (adata.X != toy_counts.X).nnz == 0
    assert adata.obsm["inside"].tolist() == [[1.0, 1.0]] * 60


def test_links_in_a_circle(hostile: Path):
    with h5py.File(hostile, "a") as file:
        file["uns/up"] = file["/"]  # a hard link to the group above
    assert fault(hostile) == "unreadable"


FAULTS = {
    "index too large": ("indices", lambda values: np.where(values == values.max(), 40, values)),
    "index far too large": ("indices", lambda values: values + 2_000_000_000),
    "negative index": ("indices", lambda values: values - 1),
    "pointer beyond the end": ("indptr", lambda values: values * 1000),
    "pointer that falls": ("indptr", lambda values: values[::-1].copy()),
    "pointer not from zero": ("indptr", lambda values: np.maximum(values, 1)),
    "too few pointers": ("indptr", lambda values: values[:-1]),
    "too few values": ("data", lambda values: values[:-1]),
    "too few indices": ("indices", lambda values: values[:-1]),
    "pointers of fractions": ("indptr", lambda values: values + 0.5),
}


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("place", ["X", "layers/counts", "raw/X"])
def test_sparse_matrices_are_checked_before_use(
    tmp_path: Path, toy_counts: AnnData, how: str, place: str
):
    path = tmp_path / "x.h5ad"
    toy_counts = toy_counts.copy()
    toy_counts.layers["counts"] = toy_counts.X.copy()
    toy_counts.raw = toy_counts.copy()
    toy_counts.write_h5ad(path)
    name, change = FAULTS[how]
    with h5py.File(path, "a") as file:
        values = change(file[f"{place}/{name}"][()])
        del file[f"{place}/{name}"]
        file[f"{place}/{name}"] = values
    assert fault(path) == "damaged_matrix"


@pytest.mark.parametrize("how", FAULTS)
def test_matrices_of_10x_are_checked(tmp_path: Path, toy_counts: AnnData, how: str):
    path, name = tmp_path / "x.h5", FAULTS[how][0]
    with h5py.File(path, "w") as file:
        for key in ("data", "indices", "indptr"):
            values = getattr(toy_counts.X, key)
            file[f"matrix/{key}"] = FAULTS[how][1](values) if key == name else values
        file["matrix/shape"] = [40, 60]
        file["matrix/barcodes"] = np.array(toy_counts.obs_names, dtype="S")
        for key in ("id", "name", "feature_type"):
            file[f"matrix/features/{key}"] = np.array(toy_counts.var_names, dtype="S")
    assert fault(path) == "damaged_matrix"


@pytest.mark.parametrize("shape", [[60, 41], [10**12, 40], [60, 10**12], [-60, 40]])
def test_a_shape_that_the_names_do_not_have(hostile: Path, shape: list[int]):
    with h5py.File(hostile, "a") as file:
        file["X"].attrs["shape"] = shape
    assert fault(hostile) == "size_mismatch"


def test_arrays_larger_than_the_memory(hostile: Path):
    with h5py.File(hostile, "a") as file:  # takes no place on the disk
        file.create_dataset("obsm/huge", (60, 10**12), "f8", chunks=(60, 1000))
    assert fault(hostile) == "not_enough_memory"


def test_a_matrix_market_file_of_another_size_is_not_read(tmp_path: Path):
    header = "%%MatrixMarket matrix coordinate integer general\n"
    (tmp_path / "barcodes.tsv").write_text("a\nb\n")
    (tmp_path / "genes.tsv").write_text("x\ny\n")
    path = tmp_path / "matrix.mtx"
    path.write_text(header + "9000000000000 2 1\n1 1 1\n")
    assert fault(path) == "size_mismatch"
    path.write_text(header + "2 2 9000000000000\n1 1 1\n")
    assert fault(path) == "not_enough_memory"
    path.write_text(header + "2 2 1\n3 1 1\n")
    assert fault(path) == "unreadable"


def test_pickled_objects_in_zarr_are_refused(tmp_path: Path, toy_counts: AnnData):
    path = tmp_path / "x.zarr"
    toy_counts.write_zarr(path)
    array = next(path.rglob(".zarray"))
    values = json.loads(array.read_text())
    array.write_text(json.dumps(values | {"filters": [{"id": "pickle", "protocol": 5}]}))
    assert fault(path) == "unsafe_file"
