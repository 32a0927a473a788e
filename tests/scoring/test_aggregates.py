"""Means of scores as in scIB."""

from __future__ import annotations

import pytest

from bench.scoring.aggregates import CONSERVATION, CORRECTION, ISOLATED, aggregate_scores

TYPES = dict(zip(CONSERVATION, (0.8, 0.6, 0.2, 0.9), strict=True))
BATCHES = dict(zip(CORRECTION, (0.5, 0.4, 0.3, 1.0, 0.8), strict=True))


def test_both_parts_by_hand():
    values, reasons = aggregate_scores(TYPES | BATCHES | {ISOLATED: -0.2}, {})
    kept = (0.8 + 0.6 + (0.2 + 1) / 2 + 0.9 + (-0.2 + 1) / 2) / 5
    mixed = (0.5 + 0.4 + 0.3 + 1.0 + 0.8) / 5
    assert values == pytest.approx({
        "scib/bio_conservation": kept, "scib/batch_correction": mixed,
        "scib/total": 0.6 * kept + 0.4 * mixed,
    })  # fmt: skip
    assert reasons == {}


def test_without_batches_the_types_remain():
    missing = dict.fromkeys((ISOLATED, *CORRECTION), "no batch is given")
    values, reasons = aggregate_scores(TYPES, missing)
    assert values == pytest.approx({"scib/bio_conservation": (0.8 + 0.6 + 0.6 + 0.9) / 4})
    assert set(reasons) == {"scib/batch_correction", "scib/total"}
    assert all("no batch is given" in reason for reason in reasons.values())


def test_no_mean_of_fewer_scores():
    values, reasons = aggregate_scores(TYPES | {"embedding/ilisi": 0.4}, {})
    assert values == {}
    assert "bench score" in reasons["scib/bio_conservation"]
    assert "embedding/bras" in reasons["scib/batch_correction"]
