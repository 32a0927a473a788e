"""scCrossRec: graph, gates, negatives, translation, and the method on small paired data."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from bench.contract import MULTIOME, PairedRecipe, Recipe
from bench.errors import DataError, UsageError
from bench.methods.sccrossrec import ScCrossRec, node_features
from bench.methods.sccrossrec.gate_links import StandardizedExpression, learn_links, sum_over_cells
from bench.methods.sccrossrec.genome_sites import GenomeSites, candidate_pairs, read_genome_sites
from bench.methods.sccrossrec.network import _SigmoidCount
from bench.methods.sccrossrec.training import wrong_pairs
from bench.testing.case import Case, CaseFit

CASE = Case(ScCrossRec, MULTIOME)
SHORT = {"max_epochs": 1, "link_passes": 3, "id_dim": 8, "hidden": 8, "dna": "none"}


def small():
    """Return 30 cells of paired counts with positions."""
    return CASE.counts(n_cells=30, n_features=24)


@cache
def fitted(preset: str = "", **values) -> CaseFit:
    """Return one short fit; not to be changed."""
    presets = (preset,) if preset else ()
    method = ScCrossRec(ScCrossRec.Params.build(SHORT | values, presets=presets, owner="test"))
    return CASE.fit(method, small())


# Graph.


def test_candidates_are_the_pairs_within_the_distance():
    rng = np.random.default_rng(0)
    sites = GenomeSites(("a", "b"), rng.integers(-1, 2, 20), rng.integers(-1, 2, 60),
                  np.where(rng.random(20) < 0.2, -1, rng.integers(0, 10_000, 20)),
                  rng.integers(0, 10_000, 60))  # fmt: skip
    near = (sites.gene_chrom[:, None] == sites.peak_chrom) & (sites.gene_chrom >= 0)[:, None]
    apart = np.abs(sites.centre[None, :] - sites.tss[:, None])
    whole = candidate_pairs(sites, None)
    np.testing.assert_array_equal(whole.to_matrix(np.ones(len(whole)), 60).toarray(), near)
    some = candidate_pairs(sites, 1500)
    within = near & (apart <= 1500) & (sites.tss >= 0)[:, None]
    np.testing.assert_array_equal(some.to_matrix(np.ones(len(some)), 60).toarray(), within)
    np.testing.assert_array_equal(some.distance, apart[some.gene, some.peak])


def test_missing_and_disjoint_chromosomes_raise():
    missing, disjoint = small(), small()
    del missing["atac"].var["chrom"]
    disjoint["rna"].var["chrom"] = "chrX"
    for data, code in ((missing, "missing_column"), (disjoint, "no_shared_chromosome")):
        with pytest.raises(DataError) as error:
            read_genome_sites(data)
        assert error.value.code == code


def test_a_missing_required_sequence_raises():
    var = small()["atac"].var.drop(columns="sequence")
    assert node_features.read_sequences(var, "auto") is None
    with pytest.raises(DataError) as error:
        node_features.read_sequences(var, "required")
    assert error.value.code == "missing_column"


def test_sequences_as_numbers():
    codes = node_features.ordinal_codes(["ATGCN", "A" * 300])
    assert codes.shape == (2, 256)
    np.testing.assert_allclose(codes[0, :6], [0.25, 0.5, 0.75, 1.0, 0.0, 0.0])
    assert (codes[1] == 0.25).all()
    middle = node_features.central_codes(["C" * 10 + "G" * 256 + "T" * 10])
    assert (middle == 2).all()


def test_few_peaks_and_empty_cells_are_noted():
    data = small()
    counts = data["atac"].X.toarray()
    counts[3] = 0
    data["atac"].X = sp.csr_matrix(counts)
    method = ScCrossRec(ScCrossRec.Params.build(SHORT | {"top_k": 30}, owner="test"))
    ran = CASE.fit(method, data)
    assert "1 of 30 cells have no peaks (first: cell3)" in ran.fit.notes["cells"]
    assert "fewer than top_k=30 peaks on chr1: 22, chr2: 23" in ran.fit.notes["chromosomes"]
    assert np.isfinite(ran.fit.embedding).all()


# Gates of pairs.


def linked(n_cells: int = 400, seed: int = 0):
    """Return expression, peaks, positions and the planted links of 40 genes and 400 peaks."""
    rng = np.random.default_rng(seed)
    centre = np.sort(rng.integers(0, 2_000_000, 400))
    tss = np.sort(rng.integers(100_000, 1_900_000, 40))
    sites = GenomeSites(("a",), np.zeros(40, int), np.zeros(400, int), tss, centre)
    truth = np.zeros((40, 400), bool)
    for gene in range(40):
        near = np.flatnonzero(np.abs(centre - tss[gene]) < 60_000)
        truth[gene, rng.choice(near, 2, replace=False)] = True
    peaks = (rng.random((n_cells, 400)) < rng.uniform(0.02, 0.1, 400)).astype(np.float32)
    rna = np.maximum(2 + 0.8 * peaks @ truth.T + rng.normal(0, 1, (n_cells, 40)), 0)
    return sp.csr_matrix(rna, dtype=np.float32), sp.csr_matrix(peaks), sites, truth


def test_planted_links_are_found():
    from sklearn.metrics import average_precision_score

    rna, peaks, sites, truth = linked()
    found = learn_links(
        candidate_pairs(sites, None),
        StandardizedExpression.of(rna),
        rna,
        peaks,
        np.zeros((400, 0)),
        20,
    )
    z = StandardizedExpression.of(rna)(rna)
    x = peaks.toarray() - peaks.toarray().mean(axis=0)
    correlation = (z.T @ x) / np.sqrt((x**2).sum(axis=0) + 1e-9)
    gates = average_precision_score(truth.ravel(), found.gate_matrix().toarray().ravel())
    plain = average_precision_score(truth.ravel(), correlation.ravel())
    assert gates > 1.1 * plain > 5 * truth.mean()
    # The learned prior falls with the distance.
    assert found.prior[3] > 3 * found.prior[6]


def test_sums_over_cells_follow_the_formula():
    rna, peaks, sites, _ = linked(60)
    pairs = candidate_pairs(sites, 200_000)
    one = learn_links(pairs, StandardizedExpression.of(rna), rna, peaks, np.zeros((60, 0)), 2)
    z_of = StandardizedExpression.of(rna)
    sums = sum_over_cells(one, z_of, rna, peaks, np.zeros((60, 0)))
    x, gates = peaks.toarray(), one.gate_matrix().toarray()
    depth = x.sum(axis=1) / x.sum(axis=1).mean()
    centred = x - np.outer(depth, x.mean(axis=0))
    residual = z_of(rna) - one.effect * (centred @ gates.T)
    cross = residual.T @ centred
    np.testing.assert_allclose(sums.cross, cross[pairs.gene, pairs.peak], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(sums.squares, (residual**2).sum(axis=0), rtol=1e-5)


# Wrong pairs.


@pytest.mark.parametrize("mode", ["random_cell", "lsi_far", "label_easy", "label_hard"])
def test_wrong_pairs_stay_among_the_cells_and_follow_the_rule(mode: str):
    cells = np.arange(5, 45)
    labels = np.arange(50) % 3
    codes = np.arange(50.0)[:, None]
    rng = np.random.default_rng(0)
    pairs = wrong_pairs(cells, mode, 3, rng, components=codes, labels=labels)
    assert pairs.shape == (120, 2)
    assert set(pairs.ravel()) <= set(cells)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    if mode.startswith("label"):
        assert same.all() if mode == "label_hard" else not same.any()
    if mode == "lsi_far":
        assert np.abs(pairs[:, 0] - pairs[:, 1]).min() >= 10
    assert len(wrong_pairs(cells[:1], mode, 1, rng)) == 0


# Translation.


def test_the_count_equals_the_dense_one_with_straight_through_gradients(monkeypatch):
    monkeypatch.setattr("bench.methods.sccrossrec.network._CHUNK", 40)
    torch.manual_seed(0)
    tensors = torch.randn(13, 4), torch.randn(9, 4), torch.randn(13)
    for limit in (0.8, None):
        q, k = (one.clone().requires_grad_() for one in tensors[:2])
        slope = tensors[2].clone()
        slope[::3] = 0
        count = _SigmoidCount.apply(q, k, limit)
        (count * slope).sum().backward()
        p, o = (one.clone().requires_grad_() for one in tensors[:2])
        share = torch.sigmoid(p @ o.T)
        hard = share if limit is None else share + ((share > limit).float() - share).detach()
        (hard.sum(dim=1) * slope).sum().backward()
        torch.testing.assert_close(count, hard.sum(dim=1))
        torch.testing.assert_close(q.grad, p.grad)
        torch.testing.assert_close(k.grad, o.grad)


# The method.


@pytest.mark.parametrize("preset", ["", "faithful"])
def test_all_outputs_of_a_fit_and_of_a_loaded_one(preset: str, tmp_path):
    ran = fitted(preset)
    method, data = ran.method, ran.prepared
    # Mixtures of two and of three states lie in three axes, and 20 are within states; pools of
    # genes and of peaks.
    assert ran.fit.embedding.shape[0] == 30
    assert ran.fit.embedding.shape[1] in ({16} if preset else {21, 22, 23})
    np.testing.assert_allclose(method.transform(data), ran.fit.embedding, rtol=1e-4, atol=1e-5)
    rna, atac = np.array([0, 1, 2, 2]), np.array([0, 1, 5, 2])
    matched = method.match(data, rna, atac)
    translated = method.translate(data["atac"], data["rna"])
    assert matched.shape == (4,)
    assert translated.shape == (30, data["rna"].n_vars)
    assert np.isfinite(translated).all()
    links = method.links(data)
    assert list(links.columns) == ["gene", "peak", "weight"]
    chrom = data["rna"].var["chrom"].loc[links["gene"]].to_numpy()
    assert (chrom == data["atac"].var["chrom"].loc[links["peak"]].to_numpy()).all()
    method.save(tmp_path)
    again = ScCrossRec(method.params)
    again.load(tmp_path)
    np.testing.assert_allclose(again.match(data, rna, atac), matched, rtol=1e-4, atol=1e-5)
    completed = again.translate(data["atac"], data["rna"])
    np.testing.assert_allclose(completed, translated, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(again.transform(data), ran.fit.embedding, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        {"links": "none"}, {"links": "none", "mask_mode": "neg_inf", "alpha_translation": 0.0},
        {"mask_mode": "neg_inf", "neg_mode": "lsi_far", "neg_ratio": 2},
        {"attn_norm": "faithful_sigmoid", "id_start": "normal"}, {"validation": 0.0},
        {"dna": "required", "dna_encoder": "ordinal256"}, {"dna": "required"},
    ],
)  # fmt: skip
def test_other_settings(values: dict):
    ran = fitted(**values)
    assert np.isfinite(ran.fit.embedding).all()
    scores = ran.method.match(ran.prepared, np.arange(4), np.arange(4))
    assert np.isfinite(scores).all()


def test_other_features_are_refused():
    ran = fitted()
    with pytest.raises(DataError) as error:
        ran.method.translate(ran.prepared["atac"][:, ::-1].copy())
    assert error.value.code == "other_features"


def test_contradicting_parameters_raise():
    with pytest.raises(UsageError) as error:
        ScCrossRec.Params.build({"mask_mode": "multiply"}, owner="sccrossrec")
    assert error.value.code == "invalid_value"


def test_labels_are_used_only_by_label_modes():
    for mode in ("random_cell", "lsi_far", "label_easy", "label_hard"):
        method = ScCrossRec(ScCrossRec.Params.build({"neg_mode": mode}, owner="test"))
        assert ("labels" in method.needs()) == mode.startswith("label")


def test_faithful_is_what_was_published():
    p = ScCrossRec.Params.build(presets=("faithful",), owner="sccrossrec")
    assert (p.attn_norm, p.mask_mode, p.top_k) == ("faithful_sigmoid", "multiply", 10)
    assert (p.edge_threshold, p.on_count_threshold, p.alpha_translation) == (0.8, 9, 1)
    assert (p.id_dim, p.hidden, p.dropout) == (256, 128, 0.1)
    assert (p.learning_rate, p.weight_decay, p.max_epochs, p.accumulate) == (5e-4, 1e-5, 99, 1)
    assert (p.links, p.neg_ratio, p.sparse) == ("none", 1, False)


def test_the_published_settings_take_every_gene_and_peak_as_it_is():
    """Nothing is filtered, capped or normalised; the best of 99 epochs is kept."""
    p = ScCrossRec.Params.build(presets=("faithful",), owner="sccrossrec")
    info = SimpleNamespace(parts={
        "rna": SimpleNamespace(n_features=60_000), "atac": SimpleNamespace(n_features=400_000)
    })  # fmt: skip
    recipe = ScCrossRec(p).recipe(info)
    assert recipe == PairedRecipe(Recipe(), Recipe())
    assert (p.max_epochs, p.patience) == (99, 5)
