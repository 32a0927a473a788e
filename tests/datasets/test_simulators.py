from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contract import Recipe
from bench.data.checks import check_counts
from bench.datasets._simulate_cells import type_shares, type_sizes
from bench.datasets._simulate_features import draw_sparse
from bench.datasets._simulation_parameters import SimulationParameters
from bench.datasets.sim_atac import SimATAC
from bench.datasets.sim_rna import SimRNA
from bench.errors import UsageError
from bench.prepare.in_memory import prepare_counts

BOTH = pytest.mark.parametrize("cls", [SimRNA, SimATAC], ids=["rna", "atac"])


def simulated(cls, **values: Any):
    return cls.from_values(values).load()


def same(one, other) -> bool:
    return one.shape == other.shape and (one.X != other.X).nnz == 0 and one.obs.equals(other.obs)


def agreement(adata, *, n_types: int = 6) -> float:
    """ARI of k-means on 20 components: PCA for genes, LSI without its first one for peaks."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA, TruncatedSVD
    from sklearn.metrics import adjusted_rand_score

    if adata.var_names[0].startswith("chr"):
        data = prepare_counts(adata, Recipe(binarize=True, tfidf=True, min_cells=2))
        embedding = TruncatedSVD(21, random_state=0).fit_transform(data.X)[:, 1:]
    else:
        data = prepare_counts(adata, Recipe(target_sum=1e4, log1p=True))
        embedding = PCA(20, random_state=0).fit_transform(data.X.toarray())
    clusters = KMeans(n_types, n_init=5, random_state=0).fit_predict(embedding)
    return float(adjusted_rand_score(adata.obs["cell_type"], clusters))


# What comes out.


@BOTH
def test_counts_are_valid_and_as_the_card_says(cls):
    dataset = cls.from_values({})
    adata = dataset.load()
    card = dataset.card
    assert card == cls.card
    assert adata.shape == (card.n_cells, card.n_features)
    assert adata.obs["cell_type"].nunique() == card.n_types
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    assert list(adata.obs.columns) == ["cell_type", "depth"]
    checked = check_counts(
        adata, where="sim", label_key="cell_type", batch_key=None, modality=card.modality
    )
    assert checked.warnings == []


def test_peaks_are_sorted_intervals_that_do_not_overlap():
    names = simulated(SimATAC, n_cells=20).var_names
    assert all(name.startswith("chr1:") for name in names)
    bounds = np.array([name[5:].split("-") for name in names], dtype=int).ravel()
    assert np.all(np.diff(bounds) > 0)


@BOTH
def test_types_come_in_mixed_order(cls):
    types = simulated(cls).obs["cell_type"].to_numpy()
    changes = np.mean(types[1:] != types[:-1])
    assert changes > 0.7  # 1 - Σ share², about 0.78; sorted cells: 0.01


# Seeds.


@BOTH
def test_the_seed_decides_everything_and_nothing_else_does(cls):
    first = simulated(cls, n_cells=100, seed=3)
    np.random.seed(0)  # noqa: NPY002 - the global generator must have no part in it
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert same(first, simulated(cls, n_cells=100, seed=3))
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    other = simulated(cls, n_cells=100, seed=4)
    assert not same(first, other)
    assert not (first.obs["cell_type"] == other.obs["cell_type"]).all()


# Marginals.


@pytest.mark.parametrize("dispersion", [0.0, 0.3, 1.0])
def test_variance_is_mean_plus_dispersion_times_squared_mean(dispersion: float):
    adata = simulated(
        SimRNA, n_cells=4000, n_features=200, n_types=2, separation=0, depth_spread=0,
        dispersion=dispersion,
    )  # fmt: skip
    counts = adata.X.toarray().astype(float)
    mean, variance = counts.mean(axis=0), counts.var(axis=0, ddof=1)
    frequent = mean > 1
    assert frequent.sum() > 50
    truth = adata.var["dispersion"].to_numpy()
    ratio = variance[frequent] / (mean + truth * mean**2)[frequent]
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    assert abs(np.log(ratio)).max() < np.log(1.5)


@BOTH
@pytest.mark.parametrize("depth", [100.0, 3000.0])
def test_median_depth(cls, depth: float):
    totals = np.asarray(simulated(cls, depth=depth).X.sum(axis=1)).ravel()
    assert np.median(totals) == pytest.approx(depth, rel=0.06)


@BOTH
@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_spread_of_depth(cls, spread: float):
    adata = simulated(cls, depth=3000, depth_spread=spread, n_cells=2000)
    totals = np.asarray(adata.X.sum(axis=1)).ravel()
    # Noise of the counts themselves: Poisson, and for genes the dispersion of the dominant ones.
    assert np.log(totals).std() == pytest.approx(spread, abs=0.1)


def test_most_peaks_have_one_or_two_fragments():
    values = simulated(SimATAC).X.data
    assert np.mean(values <= 2) > 0.95


@BOTH
@pytest.mark.parametrize(("n_types", "rare"), [(6, 0.03), (3, 0.1), (2, 0.5), (10, 0.01)])
def test_proportions_of_types(cls, n_types: int, rare: float):
    sizes = (
        simulated(cls, n_types=n_types, rare=rare, n_cells=1000).obs["cell_type"].value_counts()
    )
    expected = type_shares(n_types, rare) * 1000
    np.testing.assert_allclose(sorted(sizes, reverse=True), expected, atol=n_types)
    assert sizes.min() == pytest.approx(rare * 1000, abs=1)


@given(n_types=st.integers(2, 100), more=st.integers(0, 300), rare=st.floats(1e-6, 0.5))
def test_every_type_has_a_cell_and_none_is_lost(n_types: int, more: int, rare: float):
    n_rare = 1 + more % (n_types - 1)
    shares = type_shares(n_types, rare, n_rare)
    assert shares.sum() == pytest.approx(1)
    assert (shares > 0).all()
    assert (np.diff(shares) <= 1e-12).all()
    n_cells = max(n_types + more, 20)
    params = SimulationParameters(n_cells=n_cells, n_types=n_types, rare=rare, n_rare=n_rare)
    sizes = type_sizes(params)
    assert sizes.sum() == n_cells
    assert sizes.min() >= 1


def test_blocks_are_drawn_one_after_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bench.datasets._simulate_features._BLOCK", 30)
    sizes: list[int] = []

    def draw(cells: np.ndarray) -> np.ndarray:
        sizes.append(len(cells))
        return np.repeat(cells[:, None], 10, axis=1)

    counts = draw_sparse(11, 10, draw)
    assert max(sizes) <= 3
    np.testing.assert_array_equal(counts.toarray()[:, 0], np.arange(11))
    assert counts.format == "csr"


# Parameters.


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        *((cls, {name: value}) for cls in (SimRNA, SimATAC) for name, value in {
            "n_cells": 90, "n_features": 250, "n_types": 3, "rare": 0.1, "n_rare": 3,
            "n_batches": 2, "separation": 0.5, "markers": 0.3, "depth_spread": 0.1, "depth": 500.0,
            "seed": 1, "n_modules": 2,
        }.items()),
        (SimRNA, {"dispersion": 0.1}),
        (SimRNA, {"dispersion_df": 5.0}),
        (SimRNA, {"dropout": 0.5}),
    ],
)  # fmt: skip
def test_every_parameter_does_something(cls, values: dict[str, Any]):
    small = {"n_cells": 80, "n_features": 200}
    assert not same(simulated(cls, **small), simulated(cls, **(small | values)))


@BOTH
@pytest.mark.parametrize(
    ("base", "values"),
    [
        ({"n_batches": 2}, {"confounding": 0.5}),
        ({"n_modules": 3}, {"module_size": 5}),
        ({"n_modules": 3}, {"module_spread": 2.0}),
        ({"n_modules": 3}, {"module_scope": "within"}),
    ],
)
def test_parameters_of_batches_and_modules_do_something(cls, base: dict, values: dict):
    small = {"n_cells": 80, "n_features": 200} | base
    assert not same(simulated(cls, **small), simulated(cls, **(small | values)))


@BOTH
def test_a_new_part_leaves_the_others_as_they_were(cls):
    small = {"n_cells": 80, "n_features": 200}
    plain = simulated(cls, **small)
    more = simulated(cls, n_batches=2, n_modules=2, batch_effect=1.0, **small)
    assert (plain.obs["cell_type"] == more.obs["cell_type"]).all()
    assert (plain.obs["depth"] == more.obs["depth"]).all()
    assert (plain.varm["log_effect"] == more.varm["log_effect"]).all(axis=None)


@BOTH
def test_the_effect_of_batches_needs_batches(cls):
    small = {"n_cells": 80, "n_features": 200}
    one = simulated(cls, batch_effect=1.0, **small)
    assert same(one, simulated(cls, batch_effect=0.0, **small))
    two = simulated(cls, batch_effect=1.0, n_batches=2, **small)
    assert not same(two, simulated(cls, batch_effect=0.0, n_batches=2, **small))


def test_every_field_is_tested_above():
    fields = {
        "n_cells", "n_features", "n_types", "rare", "n_batches", "separation", "markers",
        "depth_spread", "depth", "seed", "batch_effect", "confounding", "n_rare", "n_modules",
        "module_size", "module_spread", "module_scope",
    }  # fmt: skip
    assert set(SimATAC.Params.model_fields) == fields
    assert set(SimRNA.Params.model_fields) == fields | {"dispersion", "dispersion_df", "dropout"}


def test_dropout_raises_zeros_of_weak_genes_first():
    plain = simulated(SimRNA, n_cells=2000, n_features=300, separation=0).X.toarray()
    dropped = simulated(
        SimRNA, n_cells=2000, n_features=300, separation=0, dropout=1.0
    ).X.toarray()
    mean = plain.mean(axis=0)
    lost = 1 - dropped.mean(axis=0) / mean
    weak, strong = (mean > 0.2) & (mean < 1), mean > 20
    assert (dropped == 0).mean() > (plain == 0).mean() + 0.05
    assert np.median(lost[weak]) > 0.5
    assert np.median(lost[strong]) < 0.1


@BOTH
def test_batches_are_known_and_even(cls):
    dataset = cls.from_values({"n_batches": 3, "n_types": 4, "n_cells": 300, "rare": 0.1})
    assert dataset.card.batch_key == "batch"
    assert dataset.card.n_types == 4
    assert dataset.card.n_cells == 300
    assert "4 types of 10 % to 40 %" in dataset.card.summary
    assert cls.card.batch_key is None
    adata = dataset.load()
    assert sorted(adata.obs["batch"].value_counts()) == [100, 100, 100]
    both = adata.obs.groupby(["cell_type", "batch"], observed=True).size()
    assert len(both) == 12  # types and batches are crossed


@BOTH
def test_too_many_types_or_batches_is_a_usage_error(cls):
    with pytest.raises(UsageError, match=rf"^{cls.name}: n_types=50 needs at least as many cells"):
        cls.from_values({"n_cells": 20, "n_types": 50})
    with pytest.raises(UsageError, match=rf"^{cls.name}: n_batches=40 needs"):
        cls.from_values({"n_cells": 20, "n_batches": 40})
    with pytest.raises(UsageError, match=rf"^{cls.name}: n_rare=6 leaves no common type"):
        cls.from_values({"n_rare": 6})
    with pytest.raises(UsageError, match=rf"^{cls.name}: confounding=0.5 needs at least as many"):
        cls.from_values({"confounding": 0.5, "n_batches": 7})
    with pytest.raises(UsageError, match=rf"{cls.name}: n_modules=9 of module_size=20 need 180"):
        cls.from_values({"n_modules": 9, "n_features": 100})
    assert simulated(cls, n_cells=20, n_types=20).obs["cell_type"].nunique() == 20


# How hard it is.


@BOTH
@pytest.mark.parametrize("seed", [0, 1])
def test_the_default_is_neither_trivial_nor_hopeless(cls, seed: int):
    assert 0.6 < agreement(simulated(cls, seed=seed)) < 0.999


@BOTH
def test_presets_are_ordered_by_difficulty(cls):
    agreements = {}
    for preset in ("easy", "hard"):
        dataset = cls.from_values({"preset": preset, "seed": "1"})
        agreements[preset] = agreement(dataset.load(), n_types=dataset.params.n_types)
    middle = agreement(simulated(cls, seed=1))
    assert agreements["easy"] > max(middle, 0.95)
    assert 0.05 < agreements["hard"] < middle - 0.1


@BOTH
def test_values_override_the_preset_and_unknown_ones_are_refused(cls):
    params = cls.from_values({"preset": "batches", "n_batches": "3"}).params
    assert (params.n_batches, params.confounding) == (3, 0.3)
    with pytest.raises(UsageError, match=rf"^{cls.name}: no preset 'hrad'. Did you mean 'hard'"):
        cls.from_values({"preset": "hrad"})


@BOTH
def test_without_separation_types_are_the_same(cls):
    assert abs(agreement(simulated(cls, separation=0))) < 0.05


@BOTH
def test_batches_hide_types(cls):
    wide = {"n_batches": 2, "separation": 1.0}
    apart = agreement(simulated(cls, batch_effect=0.0, **wide))
    assert apart > 0.6
    strong = simulated(cls, batch_effect=1.5, **wide)
    assert agreement(strong) < apart - 0.2
    strong.obs["cell_type"] = strong.obs["batch"]
    assert agreement(strong, n_types=2) > 0.9
    none = simulated(cls, batch_effect=0.0, **wide)
    none.obs["cell_type"] = none.obs["batch"]
    assert abs(agreement(none)) < 0.05
