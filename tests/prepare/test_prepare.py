from __future__ import annotations

import sys

import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.contract import ATAC, RNA, Recipe, accessible_peaks, log_normalized
from bench.errors import DataError, UsageError
from bench.prepare.in_memory import describe_counts, prepare_counts

pytestmark = pytest.mark.filterwarnings("ignore:Some cells have zero counts")


@pytest.fixture(scope="module")
def counts() -> AnnData:
    """300 cells × 400 genes of very different means, with things that must not leak."""
    rng = np.random.default_rng(1)
    mean = rng.gamma(0.5, 2.0, 400) * np.exp(rng.normal(0, 0.5, (300, 1)))
    values = rng.poisson(mean).astype(np.float32)
    values[7] = 0
    adata = AnnData(sp.csr_matrix(values))
    adata.obs_names = [f"c{i}" for i in range(300)]
    adata.var_names = [f"g{i}" for i in range(400)]
    adata.obs["cell_type"] = rng.choice(["a", "b"], 300)
    adata.obs["size_factor"] = 99.0
    adata.var["marker_of"] = "a"
    adata.obsm["X_truth"] = np.ones((300, 2))
    adata.varm["loadings"] = np.ones((400, 2))
    adata.obsp["neighbours"] = sp.eye(300, format="csr")
    adata.layers["log"] = adata.X.copy()
    adata.uns["cell_type_colors"] = ["red", "blue"]
    adata.raw = adata.copy()
    return adata


def array(matrix: object) -> np.ndarray:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


STANDARD = Recipe(target_sum=1e4, log1p=True)


def normalized(counts: AnnData) -> AnnData:
    """The same with scanpy: genes without counts go, as ``prepare_counts`` drops them."""
    seen = np.asarray((counts.X > 0).sum(axis=0)).ravel() > 0
    adata = AnnData(counts.X[:, seen].copy())
    adata.var_names = counts.var_names[seen]
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata


# Against scanpy.


def test_log_normalisation_is_that_of_scanpy(counts: AnnData):
    ours, theirs = prepare_counts(counts, STANDARD), normalized(counts)
    assert list(ours.var_names) == list(theirs.var_names)
    assert sp.isspmatrix_csr(ours.X)
    assert ours.X.dtype == np.float32
    np.testing.assert_allclose(array(ours.X), array(theirs.X), rtol=1e-6)
    totals = np.expm1(array(ours.X).astype(float)).sum(axis=1)
    np.testing.assert_allclose(np.delete(totals, 7), 1e4, rtol=1e-4)
    assert totals[7] == 0


@pytest.mark.parametrize("number", [20, 100])
def test_variable_genes_are_those_of_scanpy(counts: AnnData, number: int):
    theirs = normalized(counts)
    table = sc.pp.highly_variable_genes(theirs, n_top_genes=number, flavor="seurat", inplace=False)
    ours = prepare_counts(counts, Recipe(target_sum=1e4, log1p=True, n_top_features=number))
    assert list(ours.var_names) == list(theirs.var_names[table["highly_variable"].to_numpy()])
    assert ours.n_vars == number
    np.testing.assert_array_equal(array(ours.layers["counts"]), array(counts[:, ours.var_names].X))


@pytest.mark.parametrize("max_value", [None, 10.0, 1.5])
def test_scaling_is_that_of_scanpy(counts: AnnData, max_value: float | None):
    theirs = normalized(counts)
    theirs.X = theirs.X.toarray()
    sc.pp.scale(theirs, max_value=max_value)
    ours = prepare_counts(
        counts, Recipe(target_sum=1e4, log1p=True, scale=True, max_value=max_value)
    )
    assert isinstance(ours.X, np.ndarray)
    np.testing.assert_allclose(ours.X, theirs.X, rtol=1e-4, atol=1e-5)
    if max_value is None:
        np.testing.assert_allclose(ours.X.std(axis=0, ddof=1), 1.0, rtol=1e-4)
        np.testing.assert_allclose(ours.X.mean(axis=0), 0.0, atol=1e-5)


def test_the_standard_recipe(counts: AnnData):
    info = describe_counts(counts.X, name="x", modality=RNA, has_batch=False)
    data = prepare_counts(counts, log_normalized(info, n_top_genes=50))
    assert data.shape == (300, 50)
    assert abs(data.X).max() <= 10
    assert log_normalized(info).n_top_features is None


def test_seurat_v3_without_its_package(counts: AnnData, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "skmisc.loess", None)
    with pytest.raises(UsageError) as error:
        prepare_counts(counts, Recipe(n_top_features=20, flavor="seurat_v3"))
    assert error.value.code == "missing_package"


def test_seurat_v3_reads_the_counts(counts: AnnData):
    pytest.importorskip("skmisc")
    recipe = Recipe(target_sum=1e4, log1p=True, n_top_features=20, flavor="seurat_v3")
    raw = AnnData(counts.X.copy(), var=counts.var[[]])
    raw = raw[:, np.asarray(raw.X.sum(axis=0)).ravel() > 0].copy()
    table = sc.pp.highly_variable_genes(raw, n_top_genes=20, flavor="seurat_v3", inplace=False)
    chosen = raw.var_names[table["highly_variable"].to_numpy()]
    assert list(prepare_counts(counts, recipe).var_names) == list(chosen)


# By hand.

SMALL = np.array(
    [
        [3, 0, 1, 0, 0],
        [1, 2, 0, 0, 0],
        [4, 0, 0, 0, 0],
        [2, 5, 6, 0, 1],
    ],
    dtype=np.float32,
)


@pytest.fixture
def small() -> AnnData:
    return AnnData(sp.csr_matrix(SMALL))


@pytest.mark.parametrize(
    ("recipe", "cells", "features"),
    [
        (Recipe(), [0, 1, 2, 3], [0, 1, 2, 4]),  # what no cell has goes in any case
        (Recipe(min_features=2), [0, 1, 3], [0, 1, 2, 4]),
        (Recipe(min_features=4), [3], [0, 1, 2, 4]),
        (Recipe(min_cells=1), [0, 1, 2, 3], [0, 1, 2]),  # in more than one cell
        (Recipe(min_cells=2), [0, 1, 2, 3], [0]),
        (Recipe(min_cells=0.25), [0, 1, 2, 3], [0, 1, 2]),  # in more than a quarter
        (Recipe(max_cells=0.5), [0, 1, 2, 3], [4]),  # in less than half
        (Recipe(max_cells=0.75), [0, 1, 2, 3], [1, 2, 4]),
        (Recipe(min_features=2, min_cells=1), [0, 1, 3], [0, 1, 2]),
        (Recipe(min_features=2, max_cells=0.5), [0, 1, 3], [4]),  # shares of the kept cells
    ],
)
def test_filters(small: AnnData, recipe: Recipe, cells: list[int], features: list[int]):
    data = prepare_counts(small, recipe)
    assert list(data.obs_names) == [str(i) for i in cells]
    assert list(data.var_names) == [str(i) for i in features]
    np.testing.assert_array_equal(array(data.X), SMALL[np.ix_(cells, features)])
    np.testing.assert_array_equal(array(data.layers["counts"]), array(data.X))


@pytest.mark.parametrize(
    "recipe", [Recipe(min_features=9), Recipe(min_cells=4), Recipe(max_cells=0.1)]
)
def test_filters_that_leave_nothing(small: AnnData, recipe: Recipe):
    with pytest.raises(DataError) as error:
        prepare_counts(small, recipe)
    assert error.value.code == "empty_result"


def test_size_factors_are_totals_over_their_median(small: AnnData):
    factors = prepare_counts(small, Recipe()).obs["size_factor"]
    np.testing.assert_allclose(factors, np.array([4, 3, 4, 14]) / 4)
    assert factors.dtype == np.float32
    # Over the features that the filters keep: here the first only.
    np.testing.assert_allclose(
        prepare_counts(small, Recipe(min_cells=2)).obs["size_factor"], np.array([3, 1, 4, 2]) / 2.5
    )


def test_size_factors_do_not_depend_on_variable_features_or_transforms(counts: AnnData):
    plain = prepare_counts(counts, Recipe()).obs["size_factor"]
    for recipe in (
        Recipe(target_sum=1e4, log1p=True, n_top_features=20, scale=True),
        Recipe(binarize=True),
    ):
        np.testing.assert_array_equal(prepare_counts(counts, recipe).obs["size_factor"], plain)
    assert plain.iloc[7] == 0
    np.testing.assert_allclose(np.median(np.delete(plain.to_numpy(), 7)), 1.0)


def test_binarised_counts(small: AnnData):
    data = prepare_counts(small, Recipe(binarize=True))
    np.testing.assert_array_equal(array(data.X), SMALL[:, [0, 1, 2, 4]] > 0)
    np.testing.assert_array_equal(array(data.layers["counts"]), SMALL[:, [0, 1, 2, 4]])


def test_tfidf(small: AnnData):
    kept = SMALL[:, [0, 1, 2, 4]].astype(float)
    frequency = kept / kept.sum(axis=1, keepdims=True)
    inverse = len(kept) / (kept > 0).sum(axis=0)
    expected = np.log1p(1e4 * frequency * inverse)
    data = prepare_counts(small, Recipe(tfidf=True))
    np.testing.assert_allclose(array(data.X), expected, rtol=1e-5)
    assert data.X.dtype == np.float32
    open_or_not = (kept > 0).astype(float)
    expected = np.log1p(1e4 * open_or_not / open_or_not.sum(axis=1, keepdims=True) * inverse)
    both = prepare_counts(small, Recipe(tfidf=True, binarize=True))
    np.testing.assert_allclose(array(both.X), expected, rtol=1e-5)


def test_tfidf_of_a_cell_without_counts_is_zero(counts: AnnData):
    matrix = array(prepare_counts(counts, Recipe(tfidf=True)).X)
    assert np.isfinite(matrix).all()
    assert not matrix[7].any()


def test_max_abs(small: AnnData):
    kept = SMALL[:, [0, 1, 2, 4]]
    data = prepare_counts(small, Recipe(max_abs=True))
    assert sp.isspmatrix_csr(data.X)
    np.testing.assert_allclose(array(data.X), kept / kept.max(axis=0), rtol=1e-6)


def test_scaling_a_feature_without_variance_gives_zeros():
    matrix = np.array([[0.1, 1], [0.1, 2], [0.1, 3]], dtype=np.float32)
    data = prepare_counts(AnnData(sp.csr_matrix(matrix)), Recipe(scale=True))
    np.testing.assert_allclose(data.X, [[0, -1], [0, 0], [0, 1]], atol=1e-6)
    one = prepare_counts(AnnData(sp.csr_matrix(matrix[:1])), Recipe(scale=True))
    assert not one.X.any()


def test_the_chromatin_recipe_keeps_peaks_between_its_bounds(counts: AnnData):
    data = prepare_counts(counts, accessible_peaks(low=0.1, high=0.5))
    share = np.asarray((counts.X > 0).mean(axis=0)).ravel()
    assert list(data.var_names) == list(counts.var_names[(share > 0.1) & (share < 0.5)])
    assert set(np.unique(array(data.X))) == {0.0, 1.0}


def test_stored_zeros_and_duplicates_change_nothing():
    odd = sp.csr_matrix(
        (np.array([0, 2, 1, 1, 0, 3], np.float32), [0, 1, 2, 2, 1, 0], [0, 2, 4, 6]), shape=(3, 3)
    )
    clean = sp.csr_matrix(odd.toarray())
    for recipe in (
        Recipe(), Recipe(binarize=True), Recipe(tfidf=True, binarize=True), Recipe(min_features=2),
        Recipe(min_cells=1), Recipe(log1p=True),
    ):  # fmt: skip
        try:
            expected = prepare_counts(AnnData(clean.copy()), recipe)
        except DataError:
            with pytest.raises(DataError):
                prepare_counts(AnnData(odd.copy()), recipe)
            continue
        given_odd = prepare_counts(AnnData(odd.copy()), recipe)
        np.testing.assert_array_equal(array(given_odd.X), array(expected.X))
        assert list(given_odd.var_names) == list(expected.var_names)


def test_facts_about_a_matrix():
    values = np.array([0, 2, 1, 3], np.float32)
    facts = describe_counts(
        sp.csr_matrix((values, [0, 1, 2, 0], [0, 2, 3, 4]), shape=(3, 4)),
        name="x", modality=ATAC, has_batch=True,
    )  # fmt: skip
    assert (facts.n_cells, facts.n_features, facts.modality) == (3, 4, ATAC)
    assert facts.density == pytest.approx(3 / 12)  # a stored zero is a zero
    assert facts.mean_counts == 2.0
    assert (facts.integer, facts.binary, facts.has_batch) == (True, False, True)
    assert describe_counts(sp.eye(3, format="csr"), name="x", modality=RNA, has_batch=False).binary
    halves = describe_counts(sp.eye(3, format="csr") / 2, name="x", modality=RNA, has_batch=False)
    assert not halves.integer


# What a method sees.

RECIPES = [
    Recipe(),
    STANDARD,
    Recipe(binarize=True, tfidf=True, min_cells=2),
    Recipe(target_sum=1e4, log1p=True, n_top_features=30, scale=True, max_value=10, max_abs=True),
    Recipe(min_features=30, max_cells=0.9),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["raw", "log", "tfidf", "all", "filters"])
def test_only_counts_names_and_size_factors_reach_a_method(counts: AnnData, recipe: Recipe):
    data = prepare_counts(counts, recipe)
    assert list(data.obs.columns) == ["size_factor"]
    assert data.obs["size_factor"].max() < 99
    assert data.var.columns.empty
    assert list(data.layers) == ["counts"]
    for place in (data.uns, data.obsm, data.varm, data.obsp, data.varp):
        assert not len(place)
    assert data.raw is None
    assert not data.is_view


@pytest.mark.parametrize("recipe", RECIPES, ids=["raw", "log", "tfidf", "all", "filters"])
def test_labels_make_no_difference_and_the_input_stays(counts: AnnData, recipe: Recipe):
    before = counts.copy()
    other = counts.copy()
    other.obs["cell_type"] = other.obs["cell_type"].to_numpy()[::-1]
    data, again = prepare_counts(counts, recipe), prepare_counts(other, recipe)
    np.testing.assert_array_equal(array(data.X), array(again.X))
    data.X *= 0
    data.layers["counts"] *= 0
    assert (counts.X != before.X).nnz == 0
    assert counts.obs.equals(before.obs)
    assert counts.var.equals(before.var)
    assert set(counts.uns) == set(before.uns)


@pytest.mark.parametrize("form", [sp.csc_matrix, lambda m: m.toarray(), sp.csr_array])
def test_the_form_of_the_input_makes_no_difference(counts: AnnData, form):
    adata = AnnData(form(counts.X))
    data, expected = prepare_counts(adata, STANDARD), prepare_counts(counts, STANDARD)
    np.testing.assert_array_equal(array(data.X), array(expected.X))


@given(
    matrix=hnp.arrays(np.float32, (7, 5), elements=st.integers(0, 9).map(float)),
    recipe=st.builds(
        Recipe,
        min_features=st.integers(0, 3),
        min_cells=st.sampled_from([0, 0.2, 2]),
        max_cells=st.sampled_from([0.8, 1.0]),
        binarize=st.booleans(),
        tfidf=st.booleans(),
        target_sum=st.sampled_from([None, 100.0]),
        log1p=st.booleans(),
        max_abs=st.booleans(),
        scale=st.booleans(),
        max_value=st.sampled_from([None, 2.0]),
    ),
)
def test_any_recipe_gives_finite_values_that_fit_the_counts(matrix: np.ndarray, recipe: Recipe):
    try:
        data = prepare_counts(AnnData(sp.csr_matrix(matrix)), recipe)
    except DataError:
        return
    assert np.isfinite(array(data.X)).all()
    cells, features = data.obs_names.astype(int), data.var_names.astype(int)
    np.testing.assert_array_equal(array(data.layers["counts"]), matrix[np.ix_(cells, features)])
    if recipe.max_abs and not recipe.scale:
        assert array(data.X).max() <= 1 + 1e-6
