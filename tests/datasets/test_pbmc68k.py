from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from bench.data.checks import check_counts
from bench.datasets.pbmc68k import Pbmc68k
from bench.errors import DataError


@pytest.fixture(scope="module")
def loaded() -> AnnData:
    return Pbmc68k().load()


@pytest.fixture(scope="module")
def shipped() -> AnnData:
    """What scanpy ships, read once."""
    import warnings

    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sc.datasets.pbmc68k_reduced()


@pytest.fixture
def ship(shipped: AnnData, monkeypatch: pytest.MonkeyPatch):
    """Let scanpy ship a changed copy: ``ship(values=..., totals=...)``."""
    import scanpy as sc

    def change(*, values: sp.csr_matrix | None = None, totals: float = 1.0) -> None:
        copy = shipped.copy()
        raw = AnnData(copy.raw.X if values is None else values, var=copy.raw.var, obs=copy.obs)
        copy.raw = raw
        copy.obs["n_counts"] = copy.obs["n_counts"] * totals
        monkeypatch.setattr(sc.datasets, "pbmc68k_reduced", lambda: copy)

    return change


def test_it_is_as_its_card_says(loaded: AnnData):
    card = Pbmc68k.card
    assert loaded.shape == (card.n_cells, card.n_features) == (700, 765)
    assert loaded.obs["bulk_labels"].nunique() == card.n_types == 10
    assert list(loaded.obs.columns) == [card.label_key]
    assert not loaded.uns
    assert not loaded.obsm
    assert loaded.raw is None


def test_counts_are_whole_and_pass_the_checks(loaded: AnnData):
    assert loaded.X.format == "csr"
    assert loaded.X.dtype == np.float32
    assert np.array_equal(loaded.X.data, np.rint(loaded.X.data))
    assert loaded.X.data.min() == 1
    totals = np.asarray(loaded.X.sum(axis=1)).ravel()
    assert np.median(totals) == 653
    card = Pbmc68k.card
    checked = check_counts(
        loaded, where="pbmc68k", label_key=card.label_key, batch_key=None, modality=card.modality
    )
    assert checked.warnings == []


def test_recovered_values_are_within_a_tenth_of_whole_numbers(shipped: AnnData, loaded: AnnData):
    totals = shipped.obs["n_counts"].to_numpy()[:, None]
    values = np.expm1(shipped.raw.X.toarray().astype(float)) * totals / 1e4
    assert abs(values - loaded.X.toarray()).max() < 0.1
    assert np.median(totals) == pytest.approx(3333, abs=1)


def test_markers_are_where_they_belong(loaded: AnnData):
    """Values and labels are of the same cells, in the same order."""
    types = loaded.obs["bulk_labels"]
    for gene, kind in (("CD79A", "CD19+ B"), ("NKG7", "CD56+ NK"), ("LYZ", "CD14+ Monocyte")):
        counts = loaded[:, gene].X.toarray().ravel()
        inside = np.mean(counts[types == kind] > 0)
        assert inside > 2 * np.mean(counts > 0) or inside > 0.9


def test_loading_twice_gives_the_same(loaded: AnnData):
    again = Pbmc68k().load()
    assert (again.X != loaded.X).nnz == 0
    assert again.obs.equals(loaded.obs)


def test_unchanged_shipped_data_pass(ship, loaded: AnnData):
    ship()
    assert (Pbmc68k().load().X != loaded.X).nnz == 0


def test_corrupted_values_are_refused(ship, shipped: AnnData):
    values = shipped.raw.X.copy()
    values.data[5] *= 1.3
    ship(values=values)
    with pytest.raises(DataError) as error:
        Pbmc68k().load()
    assert error.value.code == "not_counts"


@pytest.mark.parametrize("factor", [1.1, 0.5, float("nan")])
def test_other_totals_are_refused(ship, factor: float):
    ship(totals=factor)
    with pytest.raises(DataError) as error:
        Pbmc68k().load()
    assert error.value.code == "not_counts"


def test_another_shape_is_refused(ship, shipped: AnnData, monkeypatch: pytest.MonkeyPatch):
    import scanpy as sc

    monkeypatch.setattr(sc.datasets, "pbmc68k_reduced", lambda: shipped[:500].copy())
    with pytest.raises(DataError) as error:
        Pbmc68k().load()
    assert error.value.code == "size_mismatch"
