"""Ranks and pairs against the libraries and by hand."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.reports.figures import rank_diagram as ranks
from bench.reports.page.pairwise_section import choice, pairs, rank_biserial
from bench.reports.tables.statistics import average_ranks, critical_difference, friedman


@pytest.fixture
def many(make_job):
    """Four methods on eight datasets, three seeds, and a control."""
    rng = np.random.default_rng(3)
    quality = {"a": 0.8, "b": 0.75, "c": 0.5, "d": 0.2, "random": 0.0}
    rows = [
        make_job(
            name, f"d{d}", seed, ari=value + rng.normal() * 0.04,
            family="control" if name == "random" else "x",
        )
        for name, value in quality.items() for d in range(8) for seed in range(3)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def deltas(results, first, second, dataset):
    rows = results[results["dataset"] == dataset].pivot(
        index="seed", columns="method", values="kmeans/ari"
    )
    return (rows[first] - rows[second]).to_numpy()


def test_pairs_on_one_dataset_are_paired_by_seed(many):
    found = pairs(many)
    assert "random" not in set(found["method"]) | set(found["against"])
    row = found[(found["on"] == "d0") & (found["method"] == "a") & (found["against"] == "d")]
    (row,) = row.to_dict("records")
    own = deltas(many, "a", "d", "d0")
    assert row["difference"] == pytest.approx(own.mean())
    assert row["p"] == pytest.approx(stats.ttest_1samp(own, 0).pvalue)
    # All resamples of three pairs, 27 of them, lie between the ends of the data.
    assert own.min() <= row["low"] <= own.mean() <= row["high"] <= own.max()
    assert row["effect"] == 1


def test_pairs_over_datasets_agree_with_scikit_posthocs(many):
    import scikit_posthocs

    found = pairs(many)
    found = found[found["on"] == "all datasets"].set_index(["method", "against"])
    (block,) = ranks.blocks(many).values()
    expected = scikit_posthocs.posthoc_wilcoxon(block.to_numpy(), p_adjust="holm")
    expected.index = expected.columns = block.index
    assert len(found) == 6
    for first, second in found.index:
        p = found.at[(first, second), "p_holm"]
        assert p == pytest.approx(expected.at[first, second])


def test_few_pairs_have_a_reason_instead_of_a_p(many):
    few = many[many["dataset"].isin(["d0", "d1"]) & (many["seed"] < 2)]
    found = pairs(few).set_index("on")
    assert found["p"].isna().all()
    assert found.loc["d0", "why"].eq("fewer than 3 seeds in common").all()
    assert found.loc["all datasets", "why"].str.contains("2 datasets").all()
    assert found["difference"].notna().all()


def test_methods_without_a_common_seed_are_not_compared(make_job):
    rows = [make_job("a", seed=s, ari=0.5) for s in (0, 1)]
    rows += [make_job("b", seed=s, ari=0.4) for s in (2, 3)]
    (row,) = pairs(pd.DataFrame(rows)).to_dict("records")
    assert row["why"] == "no seed in common"
    assert math.isnan(row["difference"])


@pytest.mark.parametrize(
    ("values", "effect"), [([1, 2, 3], 1), ([-1, -2, -3], -1), ([1, -2, 3], 2 / 6), ([0, 0], 0)]
)
def test_rank_biserial_by_hand(values, effect):
    assert rank_biserial(np.array(values, dtype=float)) == pytest.approx(effect)


def test_all_datasets_come_first(many):
    options = choice(many).selectors[0][1]
    assert options[0] == "all datasets"
    assert len(options) == 9


def test_nemenyi_agrees_with_the_critical_difference(many):
    (block,) = ranks.blocks(many).values()
    mean_ranks = average_ranks(block)
    cd = critical_difference(*block.shape)
    p = ranks.nemenyi(block)
    for first in block.index:
        for second in block.index:
            apart = abs(mean_ranks[first] - mean_ranks[second])
            assert (p.at[first, second] < 0.05) == (apart > cd)


def test_the_diagram_draws_a_bar_for_each_group_of_scikit_posthocs(many):
    (found,) = ranks.ranks(many)
    for name, rank in average_ranks(next(iter(ranks.blocks(many).values()))).items():
        assert f"{name} ({rank:.2f})" in found.svg or f"({rank:.2f}) {name}" in found.svg
    assert "#000000" not in found.svg
    assert "currentColor" in found.svg


@pytest.mark.parametrize("n_datasets", [1, 2])
def test_two_datasets_have_a_sentence_and_no_diagram(many, n_datasets):
    few = many[many["dataset"].isin([f"d{i}" for i in range(n_datasets)])]
    (found,) = ranks.ranks(few)
    assert found.svg == ""
    assert "no test is made" in found.sentence


DEMSAR = """
C4.5     .763 .599 .954 .628 .882 .936 .661 .583 .775 1.00 .940 .619 .972 .957
C4.5+m   .768 .591 .971 .661 .888 .931 .668 .583 .838 1.00 .962 .666 .981 .978
C4.5+cf  .771 .590 .968 .654 .886 .916 .609 .563 .866 1.00 .965 .614 .975 .946
C4.5+m+cf .798 .569 .967 .657 .898 .931 .685 .625 .875 1.00 .962 .669 .9749 .970
"""
"""AUC of four variants of C4.5 on 14 datasets: Demšar 2006, table 6.

.9749 is printed as .975 but ranked behind the other .975, so it was less before rounding.
"""


def test_the_example_of_demsar(make_job):
    rows = [
        make_job(line.split()[0], f"d{i}", ari=float(value))
        for line in DEMSAR.strip().splitlines() for i, value in enumerate(line.split()[1:])
    ]  # fmt: skip
    (block,) = ranks.blocks(pd.DataFrame(rows)).values()
    mean_ranks = average_ranks(block)
    # As printed: ranks below the table, chi-squared (not corrected for ties) and CD in the text.
    assert mean_ranks.round(3).tolist() == [3.143, 2.0, 2.893, 1.964]
    assert 12 * 14 / 20 * ((mean_ranks**2).sum() - 25) == pytest.approx(9.28, abs=0.005)
    assert friedman(block)[0] == pytest.approx(stats.friedmanchisquare(*block.to_numpy())[0])
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, 0.9) == pytest.approx(1.12, abs=0.005)
    # Figure 1a of the paper: apart at 10 %, none at 5 %.
    p = ranks.nemenyi(block)
    apart = {two for two in combinations(block.index, 2) if p.at[two] < 0.1}
    assert apart == {("C4.5", "C4.5+m"), ("C4.5", "C4.5+m+cf")}
    assert (p.to_numpy() > 0.05).all()
    (found,) = ranks.ranks(pd.DataFrame(rows))
    for name, rank in mean_ranks.items():
        assert f"({rank:.2f})" in found.svg
        assert name in found.svg
    (bar,) = _bars(ranks.diagram(block))
    assert bar == pytest.approx((1.964, 3.143), abs=0.001)


def _bars(figure) -> list[tuple[float, float]]:
    """The bars of a diagram: which ranks they join."""
    (axes,) = figure.axes
    lines = [line.get_xdata() for line in axes.get_lines() if len(set(line.get_ydata())) == 1]
    return [(min(x), max(x)) for x in lines]
