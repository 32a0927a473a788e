"""Agreement metrics against hand computation, scikit-learn and their own mathematics."""

from __future__ import annotations

from itertools import permutations
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scoring.metrics import UndefinedMetric, metrics
from bench.scoring.metrics.accuracy import accuracy
from bench.scoring.metrics.macro_f1 import macro_f1
from bench.scoring.metrics.n_clusters import n_clusters
from bench.scoring.metrics.rare_f1 import rare_f1

AGREEMENT = ["ari", "nmi", "ami", "homogeneity", "completeness", "v_measure"]
MATCHING = ["accuracy", "macro_f1"]
ALL = metrics()


def value(name, true, predicted):
    result = ALL[name].function(true, predicted)
    return result[0] if isinstance(result, tuple) else result


@st.composite
def labelings(draw, max_cells=40, max_labels=5):
    """A pair of labelings; the true one has at least two types."""
    n = draw(st.integers(2, max_cells))
    label = st.integers(0, max_labels - 1)
    true = draw(st.lists(label, min_size=n, max_size=n).filter(lambda t: len(set(t)) > 1))
    return np.array(true), np.array(draw(st.lists(label, min_size=n, max_size=n)))


# Types a a a b b b c, clusters 0 0 1 1 1 1 2: table [[2, 1, 0], [0, 3, 0], [0, 0, 1]].
TRUE = np.array(list("aaabbbc"))
PREDICTED = np.array([0, 0, 1, 1, 1, 1, 2])


def test_ari_by_hand():
    # Pairs together in both: 1 + 3 = 4; in types: 3 + 3 = 6; in clusters: 1 + 6 = 7; all: 21.
    expected = 6 * 7 / 21
    assert value("ari", TRUE, PREDICTED) == pytest.approx((4 - expected) / (6.5 - expected))


def test_entropies_by_hand():
    def entropy(*counts):
        return -sum(c / 7 * log(c / 7) for c in counts)

    types, clusters, joint = entropy(3, 3, 1), entropy(2, 4, 1), entropy(2, 1, 3, 1)
    mutual = types + clusters - joint
    assert value("nmi", TRUE, PREDICTED) == pytest.approx(2 * mutual / (types + clusters))
    assert value("homogeneity", TRUE, PREDICTED) == pytest.approx(mutual / types)
    assert value("completeness", TRUE, PREDICTED) == pytest.approx(mutual / clusters)
    assert value("v_measure", TRUE, PREDICTED) == pytest.approx(2 * mutual / (types + clusters))


def test_matching_by_hand():
    # a-0, b-1, c-2: 6 of 7 right; F1 = 4/5, 6/7, 1.
    assert accuracy(TRUE, PREDICTED) == pytest.approx(6 / 7)
    assert macro_f1(TRUE, PREDICTED) == pytest.approx((4 / 5 + 6 / 7 + 1) / 3)
    assert n_clusters(TRUE, PREDICTED) == 3


def test_type_without_cluster_has_f1_zero():
    # One cluster of all: matched to the larger type, F1 = 2·3 / (3 + 5).
    assert macro_f1([0, 0, 0, 1, 1], [7] * 5) == pytest.approx((6 / 8 + 0) / 2)
    assert accuracy([0, 0, 0, 1, 1], [7] * 5) == pytest.approx(3 / 5)


def test_cluster_without_type_costs_recall_only():
    # Type 0 is split in two clusters of 2; one is matched.
    true, predicted = [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2]
    assert accuracy(true, predicted) == pytest.approx(4 / 6)
    assert macro_f1(true, predicted) == pytest.approx((2 * 2 / (4 + 2) + 1) / 2)


def test_ties_between_matchings_do_not_depend_on_names():
    # Both matchings have 4 cells right, their F1 differ: the better one is taken for any order.
    table = np.array([[2, 2, 0], [2, 2, 4]])
    found = set()
    for order in permutations(range(3)):
        true, predicted = [], []
        for i in range(2):
            for j in range(3):
                true += [i] * table[i, j]
                predicted += [order[j]] * table[i, j]
        found.add(round(macro_f1(true, predicted), 12))
    assert found == {round((2 * 2 / 8 + 2 * 4 / 12) / 2, 12)}


@given(labelings(max_cells=25, max_labels=4))
def test_accuracy_equals_brute_force(pair):
    true, predicted = pair
    table = np.zeros((4, 4), dtype=int)
    np.add.at(table, (true, predicted), 1)
    best = max(table[range(4), list(p)].sum() for p in permutations(range(4)))
    assert accuracy(true, predicted) == pytest.approx(best / len(true))


@given(labelings())
def test_equal_to_scikit_learn(pair):
    import sklearn.metrics as reference

    names = {
        "ari": reference.adjusted_rand_score,
        "nmi": reference.normalized_mutual_info_score,
        "ami": reference.adjusted_mutual_info_score,
        "homogeneity": reference.homogeneity_score,
        "completeness": reference.completeness_score,
        "v_measure": reference.v_measure_score,
    }
    for name, function in names.items():
        assert value(name, *pair) == pytest.approx(function(*pair), abs=1e-12)


@given(labelings(), st.permutations(range(5)), st.integers(0, 1000))
def test_names_and_order_do_not_matter(pair, names, seed):
    true, predicted = pair
    order = np.random.default_rng(seed).permutation(len(true))
    renamed = np.array([f"cluster {names[c]}" for c in predicted])[order]
    types = np.array([f"type {names[t]}" for t in true], dtype=object)[order]
    for name in [*AGREEMENT, *MATCHING, "n_clusters"]:
        assert value(name, types, renamed) == pytest.approx(value(name, true, predicted), abs=1e-9)


@given(labelings())
def test_perfect_is_one_and_values_keep_their_bounds(pair):
    true, predicted = pair
    for name in [*AGREEMENT, *MATCHING]:
        assert value(name, true, true) == pytest.approx(1)
        low, high = ALL[name].bounds
        assert low - 1e-9 <= value(name, true, predicted) <= high + 1e-9


@pytest.mark.parametrize("name", ["ari", "ami"])
def test_random_is_about_zero(name):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 6, 3000)
    values = [value(name, true, rng.integers(0, 9, 3000)) for _ in range(5)]
    assert abs(np.mean(values)) < 0.005


@pytest.mark.parametrize("name", AGREEMENT)
def test_one_type_is_missing_with_a_reason(name):
    with pytest.raises(UndefinedMetric, match="same true type"):
        ALL[name].function([1, 1, 1, 1], [0, 0, 1, 1])


@pytest.mark.parametrize("name", ["ari", "nmi", "ami", "homogeneity"])
def test_one_cluster_is_worth_nothing(name):
    assert value(name, [0, 0, 1, 1], [3, 3, 3, 3]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", [*AGREEMENT, *MATCHING, "n_clusters", "rare_f1"])
def test_no_cells_and_unequal_lengths(name):
    with pytest.raises(UndefinedMetric):
        ALL[name].function(np.array([], dtype=int), np.array([], dtype=int))
    with pytest.raises(ValueError, match="3"):
        ALL[name].function([0, 1, 1], [0, 1])


def test_rare_f1_by_hand():
    # 100 cells: types of 96, 3 and 1. Rare is the one of 3: two of its cells share a cluster
    # with one other cell (F1 = 2·2 / (3 + 3)); the single cell is too few.
    true = ["big"] * 96 + ["rare"] * 3 + ["single"]
    predicted = [0] * 95 + [1, 1, 1, 0, 0]
    assert rare_f1(true, predicted) == (pytest.approx(4 / 6), {"types": 1.0})


def test_rare_types_can_share_a_cluster_and_five_percent_is_not_rare():
    true = ["big"] * 92 + ["r1"] * 4 + ["r2"] * 4
    merged = [0] * 92 + [1] * 8
    assert rare_f1(true, merged) == (pytest.approx(2 * 4 / 12), {"types": 2.0})
    with pytest.raises(UndefinedMetric, match="5 %"):
        rare_f1(["a"] * 95 + ["b"] * 5, [0] * 100)
