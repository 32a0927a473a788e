"""scCrossRec: states, the weight of evidence, and what must come back from a simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from bench.contract import MULTIOME, select_cells
from bench.methods.cca import CCA
from bench.methods.sccrossrec import ScCrossRec, calibration, evidence
from bench.methods.sccrossrec import state_mixture as states
from bench.methods.sccrossrec.within_states import WithinAxes
from bench.testing.case import Case


def counts(seed: int = 0, n_cells: int = 200):
    """Return counts of 60 genes and 400 peaks of cells in three states, and the states."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n_cells) % 3
    parts = []
    for n, depth in ((60, 300.0), (400, 100.0)):
        profile = rng.gamma(1.0, 1.0, n) * np.exp(rng.normal(0, 0.8, (3, n)))
        profile /= profile.sum(axis=1, keepdims=True)
        size = depth * rng.lognormal(0, 0.4, n_cells)
        parts.append(sp.csr_matrix(rng.poisson(profile[kind] * size[:, None]).astype(float)))
    return *parts, kind


def test_states_are_recovered_and_rank_pairs():
    from sklearn.metrics import adjusted_rand_score

    rna, atac, kind = counts()
    mixture = states.fit_mixture(rna[:150], atac[:150], np.ones(60), 3, seed=0)
    both = mixture.of_rna(rna) + mixture.of_atac(atac)
    assert adjusted_rand_score(kind, (both + mixture.log_share).argmax(axis=1)) > 0.95
    np.testing.assert_allclose(mixture.genes.sum(axis=1), 1.0)
    unseen = np.arange(150, 200)
    first, second = mixture.of_rna(rna[unseen]), mixture.of_atac(atac[unseen])
    same = kind[unseen] == np.roll(kind[unseen], 1)
    assert not same.any()
    right, wrong = (
        mixture.evidence(first, second),
        mixture.evidence(first, np.roll(second, 1, axis=0)),
    )
    assert np.mean(right > wrong) > 0.95


def evidence_of_states(rna: sp.csr_matrix, atac: sp.csr_matrix) -> evidence.Evidence:
    """Return the evidence of mixtures of two and three states, without links."""
    precision = states.gene_precision(rna)
    mixtures = [states.fit_mixture(rna, atac, precision, size, seed=0) for size in (2, 3)]
    depths = np.array([one.sum() / rna.shape[0] for one in (rna, atac)])
    return evidence.Evidence(mixtures, None, None, np.array([0.0, 1.0, 1.0, 1.0]), depths)


def test_coordinates_are_the_mode_of_the_likelihood_near_the_mean_profile():
    """Score and information against differences of the quasi-likelihood."""
    rna, atac, _ = counts(2, 60)
    found = evidence_of_states(rna, atac)
    axes = found._axes()
    cells = evidence.Profiles(rna, rna, atac)
    score, information = axes.likelihood(cells)

    def log_likelihood(z: np.ndarray) -> np.ndarray:
        total = np.zeros(rna.shape[0])
        for part, one in enumerate((rna, atac)):
            log_profile = np.log(axes.overall[part]) + z @ axes.changes[part]
            depth = np.asarray(one.sum(axis=1)).ravel()
            total += one @ (axes.precision[part] * log_profile)
            total -= depth * (axes.precision[part] * np.exp(log_profile)).sum()
        return total

    step, unit = 1e-4, np.eye(len(axes.size))
    at_zero = log_likelihood(np.zeros(len(unit)))
    for number, direction in enumerate(unit):
        up, down = log_likelihood(step * direction), log_likelihood(-step * direction)
        np.testing.assert_allclose(
            score[:, number], (up - down) / (2 * step), rtol=1e-4, atol=1e-3
        )
        second = -(up + down - 2 * at_zero) / step**2
        np.testing.assert_allclose(information[:, number, number], second, rtol=1e-3, atol=1e-3)


def test_axes_within_states_are_those_of_the_residuals():
    """Against the dense matrix; ``A x`` and ``Aᵀ y`` of the implicit one agree with it."""
    rna, atac, _ = counts(4, 80)
    found = evidence_of_states(rna, atac)
    cells = evidence.Profiles(rna, rna, atac)
    axes = WithinAxes.fit(cells, found.mixtures, np.array([0.3, 0.7]), 5)
    dense = []
    for part, (one, matrix) in enumerate((("genes", rna), ("peaks", atac))):
        expected = 0.0
        for weight, mixture in zip((0.3, 0.7), found.mixtures, strict=True):
            joint = mixture.of_rna(rna) + mixture.of_atac(atac)
            share = mixture.posterior(joint) + np.exp(mixture.log_share)
            expected = expected + weight * share @ getattr(mixture, one)
        first = found.mixtures[0]
        overall = np.exp(first.log_share) @ getattr(first, one)
        precision = first.weight if part == 0 else 1.0
        depth = np.asarray(matrix.sum(axis=1)).reshape(-1, 1)
        residual = matrix.toarray() - depth * expected
        dense.append(residual * np.sqrt(precision / overall) / np.sqrt(depth))
    residuals = np.column_stack(dense)
    u, _, _ = np.linalg.svd(residuals, full_matrices=False)
    where = axes.coordinates(cells, found.mixtures, np.array([0.3, 0.7]))
    plain = u[:, :5] * np.sqrt(80)
    plain = plain - plain.mean(axis=0)
    sign = np.sign((plain * where).sum(axis=0))
    np.testing.assert_allclose(where, plain * sign, atol=1e-5)


def test_coordinates_tell_states_and_keep_cells_apart():
    """Deep cells, whose states are certain, are points of their own."""
    from sklearn.metrics import adjusted_rand_score

    from bench.scoring.clustering import kmeans, leiden

    rna, atac, kind = counts(3, 240)
    found = evidence_of_states(rna[:160], atac[:160])
    unseen = evidence.Profiles(rna[160:], rna[160:], atac[160:])
    found.variance = found.axis_variance(unseen)
    # Three states differ along two directions.
    assert (found.variance[:2] > 1).all()
    assert found.variance[2:].max(initial=0.0) < found.variance[1] / 10
    where = found.coordinates(evidence.Profiles(rna, rna, atac))
    assert len(np.unique(where.round(4), axis=0)) == 240
    assert adjusted_rand_score(kind, kmeans(where, 3, 0)) > 0.8
    # With axes within states, graphs of neighbours hold states together.
    pieces = adjusted_rand_score(kind, leiden(where, 0))
    found.add_within_axes(evidence.Profiles(rna, rna, atac))
    both = found.coordinates(evidence.Profiles(rna, rna, atac))
    np.testing.assert_array_equal(both[:, : where.shape[1]], where)
    np.testing.assert_allclose(both[:, where.shape[1] :].std(axis=0), 1, rtol=0.05)
    for labels in (kmeans(both, 3, 0), leiden(both, 0)):
        assert adjusted_rand_score(kind, labels) > max(0.8, pieces)
    found.within = None
    # The fewer counts, the nearer to the middle.
    rng = np.random.default_rng(0)
    few = [sp.csr_matrix(rng.binomial(one.toarray().astype(int), 0.05)) for one in (rna, atac)]
    shallow = found.coordinates(evidence.Profiles(few[0], few[0], few[1]))
    assert np.linalg.norm(shallow, axis=1).mean() < 0.7 * np.linalg.norm(where, axis=1).mean()


def test_the_ratio_of_a_pair_is_that_of_the_formula():
    rna, atac, _ = counts(1, 30)
    mixture = states.fit_mixture(rna, atac, states.gene_precision(rna), 3, seed=0)
    first, second = mixture.of_rna(rna), mixture.of_atac(atac)
    row = np.log(mixture.genes) * mixture.weight @ rna[4].toarray()[0]
    depth = rna[4].sum() * (mixture.genes * mixture.weight).sum(axis=1)
    np.testing.assert_allclose(first[4], row - depth)
    share, r, a = (
        np.exp(mixture.log_share),
        np.exp(first[4] - first[4].max()),
        np.exp(second[4] - second[4].max()),
    )
    expected_ratio = np.log((share * r * a).sum()) - np.log((share * r).sum() * (share * a).sum())
    np.testing.assert_allclose(mixture.evidence(first, second)[4], expected_ratio)


def test_precision_is_low_where_counts_vary_more_than_poisson():
    rng = np.random.default_rng(0)
    mean = np.full((400, 20), 5.0)
    mean[:, 10:] *= rng.gamma(2.0, 0.5, (400, 10))
    found = states.gene_precision(sp.csr_matrix(rng.poisson(mean).astype(float)))
    assert found[:10].min() > 0.7 > 0.5 > found[10:].max()


def test_weights_are_those_of_the_true_log_odds_and_never_negative():
    rng = np.random.default_rng(0)
    right = np.arange(4000) % 2 == 0
    useful = rng.normal(np.where(right, 1.0, -1.0), 1.0)
    ratios = np.column_stack([useful, -useful + 2 * rng.normal(size=4000), rng.normal(size=4000)])
    found = evidence.stacking_weights(ratios, right)
    np.testing.assert_allclose(found[1], 2.0, rtol=0.15)
    assert found[2] == 0
    assert abs(found[3]) < 0.1


def test_the_network_gets_a_weight_only_if_it_helps():
    rng = np.random.default_rng(0)
    right = np.arange(200) < 50
    known = rng.normal(np.where(right, 1.0, 0.0), 1.0)
    noise, helps = rng.normal(size=200), rng.normal(np.where(right, 1.5, 0.0), 1.0)
    np.testing.assert_array_equal(calibration.blend_weights(noise, known, right), [0, 0, 1])
    assert (calibration.blend_weights(helps, known, right)[1:] > 0).all()


def test_detection_slopes_are_recovered():
    rng = np.random.default_rng(0)
    rate, depth = rng.uniform(0.2, 0.8, 30), rng.lognormal(0, 0.5, 300)
    expected = rng.normal(0, 0.5, (300, 30))
    odds = calibration.detection_log_odds(rate, np.array([0.8, 0.5]), expected, depth)
    detected = rng.random((300, 30)) < 1 / (1 + np.exp(-odds))
    found = calibration.detection_slopes(rate, expected, depth, detected)
    np.testing.assert_allclose(found, [0.8, 0.5], atol=0.1)


@pytest.mark.slow
def test_planted_links_and_pairs_of_unseen_cells_are_recovered():
    """On ``sim_multiome[preset=links]``; the network, of no use there, is not trained."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    from bench.data.rare_cells import draw_training_cells
    from bench.datasets.sim_multiome import SimMultiome

    data = SimMultiome(SimMultiome.Params.build(presets=("links",), owner="test")).load()
    seen = draw_training_cells(data["rna"].obs["cell_type"].to_numpy(), 0.8, 0)
    n = int((~seen).sum())
    pairs = np.repeat(np.arange(n), n), np.tile(np.arange(n), n)
    reached = {}
    for cls, values in ((ScCrossRec, {"max_epochs": 0}), (CCA, {})):
        case, method = Case(cls, MULTIOME), cls(cls.Params.build(values, owner="test"))
        whole = case.prepared(method, data)
        train, unseen = (select_cells(whole, np.flatnonzero(one)) for one in (seen, ~seen))
        case.fit(method, train, prepared=train)
        reached[cls.name] = roc_auc_score(pairs[0] == pairs[1], method.match(unseen, *pairs))
        if cls is ScCrossRec:
            gates, fitted = method._model.link_weights(train).toarray(), train
    assert reached["sccrossrec"] > 0.8
    assert reached["sccrossrec"] > reached["cca"] + 0.05
    truth = np.zeros(gates.shape, dtype=bool)
    links = data.uns["truth"]["links"]
    names = [fitted[part].var_names for part in ("rna", "atac")]
    places = [
        one.get_indexer(links[key]) for one, key in zip(names, ("gene", "peak"), strict=True)
    ]
    there = (places[0] >= 0) & (places[1] >= 0)
    truth[places[0][there], places[1][there]] = True
    found = average_precision_score(truth.ravel(), gates.ravel())
    z = fitted["rna"].X.toarray()
    x = fitted["atac"].X.toarray()
    z, x = (one - one.mean(axis=0) for one in (z, x))
    size = np.outer(np.linalg.norm(z, axis=0), np.linalg.norm(x, axis=0))
    plain = (z.T @ x) / np.maximum(size, 1e-9)
    near = gates > 0
    correlated = average_precision_score(truth[near], plain[near])
    assert found > 5 * truth.mean()
    assert average_precision_score(truth[near], gates[near]) > max(
        correlated, 5 * truth[near].mean()
    )
