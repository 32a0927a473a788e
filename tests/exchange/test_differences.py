"""Which differences of two results processor, versions and seeds explain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from _exchange import make_result

from bench.exchange.differences import (
    DIFFERENT,
    EQUAL,
    WITHIN_SEEDS,
    SeedSpreads,
    compare_rows,
    conditions_differ,
)
from bench.exchange.record import read_record, result_row, row_digest, write_record

ROWS = [result_row(make_result(seed, 0.5 + 0.01 * seed)) for seed in range(5)]
SPREADS = SeedSpreads(ROWS)


def row(ari: float = 0.51, **values: Any) -> dict[str, Any]:
    return result_row(make_result(1, ari)) | values


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        (row(), EQUAL),
        (row(seconds=99.0), EQUAL),
        (row(0.52), DIFFERENT),
        (row(0.52, cpu="B"), WITHIN_SEEDS),
        (row(0.52, cpu=""), WITHIN_SEEDS),
        (row(0.52, versions='{"numpy": "2.0"}'), WITHIN_SEEDS),
        (row(0.52, fit_key="other"), WITHIN_SEEDS),
        (row(0.9, cpu="B"), DIFFERENT),
        (row(coverage=0.5), DIFFERENT),
        (row(0.9, stamps='{"ari": "2"}'), EQUAL),
    ],
)
def test_the_verdict(other: dict[str, Any], verdict: str):
    assert compare_rows(row(), other, SPREADS).verdict == verdict


def test_a_score_that_one_lacks_is_a_difference():
    lacking = {k: v for k, v in row().items() if k != "kmeans/ari"}
    found = compare_rows(row(), lacking, SPREADS)
    assert (found.verdict, found.first, found.second) == (DIFFERENT, 0.51, None)


def test_the_spread_is_without_the_row_itself():
    edited = [one | {"kmeans/ari": 5.0} if one["seed"] == 1 else one for one in ROWS]
    assert SeedSpreads(edited).spread(edited[1], "kmeans/ari") < 0.02


def test_one_seed_tells_nothing_about_another_processor():
    found = compare_rows(row(), row(0.52, cpu="B"), SeedSpreads(ROWS[:1]))
    assert found.verdict == DIFFERENT
    assert "seed" in found.reason


def test_the_worst_score_is_named_by_the_spread_of_seeds():
    noisy = [one | {"leiden/ari": 0.1 * one["seed"]} for one in ROWS]
    a, b = noisy[1], noisy[1] | {"leiden/ari": 0.15, "kmeans/ari": 0.55}
    assert compare_rows(a, b, SeedSpreads(noisy)).score == "kmeans/ari"


def test_what_explains_a_difference():
    assert conditions_differ(row(), row()) == ""
    assert conditions_differ(row(), row(cpu="B")) == "other processor"
    assert conditions_differ(row(cpu=""), row(cpu="")) == "unknown processor"


def test_a_record_gives_the_result_again():
    result = make_result(3, 0.1 + 0.2)
    again = read_record(write_record(result))
    assert again == result
    assert row_digest(result_row(again)) == row_digest(result_row(result))
    claims = replace(result, measures=result.measures | {"seconds": 2.0})
    assert row_digest(result_row(claims)) != row_digest(result_row(result))
