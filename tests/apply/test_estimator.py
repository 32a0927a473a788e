"""A method as an estimator: new cells must have the features of the training cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

import bench
from bench.apply.estimator import Estimator
from bench.contract import ATAC, MULTIOME, RNA
from bench.datasets.sim_multiome import SimMultiome
from bench.errors import DataError, UsageError

SHORT = {
    "ae": {"max_epochs": 1, "hidden": "8", "n_latent": 2},
    "nmf": {"n_components": 3, "max_iter": 20},
    "lsnmf": {"n_components": 3, "max_iter": 10},
    "pca": {"n_components": 3},
    "lsi": {"n_components": 3},
}
IMPUTE = ("ae", "nmf", "lsnmf")
ACTIONS = [(name, "transform") for name in SHORT] + [(name, "impute") for name in IMPUTE]


@pytest.fixture(scope="module")
def fitted(toy_counts: AnnData) -> dict[str, Estimator]:
    return {
        name: bench.estimator(name, **params).fit(
            toy_counts, modality=ATAC if name == "lsi" else RNA
        )
        for name, params in SHORT.items()
    }


def reordered(data: AnnData) -> AnnData:
    """Return the cells with the second and the last feature in each other's place."""
    order = np.arange(data.n_vars)
    order[[1, -1]] = order[[-1, 1]]
    return data[:, order].copy()


@pytest.mark.parametrize(("name", "action"), ACTIONS)
def test_features_in_another_order_are_refused(
    name: str, action: str, fitted: dict[str, Estimator]
):
    model = fitted[name]
    names = list(model.prepared_.var_names)
    with pytest.raises(DataError) as caught:
        getattr(model, action)(reordered(model.prepared_))
    assert str(caught.value) == (
        f"{name}: the new cells have other features ({len(names)}) than the training cells "
        f"({len(names)}): the same in another order, 2 places differ, first '{names[-1]}' in "
        f"place of '{names[1]}'; select and order them alike."
    )


@pytest.mark.parametrize(("name", "action"), ACTIONS)
def test_other_features_are_refused(name: str, action: str, fitted: dict[str, Estimator]):
    model = fitted[name]
    names = list(model.prepared_.var_names)
    cells = model.prepared_.copy()
    cells.var_names = [*names[:-5], *(f"other{number}" for number in range(5))]
    with pytest.raises(DataError) as caught:
        getattr(model, action)(cells)
    lost = ", ".join(f"'{one}'" for one in names[-5:-2])
    assert f"5 are missing ({lost}, ...), 5 are new ('other0', 'other1', 'other2', ...)" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError) as error:
        getattr(model, action)(model.prepared_[:, :-5].copy())
    assert error.value.code == "other_features"


@pytest.mark.parametrize("name", SHORT)
def test_the_same_features_pass(name: str, fitted: dict[str, Estimator]):
    model = fitted[name]
    few = model.prepared_[[7, 2]].copy()
    np.testing.assert_array_equal(model.transform(few), model.method.transform(few))
    if name in IMPUTE:
        np.testing.assert_array_equal(model.impute(few), model.method.impute(few))


@pytest.mark.parametrize("name", SHORT)
def test_a_loaded_model_knows_its_features(
    name: str, fitted: dict[str, Estimator], tmp_path: Path
):
    model = fitted[name]
    model.save(tmp_path)
    other = bench.estimator(name, **SHORT[name]).load(tmp_path)
    np.testing.assert_allclose(
        other.transform(model.prepared_), model.transform(model.prepared_), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(DataError) as error:
        other.transform(reordered(model.prepared_))
    assert error.value.code == "other_features"


def test_a_model_saved_by_the_method_is_loaded_without_features(
    fitted: dict[str, Estimator], tmp_path: Path
):
    model = fitted["pca"]
    model.method.save(tmp_path)
    other = bench.estimator("pca", **SHORT["pca"]).load(tmp_path)
    np.testing.assert_allclose(other.transform(model.prepared_), model.embedding_, atol=1e-4)


def test_paired_data_are_checked_part_by_part():
    data = SimMultiome(SimMultiome.Params(n_cells=60, n_genes=40, n_peaks=120)).load()
    model = bench.estimator("pca_lsi").fit(data, modality=MULTIOME)
    prepared = model.prepared_
    np.testing.assert_array_equal(model.transform(prepared), model.method.transform(prepared))
    with pytest.raises(DataError) as error:
        model.transform(prepared["rna"].copy())
    assert error.value.code == "wrong_modality"
    from bench.contract import pair_data

    swapped = pair_data(prepared["rna"].copy(), reordered(prepared["atac"]))
    with pytest.raises(DataError) as error:
        model.transform(swapped)
    assert error.value.code == "other_features"


def test_functions_that_a_method_lacks(toy_counts: AnnData, tmp_path: Path):
    model = bench.estimator("random").fit(toy_counts)
    for action, argument in (
        ("transform", model.prepared_), ("impute", model.prepared_), ("save", tmp_path),
        ("load", tmp_path),
    ):  # fmt: skip
        with pytest.raises(UsageError) as error:
            getattr(model, action)(argument)
        assert error.value.code == "not_supported"
