"""Pairs and the diagram of ranks show what the claims of the report are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from bench.reports.figures import rank_diagram as ranks
from bench.reports.page.pairwise_section import pair_section, pairwise_differences
from bench.reports.tables.leaderboard import leaderboard


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


def test_pairs_hold_each_two_competing_methods_once(many):
    found = pairwise_differences(many)
    assert "random" not in set(found["method"]) | set(found["compared_with"])
    assert found.groupby("dataset").size().tolist() == [6] * 9
    row = found[(found["dataset"] == "all datasets") & (found["compared_with"] == "d")].iloc[0]
    means = many.groupby("method")["kmeans/ari"].mean()
    assert row["difference"] == pytest.approx(means["a"] - means["d"])
    assert row["low"] < row["difference"] < row["high"]
    assert row["reliable"]


def test_pairs_and_letters_make_the_same_claims(many):
    found = pairwise_differences(many)
    found = found[found["dataset"] == "all datasets"]
    letters = leaderboard(many).set_index("method")["tied"]
    for row in found.itertuples():
        shared = set(letters[row.method]) & set(letters[row.compared_with])
        assert row.reliable == (not shared)


def test_few_datasets_or_seeds_have_a_reason(many):
    few = many[many["dataset"].isin(["d0", "d1"]) & (many["seed"] < 1)]
    found = pairwise_differences(few).set_index("dataset")
    assert found["low"].isna().all()
    assert found.loc["d0", "reason"].eq("one seed").all()
    assert found.loc["all datasets", "reason"].str.contains("2 datasets").all()
    assert found["difference"].notna().all()


def test_all_datasets_come_first(many):
    options = pair_section(many).names
    assert options[0] == "all datasets"
    assert len(options) == 9


def test_the_diagram_joins_methods_that_do_not_differ(many):
    (found,) = ranks.rank_sections(many)
    board = leaderboard(many).set_index("method")
    for name in "abcd":
        rank = board.at[name, "mean rank"]
        assert f"{name} ({rank:.2f})" in found.svg or f"({rank:.2f}) {name}" in found.svg
    assert "#000000" not in found.svg
    assert "currentColor" in found.svg
    (group,) = ranks.rank_groups(many)
    bars = _bars(ranks.rank_diagram(group))
    joined = {
        (one, two)
        for one, two in combinations("abcd", 2)
        if any(low <= min(_rank(board, one, two)) and max(_rank(board, one, two)) <= high
               for low, high in bars)
    }  # fmt: skip
    assert joined == {
        (one, two) for one, two in combinations("abcd", 2)
        if set(board.at[one, "tied"]) & set(board.at[two, "tied"])
    }  # fmt: skip


@pytest.mark.parametrize("n_datasets", [1, 2, 5])
def test_few_datasets_have_a_sentence_and_no_diagram(many, n_datasets):
    few = many[many["dataset"].isin([f"d{i}" for i in range(n_datasets)])]
    (found,) = ranks.rank_sections(few)
    assert found.svg == ""
    assert "none is made" in found.sentence


def _rank(board, *names):
    return [board.at[name, "mean rank"] for name in names]


def _bars(figure) -> list[tuple[float, float]]:
    """The bars of a diagram: which ranks they join."""
    (axes,) = figure.axes
    lines = [line.get_xdata() for line in axes.get_lines() if len(set(line.get_ydata())) == 1]
    return [(min(x), max(x)) for x in lines]
