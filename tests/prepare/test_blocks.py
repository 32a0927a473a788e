"""The same results block by block, from the disk, and batch by batch, as scanpy's."""

from __future__ import annotations

from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

from bench.contract import RNA, Recipe
from bench.errors import DataError, UsageError
from bench.prepare import blocks, pipeline
from bench.prepare.in_memory import MemoryArrays, describe_counts, prepare_counts

pytestmark = pytest.mark.filterwarnings("ignore")

RECIPES = {
    "raw": Recipe(),
    "log": Recipe(target_sum=1e4, log1p=True, min_cells=3),
    "tfidf": Recipe(binarize=True, tfidf=True, min_features=20),
    "seurat": Recipe(target_sum=1e4, log1p=True, n_top_features=40, scale=True, max_value=2),
    "seurat_v3": Recipe(target_sum=1e4, log1p=True, n_top_features=40, flavor="seurat_v3"),
    "batches": Recipe(target_sum=1e4, log1p=True, n_top_features=40, batch_aware=True),
    "max_abs": Recipe(min_cells=0.1, max_cells=0.9, max_abs=True),
    "max_abs_scaled": Recipe(max_abs=True, scale=True),
}


@pytest.fixture(scope="module")
def counts() -> AnnData:
    """400 cells × 200 genes in three batches."""
    rng = np.random.default_rng(5)
    mean = rng.gamma(0.6, 2.0, 200) * np.exp(rng.normal(0, 0.5, (400, 1)))
    adata = AnnData(sp.csr_matrix(rng.poisson(mean).astype(np.float32)))
    adata.var_names = [f"g{i:03}" for i in range(200)]
    adata.obs["batch"] = rng.choice(["x", "y", "z"], 400)
    return adata


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """About seven cells a block."""
    monkeypatch.setattr(blocks, "ENTRIES", 500)
    monkeypatch.setattr(pipeline, "ENTRIES", 500)


def array(matrix: object) -> np.ndarray:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def same(ours: AnnData, expected: AnnData) -> None:
    assert list(ours.var_names) == list(expected.var_names)
    assert list(ours.obs_names) == list(expected.obs_names)
    np.testing.assert_array_equal(array(ours.layers["counts"]), array(expected.layers["counts"]))
    np.testing.assert_array_equal(ours.obs["size_factor"], expected.obs["size_factor"])
    np.testing.assert_allclose(array(ours.X), array(expected.X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_size_of_blocks_makes_no_difference(counts: AnnData, recipe: Recipe, monkeypatch):
    batch = counts.obs["batch"].to_numpy()
    whole = prepare_counts(counts, recipe, batch)
    monkeypatch.setattr(blocks, "ENTRIES", 500)
    monkeypatch.setattr(pipeline, "ENTRIES", 500)
    assert len(list(blocks.row_blocks(counts.X))) > 20
    same(prepare_counts(counts, recipe, batch), whole)


@pytest.mark.parametrize("form", ["csr", "csc", "dense", "part"])
def test_backed_data_are_prepared_from_the_disk(
    counts: AnnData, form: str, tmp_path: Path, small_blocks: None
):
    path = tmp_path / "x.h5ad"
    kinds = {"csr": counts.X, "csc": counts.X.tocsc(), "dense": counts.X.toarray()}
    AnnData(kinds.get(form, counts.X), counts.obs, counts.var).write_h5ad(path)
    expected = prepare_counts(counts, RECIPES["seurat"])
    if form == "part":
        with h5py.File(path) as file:
            matrix = anndata.io.sparse_dataset(file["X"])
            assert describe_counts(
                matrix, name="x", modality=RNA, has_batch=False
            ) == describe_counts(counts.X, name="x", modality=RNA, has_batch=False)
            out = apply_in_memory(matrix, RECIPES["seurat"])
            np.testing.assert_allclose(out.read("dense"), expected.X, rtol=1e-6, atol=1e-6)
        return
    backed = anndata.read_h5ad(path, backed="r")
    same(prepare_counts(backed, RECIPES["seurat"]), expected)
    backed.file.close()


def apply_in_memory(matrix: object, recipe: Recipe):
    out = MemoryArrays()
    pipeline.apply_recipe(matrix, recipe, out)
    return out


def test_a_matrix_by_columns_needs_memory(
    counts: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import psutil

    path = tmp_path / "x.h5ad"
    AnnData(counts.X.tocsc()).write_h5ad(path)
    little = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    backed = anndata.read_h5ad(path, backed="r")
    with pytest.raises(DataError) as error:
        prepare_counts(backed, Recipe())
    assert error.value.code == "not_enough_memory"
    backed.file.close()


def test_more_values_than_32_bits_can_count(counts: AnnData, monkeypatch: pytest.MonkeyPatch):
    out = apply_in_memory(counts.X, Recipe())
    assert (out.read("indices").dtype, out.read("indptr").dtype) == (np.int32, np.int64)
    monkeypatch.setattr(blocks, "INT32_VALUES", 1000)
    many = apply_in_memory(counts.X, Recipe())
    assert (many.read("indices").dtype, many.read("indptr").dtype) == (np.int64, np.int64)
    np.testing.assert_array_equal(many.read("indices"), out.read("indices"))


def test_what_was_read_of_a_mapped_file_leaves_memory(tmp_path: Path):
    import psutil

    process = psutil.Process()
    np.save(tmp_path / "a.npy", np.ones(1 << 24, dtype=np.float32))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    before = process.memory_info().rss
    assert mapped[:].sum() == 1 << 24
    assert process.memory_info().rss - before > 1 << 25
    blocks.release_pages(mapped[10:])
    assert process.memory_info().rss - before < 1 << 25
    assert mapped[5] == 1


# Against scanpy.


def filtered(counts: AnnData) -> AnnData:
    seen = np.asarray((counts.X > 0).sum(axis=0)).ravel() > 0
    adata = AnnData(counts.X[:, seen].astype(np.float32), counts.obs.copy())
    adata.var_names = counts.var_names[seen]
    return adata


def theirs(counts: AnnData, number: int, flavor: str, batch_key: str | None) -> set[str]:
    adata = filtered(counts)
    if flavor == "seurat":
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
    table = sc.pp.highly_variable_genes(
        adata, n_top_genes=number, flavor=flavor, batch_key=batch_key, inplace=False
    )
    if "highly_variable" not in table:
        raise AssertionError(table)
    return set(adata.var_names[table["highly_variable"].to_numpy()])


def ours(counts: AnnData, number: int, flavor: str, batch_key: str | None) -> set[str]:
    recipe = Recipe(
        target_sum=1e4, log1p=True, n_top_features=number, flavor=flavor,
        batch_aware=batch_key is not None,
    )  # fmt: skip
    batch = None if batch_key is None else counts.obs[batch_key].to_numpy().astype(str)
    return set(prepare_counts(counts, recipe, batch).var_names)


@pytest.mark.parametrize("batch_key", [None, "batch"])
@pytest.mark.parametrize("flavor", ["seurat", "seurat_v3"])
@pytest.mark.parametrize("number", [15, 120])
def test_variable_features_are_those_of_scanpy(
    counts: AnnData, number: int, flavor: str, batch_key: str | None, small_blocks: None
):
    expected = theirs(counts, number, flavor, batch_key)
    assert ours(counts, number, flavor, batch_key) == expected
    assert len(expected) == number


@pytest.mark.parametrize("flavor", ["seurat", "seurat_v3"])
@pytest.mark.parametrize(
    ("name", "batch_key"),
    [
        ("pbmc3k", None),
        pytest.param("baron_mouse", None, marks=pytest.mark.slow),
        pytest.param("kang_donors", "batch", marks=pytest.mark.slow),
    ],
)
def test_variable_features_of_real_data_are_those_of_scanpy(
    data_dir: Path, name: str, flavor: str, batch_key: str | None
):
    counts = anndata.read_h5ad(data_dir / f"{name}.h5ad")
    number = 500 if name == "kang_donors" else 2000
    assert ours(counts, number, flavor, batch_key) == theirs(counts, number, flavor, batch_key)


@given(
    seed=st.integers(0, 10_000),
    n_cells=st.integers(12, 40),
    n_features=st.integers(8, 60),
    n_batches=st.integers(0, 3),
    share=st.floats(0.1, 0.9),
    zeros=st.floats(0, 0.8),
)
def test_variable_features_of_any_matrix_are_those_of_scanpy(
    seed: int, n_cells: int, n_features: int, n_batches: int, share: float, zeros: float
):
    rng = np.random.default_rng(seed)
    values = rng.poisson(rng.gamma(0.5, 4.0, n_features), (n_cells, n_features))
    values[rng.random(values.shape) < zeros] = 0
    values[:, 0] += 1  # no cell is empty
    counts = AnnData(sp.csr_matrix(values.astype(np.float32)))
    counts.var_names = [f"g{i:03}" for i in range(n_features)]
    key = "batch" if n_batches else None
    if n_batches:
        counts.obs["batch"] = [f"b{i % n_batches}" for i in range(n_cells)]
    number = max(1, int(share * filtered(counts).n_vars))
    if number == filtered(counts).n_vars:
        return
    assert ours(counts, number, "seurat", key) == theirs(counts, number, "seurat", key)


def test_batches_of_one_cell_do_not_count(counts: AnnData):
    batch = counts.obs["batch"].to_numpy().astype(str)
    alone = np.append(batch[:-1], "alone")
    for flavor in ("seurat", "seurat_v3"):
        recipe = Recipe(
            target_sum=1e4, log1p=True, n_top_features=30, flavor=flavor, batch_aware=True
        )
        assert prepare_counts(counts, recipe, alone).n_vars == 30
    with pytest.raises(DataError) as error:
        prepare_counts(counts, recipe, counts.obs_names.to_numpy())
    assert error.value.code == "no_variance"


def test_a_recipe_by_batches_without_batches(counts: AnnData):
    with pytest.raises(UsageError) as error:
        prepare_counts(counts, RECIPES["batches"])
    assert error.value.code == "missing_batch"


def test_features_that_do_not_vary():
    flat = AnnData(sp.csr_matrix(np.ones((20, 5), dtype=np.float32)))
    for flavor in ("seurat", "seurat_v3"):
        with pytest.raises(DataError) as error:
            prepare_counts(flat, Recipe(n_top_features=2, flavor=flavor))
        assert error.value.code == "no_variance"
