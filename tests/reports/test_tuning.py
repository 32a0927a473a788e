"""Searches in reports: protocols with every number, oracle marked and never ranked."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from bench.reports.page.markdown import report_markdown
from bench.reports.page.overview_table import overview_tables
from bench.reports.page.pairwise_section import pairwise_differences
from bench.reports.page.tuning_section import (
    gain_table,
    oracle_optimism,
    study_sections,
    study_sentences,
)
from bench.reports.tables.eligible import ORACLE, competing_by_dataset
from bench.reports.tables.leaderboard import leaderboard, tidy
from bench.reports.tables.verdict import verdict, warnings


def rows(protocol: str, scores: dict[str, float]) -> list[dict[str, Any]]:
    return [
        {
            "method": name, "method_name": name.partition("·")[0], "family": "baseline",
            "dataset": "d", "seed": seed, "profile": "default", "protocol": protocol,
            "status": "done", "kmeans/ari": score + seed / 100, "seconds": 1.0,
        }
        for name, score in scores.items()
        for seed in (0, 1)
    ]  # fmt: skip


@pytest.fixture
def results() -> pd.DataFrame:
    return pd.DataFrame(
        rows("holdout", {"nmf": 0.5, "nmf·tuned": 0.6})
        + rows("oracle", {"nmf": 0.5, "nmf·tuned": 0.9})
    )


def study(protocol: str, tuned: float, gain: float) -> dict[str, Any]:
    return {
        "study": f"nmf-d-{protocol}", "method": "nmf", "dataset": "d", "protocol": protocol,
        "watermark": "too good" if protocol == "oracle" else "", "objectives": ["ari"],
        "sampler": "tpe", "pruner": "none", "search_seed": 1000, "report_seeds": [0, 1],
        "trials": {"done": 3}, "note": "", "statement": f"It did ({protocol}).",
        "changed": {"rank": [1, 2]}, "front": [], "figures": [],
        "gains": [
            {"key": "kmeans/ari", "default": tuned - gain, "tuned": tuned, "gain": gain,
             "half_width": 0.01, "seeds": 2}
        ],
    }  # fmt: skip


STUDIES = [study("holdout", 0.6, 0.1), study("oracle", 0.9, 0.35)]


def test_tuned_names_hold_their_protocol(results):
    assert set(tidy(results)["method"]) == {
        "nmf (holdout)", "nmf·tuned (holdout)", f"nmf{ORACLE}", f"nmf·tuned{ORACLE}"
    }  # fmt: skip


def test_oracle_is_never_ranked(results):
    board = leaderboard(results).set_index("method")
    assert board["rank"].dropna().index.to_list() == ["nmf·tuned (holdout)", "nmf (holdout)"]
    assert "tuned on the labels" in board["note"][f"nmf·tuned{ORACLE}"]
    assert all(ORACLE not in sentence.text for sentence in verdict(results))
    assert any("too good" in text for text in warnings(results))


def test_a_table_of_oracle_alone_ranks_nothing(results):
    alone = results[results["protocol"] == "oracle"]
    assert leaderboard(alone)["rank"].isna().all()
    assert "No method that may be ranked" in verdict(alone)[0].text


@pytest.fixture
def run_and_search() -> pd.DataFrame:
    """A search of one method beside a run of three, which scores all cells."""
    ran = {"pca": 0.3, "nmf": 0.45, "ae": 0.4}
    return pd.DataFrame(rows("default", ran) + rows("holdout", {"nmf": 0.5, "nmf·tuned": 0.6}))


def test_scores_of_other_cells_are_not_ranked(run_and_search):
    board = leaderboard(run_and_search).set_index("method")
    assert board["rank"].dropna().to_dict() == {"nmf": 1, "ae": 2, "pca": 3}
    held = "not ranked: protocol holdout scores 80 % of the cells, the ranked methods all"
    assert set(board.loc[["nmf (holdout)", "nmf·tuned (holdout)"], "note"]) == {held}
    assert board.at["nmf·tuned (holdout)", "ARI (k-means)"] == pytest.approx(0.605)
    table = overview_tables(tidy(run_and_search)).tables["0"]
    ranks = {row[1].text: row[0].text for row in table.all_rows}
    assert ranks == {
        "nmf": "1", "ae": "2", "pca": "3", "nmf (holdout)": "–", "nmf·tuned (holdout)": "–"
    }  # fmt: skip


def test_scores_of_other_cells_are_not_compared(run_and_search):
    found = pairwise_differences(run_and_search)
    assert set(found["method"]) | set(found["compared_with"]) == {"pca", "nmf", "ae"}
    assert verdict(run_and_search)[1].text.startswith("nmf has the best")
    assert any("rows of the same cells only" in text for text in warnings(run_and_search))


def test_the_kind_with_more_methods_is_ranked_on_each_dataset(run_and_search):
    more = rows("holdout", {"nmf": 0.2, "nmf·tuned": 0.3}) + rows("default", {"pca": 0.9})
    both = pd.concat([run_and_search, pd.DataFrame(more).assign(dataset="e")])
    fair = competing_by_dataset(tidy(both)).groupby("dataset")["method"].unique()
    assert set(fair["d"]) == {"pca", "nmf", "ae"}
    assert set(fair["e"]) == {"nmf (holdout)", "nmf·tuned (holdout)"}
    own = tidy(both)
    board = leaderboard(own[own["dataset"] == "e"]).set_index("method")
    assert board["rank"].dropna().to_dict() == {"nmf·tuned (holdout)": 1, "nmf (holdout)": 2}
    assert board.at["pca", "note"] == (
        "not ranked: scored on all cells, the ranked methods (holdout) on 80 %"
    )
    found = pairwise_differences(both)
    assert set(found.loc[found["dataset"] == "e", "method"]) == {"nmf·tuned (holdout)"}


def test_tuned_and_default_without_labels_are_scored_on_the_same_cells():
    both = rows("default", {"nmf": 0.5, "pca": 0.4}) + rows("unsupervised", {"nmf·tuned": 0.6})
    board = leaderboard(pd.DataFrame(both))
    assert board["method"].tolist() == ["nmf·tuned (unsupervised)", "nmf", "pca"]
    assert board["rank"].tolist() == [1, 2, 3]


def test_oracle_optimism(results):
    found = oracle_optimism(STUDIES).iloc[0]
    assert found["oracle - holdout, tuned"] == pytest.approx(0.3)
    assert found["oracle - holdout, gain"] == pytest.approx(0.25)
    assert oracle_optimism(STUDIES[:1]).empty
    text = report_markdown(results, title="t", command="c", studies=STUDIES)
    assert "+0.300 in the reported score, +0.250 in the gain" in text
    assert "oracle ⚠" in text


def test_gains_stand_with_protocol_and_interval():
    found = gain_table(STUDIES)
    assert list(found["protocol"]) == ["holdout", "oracle ⚠"]
    assert list(found["gain"]) == ["+0.100 ± 0.010", "+0.350 ± 0.010"]
    assert study_sentences(STUDIES)[-1] == "⚠ too good"
    assert [panel.watermark for panel in study_sections(STUDIES)] == ["", "too good"]
