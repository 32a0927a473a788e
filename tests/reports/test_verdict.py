from __future__ import annotations

import pandas as pd

from bench.reports.tables.verdict import counts, verdict, warnings


def rows(make_job, **scores):
    """One dataset, three seeds around each score."""
    return pd.DataFrame(
        make_job(name, seed=seed, ari=value + (seed - 1) * 0.01, family=family)
        for name, (value, family) in scores.items()
        for seed in range(3)
    )


def test_the_first_method_is_compared_with_the_baseline(make_job):
    table = rows(make_job, vae=(0.8, "autoencoder"), pca=(0.2, "baseline"), truth=(1.0, "control"))
    text = verdict(table)[1].text
    assert text.startswith("vae has the best mean ARI (k-means), 0.800 ± 0.025 (3 seeds)")
    assert "Against the baseline pca: +0.600" in text
    assert text.endswith(", reliable.")


def test_a_difference_within_the_seeds_is_not_reliable(make_job):
    table = rows(make_job, vae=(0.601, "autoencoder"), pca=(0.6, "baseline"))
    assert "not reliably better than pca" in verdict(table)[1].text


def test_nothing_beats_the_baseline(make_job):
    table = rows(make_job, vae=(0.5, "autoencoder"), pca=(0.6, "baseline"))
    assert "pca has the best mean" in verdict(table)[1].text
    assert "It is a simple baseline." in verdict(table)[1].text


def test_without_baseline_or_without_values(make_job):
    alone = verdict(rows(make_job, vae=(0.5, "autoencoder")))
    assert alone[0].text.startswith("Only vae has a value")
    assert "No simple baseline" in alone[1].text
    failed = pd.DataFrame([make_job("vae", status="failed")])
    assert "has a value" in verdict(failed)[0].text


def test_one_seed_is_said(make_job):
    table = pd.DataFrame([make_job("vae", ari=0.8), make_job("pca", ari=0.6)])
    assert "one seed, so nothing is claimed" in verdict(table)[0].text
    assert "0.800 (one seed, no interval)" in verdict(table)[1].text
    assert "One seed only, so without an interval: pca, vae." in warnings(table)
    # Where there are more seeds on another dataset, it is said on which there is one.
    more = [make_job("pca", dataset="large", ari=0.6, seed=seed) for seed in range(2)]
    both = warnings(pd.concat([table, pd.DataFrame(more)]))
    (name,) = set(table["dataset"])
    assert "One seed only, so without an interval: vae." in both
    assert f"One seed only on {name}: pca." in both


def test_counts_and_the_quick_profile(make_job, make_left):
    table = pd.DataFrame(
        [make_job("a", ari=0.5, profile="quick"), make_job("b", status="oom"), make_left("c", "a")]
    )
    assert counts(table) == "1 job done, 1 failed (1 oom), 1 skipped."
    assert any("quick profile" in line for line in warnings(table))


def test_odd_controls_are_said(make_job):
    table = rows(make_job, truth=(0.7, "control"), random=(0.3, "control"))
    said = " ".join(warnings(table))
    assert "truth reaches only 0.700" in said
    assert "random reaches 0.300" in said


def test_jobs_of_several_versions_of_the_code_are_said(make_job):
    rows = [make_job(m, seed=s, ari=0.5, source=f"{m}1") for m in ("x", "y") for s in (0, 1)]
    assert not any("older version" in text for text in warnings(pd.DataFrame(rows)))
    rows[0]["source"] = "x0"
    (said,) = [text for text in warnings(pd.DataFrame(rows)) if "older version" in text]
    assert "than others: x." in said
