"""Metrics where less is better: those of plugins, known from the stamps, and between controls."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bench.reports.figures.cost_quality import cost_drawings
from bench.reports.page.overview_table import overview_tables
from bench.reports.page.pairwise_section import pairwise_differences
from bench.reports.page.score_tables import metric_definitions
from bench.reports.tables import labels as names
from bench.reports.tables.compare import compare_results
from bench.reports.tables.labels import higher_is_better
from bench.reports.tables.leaderboard import leaderboard, tidy
from bench.reports.tables.verdict import verdict
from bench.scoring.metrics import built_in_metrics

LOSS = "embedding/loss"
VALUES = {"good": 0.2, "bad": 0.6, "random": 1.0, "truth": 0.0}
"""Less is better; the truth has the least."""


@pytest.fixture
def results(make_job) -> pd.DataFrame:
    return pd.DataFrame(
        make_job(
            method, dataset, seed, stamps=json.dumps({"ari": "1.2", "loss": "1:lower"}),
            family="control" if method in ("random", "truth") else "x",
            **{LOSS: value + seed / 100 * (method == "good")},
        )
        for method, value in VALUES.items() for dataset in "ab" for seed in range(3)
    )  # fmt: skip


def test_direction_from_the_stamps_of_a_table(results):
    assert higher_is_better(LOSS, results) is False
    assert higher_is_better("kmeans/ari", results) is True
    none = results.assign(stamps=json.dumps({"loss": "1:none"}))
    assert higher_is_better(LOSS, none) is None


@pytest.mark.parametrize("stamps", [None, "", "{}", '{"loss": "1"}', "cut"])
def test_metric_without_direction_is_not_ranked(results, stamps):
    results["stamps"] = stamps
    assert higher_is_better(LOSS, results) is None
    board = leaderboard(results, LOSS)
    assert board["rank"].isna().all()
    assert board["note"].iloc[0] == "not ranked: the metric has no better or worse"


def test_less_is_better_in_ranks_pairs_verdict_and_front(results):
    board = leaderboard(results, LOSS)
    assert board["method"].tolist()[:2] == ["good", "bad"]
    assert board["rank"].tolist()[:2] == [1, 2]
    found = pairwise_differences(results, LOSS)
    assert set(found["method"]) == {"good"}
    assert "good has the best mean loss" in verdict(results, LOSS)[1].text
    assert verdict(results, LOSS)[0].text.startswith("Use good: ")
    assert ("loss", "Not built in; lower is better.", "") in metric_definitions(tidy(results))
    (drawing,) = cost_drawings(tidy(results), LOSS)
    # The front holds one method: no line.
    place = drawing.selectors[0][1].index("a")
    assert "good: " in drawing.figures[f"{place},0"]
    assert 'class="front"' not in drawing.figures[f"{place},0"]


def test_a_bar_is_empty_at_random_and_full_at_truth(results):
    table = overview_tables(tidy(results.assign(**{"kmeans/ari": 0.5}))).tables["0"]
    place = [column.text for column in table.columns].index("loss")
    bars = {row[1].text: row[place].bar for row in table.all_rows}
    assert bars == {"good": 79, "bad": 40, "random": 0, "truth": 100}


def test_a_built_in_metric_where_less_is_better(results):
    table = results.rename(columns={LOSS: "paired/foscttm"})
    assert leaderboard(table, "paired/foscttm")["method"].tolist()[:2] == ["good", "bad"]


def test_a_smaller_loss_is_better_in_a_comparison(results):
    other = results.assign(**{LOSS: results[LOSS] - 0.1})
    assert {one.verdict for one in compare_results(results, other).differences_in(LOSS)} == {
        "better"
    }
    assert {one.verdict for one in compare_results(other, results).differences_in(LOSS)} == {
        "worse"
    }


def test_a_broken_plugin_leaves_the_built_in_metrics(monkeypatch):
    def broken():
        raise ImportError("no such module")

    monkeypatch.setattr(names, "metrics", broken)
    registered = names.registered_metrics.__wrapped__()
    assert built_in_metrics().items() <= registered.items()
