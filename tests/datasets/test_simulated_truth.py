"""The truth of simulators: it holds in the counts, and methods cannot see it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import anndata
import numpy as np
import pytest

from bench.data.cache.data_cache import DataCache
from bench.data.cache.dataset_files import CellLabels, load_counts
from bench.datasets import _simulate_features
from bench.datasets.sim_atac import SimATAC
from bench.datasets.sim_rna import SimRNA

BOTH = pytest.mark.parametrize("cls", [SimRNA, SimATAC], ids=["rna", "atac"])


def simulated(cls, **values):
    return cls.from_values(values).load()


def correlations(adata, columns) -> np.ndarray:
    """Correlations between features (log counts over depth) within one type's cells."""
    depth = adata.obs["depth"].to_numpy()[:, None]
    level = np.log1p(adata.X[:, columns].toarray() / depth * np.median(depth))
    return np.corrcoef(level.T)


# Rare types and batches.


@BOTH
@pytest.mark.parametrize(
    ("n_cells", "rare", "n_rare"), [(1000, 0.01, 3), (700, 0.29, 1), (90, 0.001, 2)]
)
def test_rare_types_have_exactly_their_share(cls, n_cells: int, rare: float, n_rare: int):
    adata = simulated(cls, n_cells=n_cells, rare=rare, n_rare=n_rare, n_types=5, n_features=50)
    sizes = adata.obs["cell_type"].value_counts()
    planted = adata.uns["truth"]["rare_types"]
    share = min(rare, 0.2)
    assert list(planted) == [f"type{number}" for number in range(6 - n_rare, 6)]
    assert {sizes[name] for name in planted} == {max(1, round(share * n_cells))}
    assert sizes.sum() == n_cells


@BOTH
def test_cards_say_the_share_of_the_largest_type(cls):
    dataset = cls.from_values({"n_types": 8, "n_rare": 3, "rare": 0.02, "n_cells": 1000})
    sizes = dataset.load().obs["cell_type"].value_counts()
    assert f"8 types of 2 % to {sizes.iloc[0] / 10:.0f} %" in dataset.card.summary


@BOTH
@pytest.mark.parametrize("confounding", [0.0, 0.5, 1.0])
def test_batches_are_confounded_as_asked(cls, confounding: float):
    obs = simulated(
        cls, n_cells=1200, n_batches=3, confounding=confounding, n_features=50
    ).obs  # fmt: skip
    own = obs["cell_type"].str[4:].astype(int).sub(1).mod(3).add(1)
    followed = (obs["batch"].str[5:].astype(int) == own).mean()
    # Cells whose batch is free follow by chance in a third of the cases.
    assert followed == pytest.approx(confounding + (1 - confounding) / 3, abs=0.03)
    if confounding == 0:
        table = obs.groupby(["cell_type", "batch"]).size().unstack()
        assert (table.max(axis=1) - table.min(axis=1)).max() <= 1


# Effects.


@BOTH
def test_estimated_log_effects_are_the_true_ones(cls):
    adata = simulated(
        cls, n_cells=3000, n_features=300, n_types=3, rare=0.3, depth=5000, markers=0.3,
    )  # fmt: skip
    counts = adata.X.toarray() / adata.obs["depth"].to_numpy()[:, None]
    strong = adata.X.mean(axis=0).A1 > 1
    truth = adata.varm["log_effect"]
    for one, other in (("type1", "type2"), ("type3", "type1")):
        mean = {name: counts[adata.obs["cell_type"] == name].mean(axis=0) for name in (one, other)}
        estimated = np.log(mean[one][strong] / mean[other][strong])
        true = (truth[one] - truth[other]).to_numpy()[strong]
        assert np.corrcoef(estimated, true)[0, 1] > 0.98
        slope = np.polyfit(true, estimated, 1)[0]
        assert slope == pytest.approx(1, abs=0.05)


@BOTH
def test_marks_name_the_type_of_the_largest_effect(cls):
    adata = simulated(cls, n_cells=50, n_features=400, markers=0.1)
    effects = adata.varm["log_effect"]
    none = (effects == 0).all(axis=1)
    assert (adata.var["marks"] == "").equals(none)
    assert none.mean() == pytest.approx(0.9**6, abs=0.08)
    marked = effects[~none]
    assert list(marked.abs().idxmax(axis=1)) == list(adata.var["marks"][~none])
    assert adata.var["log_effect"].abs().equals(effects.abs().max(axis=1))


@BOTH
def test_depth_is_the_expected_count(cls):
    adata = simulated(cls, depth=5000, depth_spread=1.0, n_cells=500)
    totals = adata.X.sum(axis=1).A1
    assert np.corrcoef(np.log(totals), np.log(adata.obs["depth"]))[0, 1] > 0.95
    assert np.median(totals / adata.obs["depth"]) == pytest.approx(1, abs=0.05)
    assert np.median(adata.obs["depth"]) == pytest.approx(5000)


def test_dispersions_vary_as_published():
    from scipy import stats

    adata = simulated(SimRNA, n_cells=20, n_features=5000, dispersion=0.2, dispersion_df=8)
    ratio = 0.2 * 8 / adata.var["dispersion"]
    assert stats.kstest(ratio, stats.chi2(8).cdf).pvalue > 1e-3
    equal = simulated(SimRNA, n_cells=20, n_features=50, dispersion=0.2, dispersion_df=0)
    assert set(equal.var["dispersion"]) == {0.2}


# Modules.


@BOTH
@pytest.mark.parametrize("scope", ["across", "within"])
def test_modules_vary_together_and_not_with_each_other(cls, scope: str):
    adata = simulated(
        cls, n_cells=1500, n_features=150, n_types=2, rare=0.5, separation=0, depth=20000,
        n_modules=3, module_size=15, module_spread=0.8, module_scope=scope,
    )  # fmt: skip
    assert adata.var["module"].value_counts().to_dict() == {
        "": 105, "module1": 15, "module2": 15, "module3": 15,
    }  # fmt: skip
    strong = adata.X.mean(axis=0).A1 > 5
    for kind in ("type1", "type2"):
        cells = adata[adata.obs["cell_type"] == kind]
        for module in ("module1", "module2", "module3"):
            varies = scope == "across" or kind == {"module2": "type2"}.get(module, "type1")
            assert (cells.obs[module].std() > 0) == varies
            members = np.flatnonzero((adata.var["module"] == module) & strong)
            others = np.flatnonzero((adata.var["module"] != module) & strong)
            table = correlations(cells, np.concatenate([members, others]))
            inside = table[: len(members), : len(members)][np.triu_indices(len(members), 1)]
            outside = np.abs(table[: len(members), len(members) :])
            assert np.median(outside) < 0.1
            assert (np.median(inside) > 0.3) == varies


@BOTH
def test_modules_do_not_move_the_means(cls):
    wide = {"n_cells": 4000, "n_features": 100, "separation": 0, "depth": 10000}
    plain = simulated(cls, **wide).X.mean(axis=0).A1
    adata = simulated(cls, n_modules=2, module_spread=0.5, **wide)
    members = (adata.var["module"] != "").to_numpy() & (plain > 5)
    ratio = adata.X.mean(axis=0).A1[members] / plain[members]
    assert ratio.mean() == pytest.approx(1, abs=0.03)


@BOTH
def test_the_activity_is_that_of_the_counts(cls):
    adata = simulated(cls, n_cells=500, n_modules=1, module_size=50, separation=0, depth=5000)
    members = (adata.var["module"] == "module1").to_numpy()
    share = adata.X[:, members].sum(axis=1).A1 / adata.X.sum(axis=1).A1
    assert np.corrcoef(np.log(share + 1e-4), adata.obs["module1"])[0, 1] > 0.8


# The truth stays where it belongs.


@BOTH
def test_methods_get_counts_and_names_only(cls, tmp_path: Path):
    dataset = cls.from_values({"n_modules": 2, "n_batches": 2, "n_cells": 100})
    stored = DataCache(tmp_path).load_dataset(dataset, "code", cls.name)
    data = load_counts(stored.folder)
    assert data.obs.columns.empty
    assert data.var.columns.empty
    assert not any(map(len, (data.uns, data.varm, data.obsm, data.layers)))
    arrays = {path.stem for path in stored.folder.glob("*.npy")}
    assert arrays == {"data", "indices", "indptr", "cells", "order", "features", "types", "batch"}
    truth = CellLabels(stored.folder)
    assert len(set(truth.types)) == 6
    assert truth.batch is not None


@BOTH
def test_names_depend_on_no_effect(cls):
    plain = simulated(cls, n_cells=30)
    other = simulated(cls, n_cells=30, separation=3, n_modules=5, n_types=3)
    assert list(plain.var_names) == list(other.var_names)
    assert list(plain.obs_names) == list(other.obs_names)


@BOTH
def test_the_truth_survives_a_file(cls, tmp_path: Path):
    adata = simulated(cls, n_cells=40, n_features=120, n_modules=2, n_batches=2)
    adata.write_h5ad(tmp_path / "sim.h5ad")
    read = anndata.read_h5ad(tmp_path / "sim.h5ad")
    assert read.varm["log_effect"].equals(adata.varm["log_effect"])
    assert read.uns["truth"]["parameters"]["n_modules"] == 2
    assert list(read.var["module"].astype(str)) == list(adata.var["module"])


# Size.


def test_memory_is_bounded_by_the_blocks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_simulate_features, "_BLOCK", 250_000)
    tracemalloc.start()
    adata = simulated(SimRNA, n_cells=5000, n_features=2000, depth=300, n_modules=4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    dense = 5000 * 2000 * 8
    result = adata.X.data.nbytes + adata.X.indices.nbytes
    # The blocks and their concatenation, hence twice the result; one dense matrix is 80 MB.
    assert result < dense / 6
    assert peak < 2 * result + dense / 4
