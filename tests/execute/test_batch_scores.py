"""Scores of a run on data with batches: before against after, and scIB's means."""

from __future__ import annotations

import json

import pytest


def test_a_run_has_the_scores_of_batches_and_their_means(bench_run):
    small = "n_cells=200,n_features=200,n_types=3"
    outcome = bench_run(
        "random", f"sim_rna[{small},n_batches=2,batch_effect=1.0],sim_rna[{small}]"
    )
    rows = {row["n_batches"]: row for row in _rows(outcome)}
    with_batches, without = rows[2], rows[0]
    assert with_batches["embedding/pcr_comparison"] > 0.5  # noise has no batch
    parts = ("bio_conservation", "batch_correction")
    kept, mixed = (with_batches[f"scib/{part}"] for part in parts)
    assert with_batches["scib/total"] == pytest.approx(0.6 * kept + 0.4 * mixed)
    assert with_batches["embedding/bras"] > 0.7
    missing = json.loads(without["missing"])
    assert "no batch" in missing["embedding/pcr_comparison"]
    assert "no batch" in missing["scib/total"]
    assert 0 < without["scib/bio_conservation"] < 1


def _rows(outcome):
    for row in outcome.table.to_dict("records"):
        yield row | {"n_batches": 2 if "n_batches" in row["dataset"] else 0}
