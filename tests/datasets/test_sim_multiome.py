from __future__ import annotations

from functools import cache

import anndata
import numpy as np
import pytest

from bench.data.checks import check_counts
from bench.datasets.sim_multiome import SimMultiome
from bench.errors import UsageError


@cache
def both(**values):
    """Genes and peaks of one experiment; not to be changed."""
    return tuple(
        SimMultiome.from_values(values | {"part": part}).load() for part in ("rna", "atac")
    )


SMALL = {"n_cells": 100, "rare": 0.08, "n_genes": 200, "n_peaks": 600}


@pytest.mark.parametrize("part", ["rna", "atac"])
def test_counts_are_valid_and_as_the_card_says(part: str):
    dataset = SimMultiome.from_values({"part": part, **SMALL})
    adata = dataset.load()
    card = dataset.card
    assert card.modality == part
    assert adata.shape == (card.n_cells, card.n_features)
    assert adata.shape == (100, 200 if part == "rna" else 600)
    checked = check_counts(
        adata, where="sim", label_key="cell_type", batch_key=None, modality=part
    )
    assert checked.warnings == []


def test_default_card_is_that_of_the_class():
    assert SimMultiome().card == SimMultiome.card


def test_parts_are_the_same_cells():
    genes, peaks = both(**SMALL, n_batches=2, confounding=0.5, n_modules=2)
    shared = ["cell_type", "batch", "module1", "module2"]
    assert genes.obs[shared].equals(peaks.obs[shared])
    assert not (genes.obs["depth"] == peaks.obs["depth"]).any()
    assert genes.uns["truth"]["links"].equals(peaks.uns["truth"]["links"])


def test_the_seed_decides_everything():
    genes, peaks = both(**SMALL)
    again, _ = both.__wrapped__(**SMALL)
    assert (genes.X != again.X).nnz == 0
    other, other_peaks = both(**SMALL, seed=1)
    assert (genes.X != other.X).nnz > 0
    assert list(peaks.var_names) != list(other_peaks.var_names)


def test_blocks_do_not_change_the_deviations(monkeypatch: pytest.MonkeyPatch):
    """Parts draw in blocks of different size, and still see the same deviations."""
    _, peaks = both(**SMALL)
    monkeypatch.setattr("bench.datasets._simulate_features._BLOCK", 5000)
    again = both.__wrapped__(**SMALL)
    # Equal counts need equal deviations; those of genes need not be equal (two draws a count).
    assert (peaks.X != again[1].X).nnz == 0


# Links.


@pytest.mark.parametrize("seed", [0, 1])
def test_linked_peaks_lie_near_their_gene(seed: int):
    genes, peaks = both(n_cells=20, seed=seed, link_distance=40_000, max_links=3)
    links = genes.uns["truth"]["links"]
    gene, peak = genes.var.loc[links["gene"]], peaks.var.loc[links["peak"]]
    assert (gene["chromosome"].to_numpy() == peak["chromosome"].to_numpy()).all()
    centre = (peak["start"] + peak["end"]).to_numpy() // 2
    assert (centre - gene["start"].to_numpy() == links["distance"].to_numpy()).all()
    assert links["distance"].abs().max() <= 40_000
    assert not links.duplicated(["gene", "peak"]).any()
    per_gene = links["gene"].value_counts()
    assert 1 <= per_gene.min() <= per_gene.max() <= 3
    assert per_gene.size == pytest.approx(500, abs=25)  # half, less those without a peak in reach
    assert set(links["gene"]) == set(genes.var_names[genes.var["linked"]])
    assert set(links["peak"]) == set(peaks.var_names[peaks.var["linked"]])


def test_distance_alone_does_not_give_the_links():
    genes, peaks = both(n_cells=20)
    links = genes.uns["truth"]["links"]
    near = 0
    for name in genes.var_names[genes.var["linked"]]:
        gene = genes.var.loc[name]
        centre = (peaks.var["start"] + peaks.var["end"]) // 2
        here = peaks.var["chromosome"] == gene["chromosome"]
        near += (here & ((centre - gene["start"]).abs() <= 100_000)).sum()
    assert len(links) < near / 4


def test_peaks_are_sorted_intervals_that_do_not_overlap():
    _, peaks = both(n_cells=20)
    table = peaks.var
    expected = [f"{row.chromosome}:{row.start}-{row.end}" for row in table.itertuples()]
    assert list(peaks.var_names) == expected
    assert sorted(set(table["chromosome"])) == [f"chr{number}" for number in range(1, 6)]
    for _, one in table.groupby("chromosome"):
        assert (one["start"].to_numpy()[1:] > one["end"].to_numpy()[:-1]).all()
    genes, _ = both(n_cells=20)
    for _, one in genes.var.groupby("chromosome"):
        assert np.diff(one["start"]).min() >= 10_000


def test_effects_of_types_pass_through_the_links():
    genes, peaks = both(n_cells=20, link_effect=0.7)
    effects = genes.varm["log_effect"]
    for name, rows in list(genes.uns["truth"]["links"].groupby("gene"))[:50]:
        through = peaks.varm["log_effect"].loc[rows["peak"]].mean(axis=0) * 0.7
        np.testing.assert_allclose(effects.loc[name], through)


def test_linked_pairs_vary_together_within_a_type_and_others_do_not():
    genes, peaks = both(
        n_cells=1500, n_genes=100, n_peaks=200, n_types=2, rare=0.5, separation=0, max_links=1,
        rna_depth=20000.0, atac_depth=20000.0, link_spread=0.7, link_distance=50_000,
    )  # fmt: skip
    level = {}
    for name, part in (("rna", genes), ("atac", peaks)):
        scaled = part.X.toarray() / part.obs["depth"].to_numpy()[:, None]
        level[name] = np.log1p(scaled * 20000)
    links = genes.uns["truth"]["links"]
    gene = genes.var_names.get_indexer(links["gene"])
    peak = peaks.var_names.get_indexer(links["peak"])
    strong = (genes.X.mean(axis=0).A1[gene] > 10) & (peaks.X.mean(axis=0).A1[peak] > 10)
    assert strong.sum() > 10
    table = np.corrcoef(level["rna"].T, level["atac"].T)[:100, 100:]
    assert np.median(table[gene, peak][strong]) > 0.5
    moved = np.random.default_rng(0).permutation(peak[strong])
    unlinked = moved != peak[strong]
    assert np.abs(np.median(table[gene[strong], moved][unlinked])) < 0.05


def test_links_do_not_move_the_means():
    wide = {"n_cells": 3000, "n_genes": 60, "n_peaks": 120, "separation": 0.0, "rna_depth": 9000.0}
    none, _ = both(**wide, link_spread=0.0)
    some, _ = both(**wide, link_spread=0.6)
    mean = none.X.mean(axis=0).A1
    linked = (mean > 5) & none.var["linked"].to_numpy()
    ratio = some.X.mean(axis=0).A1[linked] / mean[linked]
    assert ratio.mean() == pytest.approx(1, abs=0.04)


# Parameters and files.


@pytest.mark.parametrize(
    "values",
    [
        {"linked": 0.2}, {"max_links": 1}, {"link_distance": 30_000}, {"link_effect": 0.3},
        {"link_spread": 1.5}, {"dispersion": 0.1}, {"dispersion_df": 5.0}, {"rna_depth": 500.0},
        {"n_peaks": 500}, {"n_genes": 100, "n_peaks": 600}, {"n_modules": 2},
    ],
)  # fmt: skip
def test_parameters_change_the_genes(values: dict):
    genes, _ = both(**SMALL)
    other, _ = both(**(SMALL | values))
    assert genes.shape != other.shape or (genes.X != other.X).nnz > 0


def test_depths_are_those_of_the_parts():
    genes, peaks = both(n_cells=300, rna_depth=1500.0, atac_depth=700.0)
    assert np.median(genes.X.sum(axis=1).A1) == pytest.approx(1500, rel=0.1)
    assert np.median(peaks.X.sum(axis=1).A1) == pytest.approx(700, rel=0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"part": "none"}, "sim_multiome.part='none'"),
        ({"min_links": 4}, "min_links=4 is above max_links=3"),
        ({"n_genes": 50, "n_peaks": 501}, "n_peaks=501 do not fit around n_genes=50"),
        ({"n_modules": 30}, "n_genes without links is 500"),
    ],
)
def test_wrong_parameters_are_one_line(values: dict, message: str):
    with pytest.raises(UsageError, match=message) as error:
        SimMultiome.from_values(values)
    assert "\n" not in str(error.value)


def test_modules_avoid_what_links_touch():
    genes, peaks = both(**SMALL, n_modules=3)
    for part in (genes, peaks):
        assert not (part.var["linked"] & (part.var["module"] != "")).any()
        assert (part.var["module"] != "").sum() == 60


def test_the_truth_survives_a_file(tmp_path):
    genes, _ = both(**SMALL)
    genes.write_h5ad(tmp_path / "genes.h5ad")
    links = anndata.read_h5ad(tmp_path / "genes.h5ad").uns["truth"]["links"]
    assert list(links["peak"].astype(str)) == list(genes.uns["truth"]["links"]["peak"])
