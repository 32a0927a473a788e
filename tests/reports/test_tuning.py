"""Searches in reports: protocols with every number, oracle marked and never ranked."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from bench.reports.markdown import as_markdown
from bench.reports.tables import ORACLE, leaderboard, tidy
from bench.reports.tuning import optimism, panels, sentences, table
from bench.reports.verdict import verdict, warnings


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


def test_every_tuned_name_says_its_protocol(results):
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
    assert "no method that may be ranked" in verdict(alone)[0].text


def test_the_optimism_of_oracle_is_stated(results):
    found = optimism(STUDIES).iloc[0]
    assert found["oracle - holdout, tuned"] == pytest.approx(0.3)
    assert found["oracle - holdout, gain"] == pytest.approx(0.25)
    assert optimism(STUDIES[:1]).empty
    text = as_markdown(results, title="t", command="c", studies=STUDIES)
    assert "+0.300 in the reported score, +0.250 in the gain" in text
    assert "oracle ⚠" in text


def test_gains_stand_with_protocol_and_interval():
    found = table(STUDIES)
    assert list(found["protocol"]) == ["holdout", "oracle ⚠"]
    assert list(found["gain"]) == ["+0.100 ± 0.010", "+0.350 ± 0.010"]
    assert sentences(STUDIES)[-1] == "⚠ too good"
    assert [panel.watermark for panel in panels(STUDIES)] == ["", "too good"]
