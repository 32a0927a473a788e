"""Rules and their errors on made-up evidence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from _advice import profile, table

from bench.advice.evaluation import (
    CHOICE,
    choice_regrets,
    choose_rule,
    evaluate_rules,
    rule_regrets,
)
from bench.advice.evidence import make_evidence
from bench.advice.recommendation import recommend
from bench.advice.rules import AdviceCase, best_mean, nearest, rules


def evidence(scores: Mapping[str, list[float]], cells: list[int] | None = None, **more):
    """Evidence on as many RNA datasets as each method has scores."""
    return make_evidence(*table(scores, cells, **more), "rna")


def noise(seed: int, n_sets: int = 12) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    return {name: list(rng.uniform(0.3, 0.7, n_sets)) for name in ("pca", "nmf", "vae", "ae")}


def test_the_method_that_is_always_best_is_advised():
    usual = [0.5, 0.4, 0.6, 0.5, 0.3, 0.5, 0.6]
    made = evidence({"pca": usual, "nmf": [0.8] * 7, "ae": [0.1] * 7})
    found = recommend(made, profile("mine"))
    assert (found.method, found.rule, found.reason) == ("nmf", "best_mean", "rule")
    assert found.errors is not None
    assert found.errors.choice.mean_regret == 0
    assert found.errors.choice.n_close == 7
    assert found.errors.choice.gain_low > 0
    assert found.errors.baseline.n_close == 0


def by_size() -> tuple[dict[str, list[float]], list[int]]:
    """``nmf`` is best on small data, ``ae`` on large data, and both are poor elsewhere."""
    cells = [300, 320, 340, 360, 380, 90_000, 91_000, 92_000, 93_000, 94_000]
    small = np.array(cells) < 1000
    scores = {"pca": [0.5] * 10, "nmf": np.where(small, 0.8, 0.1), "ae": np.where(small, 0.1, 0.8)}
    return {name: list(values) for name, values in scores.items()}, cells


@pytest.mark.parametrize(("cells", "method"), [(310, "nmf"), (80_000, "ae")])
def test_where_the_best_method_depends_on_size_the_nearest_datasets_decide(cells, method):
    found = recommend(evidence(*by_size()), profile("mine", cells=cells))
    assert (found.method, found.rule, found.reason) == (method, "nearest", "rule")
    assert found.errors is not None
    errors = {one.rule: one for one in found.errors.rules}
    assert errors["nearest"].beats_baseline
    assert errors["nearest"].mean_regret == pytest.approx(0)
    assert not errors["best_mean"].beats_baseline
    assert found.cost is not None
    assert found.cost.least_cells <= cells * 1.2
    assert found.cost.most_cells < 2 * cells


@pytest.mark.parametrize("seed", range(5))
def test_noise_gives_the_baseline(seed: int):
    found = recommend(evidence(noise(seed)), profile("mine"))
    assert (found.method, found.reason) == ("pca", "no_better_rule")
    assert found.errors is not None
    assert found.errors.choice.gain_low < 0


def test_the_choice_of_a_rule_does_not_see_the_dataset_that_it_is_judged_on():
    """Of many rules on noise the best in hindsight looks better than the nested choice."""
    gaps = []
    for seed in range(20):
        errors = evaluate_rules(evidence(noise(seed)))
        gaps.append(errors.choice.mean_regret - min(one.mean_regret for one in errors.rules))
    assert min(gaps) >= -1e-12
    assert np.mean(gaps) > 0.01


def test_the_left_out_dataset_does_not_advise_itself():
    """One dataset alone makes ``nmf`` the best on average; it must not do so for itself."""
    scores = {"pca": [0.5] * 7, "nmf": [1.0, 0.45, 0.45, 0.45, 0.45, 0.45, 0.45]}
    made = evidence(scores)
    assert best_mean(made, AdviceCase(profile("mine"), frozenset(scores))) == "nmf"
    assert rule_regrets(made, best_mean) == pytest.approx([0.5] + [0.05] * 6)
    assert recommend(made, profile("set0")).method == "pca"
    same_counts = profile("renamed", cells=made.profiles[0].n_cells)
    assert recommend(made, same_counts).n_sets == 6
    assert recommend(made, profile("mine", cells=5)).n_sets == 7


def test_nested_regrets_by_hand():
    """The rule that the other datasets choose is applied, not the best of all datasets."""
    scores = {"pca": [0.5] * 7, "nmf": [0.0, *[0.9] * 6]}
    made = evidence(scores)
    assert choose_rule(made) == "best_mean"
    expected = [rule_regrets(made, rules()[choose_rule(made.leave_out(row))])[row]
                for row in range(7)]  # fmt: skip
    assert choice_regrets(made) == pytest.approx(expected)
    assert choice_regrets(made)[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "more",
    [
        {"family": {"nmf": "control"}},
        {"family": {"nmf": "precomputed"}},
        {"uses": {"nmf": "labels"}},
        {"uses": {"nmf": "batch,n_clusters"}},
        {"uses": {"nmf": "markers"}},
    ],
)
def test_a_control_or_a_method_with_knowledge_of_the_types_is_never_advised(more):
    scores = {"pca": [0.5] * 8, "nmf": [1.0] * 8, "ae": [0.4] * 8}
    made = evidence(scores, **more)
    assert "nmf" not in made.methods
    found = recommend(made, profile("mine"))
    assert found.method == "pca"
    assert {one.best for one in found.nearest} == {"pca"}
    assert recommend(evidence(scores, uses={"nmf": "batch"}), profile("mine")).method == "nmf"


def test_a_method_with_a_failed_seed_is_not_advised():
    scores = {"pca": [0.5] * 8, "nmf": [0.9] * 8}
    failed = {"nmf": [0] * 7 + [1]}
    assert recommend(evidence(scores, failed=failed), profile("mine")).method == "pca"


def test_a_method_that_fails_where_it_is_advised_counts_as_zero():
    scores = {"pca": [0.5] * 7, "nmf": [0.9] * 7}
    made = evidence(scores, failed={"nmf": [1] + [0] * 6})
    assert rule_regrets(made, best_mean) == pytest.approx([0.5] + [0.4] * 6)


def test_a_method_that_ran_on_some_datasets_is_compared_there_but_not_advised():
    gap = float("nan")
    made = evidence({"pca": [0.5] * 8, "heavy": [0.9, 0.9, 0.9] + [gap] * 5})
    case = AdviceCase(profile("mine", cells=1), frozenset(made.methods))
    assert best_mean(made, case) == "pca"
    assert nearest(made, case) == "pca"
    assert rule_regrets(made, best_mean) == pytest.approx([0.4] * 3 + [0] * 5)


def test_few_datasets_judge_no_rule():
    found = recommend(evidence({"pca": [0.1] * 5, "nmf": [0.9] * 5}), profile("mine"))
    assert (found.method, found.reason, found.errors) == ("pca", "few_sets", None)
    empty = recommend(make_evidence(*table({"pca": [0.1]}), "atac"), profile("mine", "atac"))
    assert (empty.method, empty.cost, empty.nearest) == ("lsi", None, ())


def label_free_scores(heavy: bool = False):
    """The score of a light method is high exactly where its ARI is."""
    rng = np.random.default_rng(0)
    better = rng.permutation([True, False] * 6)
    high, low = np.where(better, 0.9, 0.1), np.where(better, 0.1, 0.9)
    scores = {"pca": [0.5] * 12, "nmf": high, "ae": low}
    cost = {"nmf": "heavy", "ae": "heavy"} if heavy else {}
    return evidence(
        {name: list(values) for name, values in scores.items()},
        cost=cost, label_free={"leiden/silhouette": scores},
    )  # fmt: skip


def test_a_rule_that_needs_runs_on_the_data_is_named_and_the_baseline_advised():
    found = recommend(label_free_scores(), profile("mine"))
    assert found.rule == "label_free:leiden/silhouette"
    assert (found.method, found.reason) == ("pca", "needs_runs")
    assert found.errors is not None
    assert found.errors.choice.beats_baseline


def test_label_free_scores_of_heavy_methods_are_not_used():
    errors = evaluate_rules(label_free_scores(heavy=True))
    (rule,) = (one for one in errors.rules if one.rule.startswith("label_free:"))
    assert rule.gain == 0


def test_scores_that_no_dataset_has_are_no_rule():
    errors = evaluate_rules(evidence(noise(0)))
    assert [one.rule for one in errors.rules] == ["baseline", "best_mean", "nearest"]
    assert errors.choice.rule == CHOICE


def test_of_datasets_that_share_cells_one_counts():
    results, facts = table({"pca": [0.5] * 3, "nmf": [0.6] * 3})
    names = {"set1": "set0_2100", "set2": "set0[thin=0.1]"}
    results["dataset"] = results["dataset"].replace(names)
    facts["dataset"] = facts["dataset"].replace(names)
    made = make_evidence(results, facts, "rna")
    assert [one.dataset for one in made.profiles] == ["set0"]
    assert made.without(profile("set0_2100", cells=9)).profiles == ()
    assert made.without(profile("set0[cells=500]", cells=9)).profiles == ()
    # A file may be called anything.
    assert made.without(profile("set0_2100", cells=9), by_name=False).profiles == made.profiles
    assert made.without(profile("x", cells=1000), by_name=False).profiles == ()


def test_the_only_dataset_advises_the_baseline_for_itself():
    results, facts = table({"pca": [0.5], "nmf": [0.6]})
    found = recommend(make_evidence(results, facts, "rna"), profile("set0"))
    assert (found.method, found.reason, found.n_sets) == ("pca", "few_sets", 0)
    assert found.cost is None
    assert found.nearest == ()


def test_a_dataset_without_a_score_of_the_baseline_is_left_out():
    results, facts = table({"pca": [0.5] * 3, "nmf": [0.6] * 3})
    results = results[(results["dataset"] != "set1") | (results["method"] != "pca")]
    made = make_evidence(pd.DataFrame(results), facts, "rna")
    assert [one.dataset for one in made.profiles] == ["set0", "set2"]
