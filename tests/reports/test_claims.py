"""Standings of methods from tables of results."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.reports.tables.claims import failed_seeds, over_datasets, within_datasets
from bench.reports.tables.leaderboard import complete_block, leaderboard, tidy, with_brackets
from bench.reports.tables.verdict import verdict


def table(make_job, quality: dict[str, float], n_datasets: int, n_seeds: int = 5):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        make_job(
            name, f"d{d}", seed, ari=value + 0.02 * rng.standard_normal(),
            family="baseline" if name == "pca" else "autoencoder",
            seconds=1.0 if name == "pca" else 60.0,
        )
        for name, value in quality.items() for d in range(n_datasets) for seed in range(n_seeds)
    )  # fmt: skip


def test_a_better_method_is_named(make_job):
    results = table(make_job, {"pca": 0.6, "ae": 0.6, "vae": 0.68}, 9)
    assert verdict(results)[0].text.startswith("Use vae: ")
    board = leaderboard(results).set_index("method")
    assert board.at["vae", "tied"] == "a"
    assert board.at["pca", "tied"] == board.at["ae", "tied"] == "b"
    assert board.at["vae", "rank 95 %"] == "1"


def test_among_equal_methods_the_fastest_is_advised(make_job):
    results = table(make_job, {"ae": 0.6, "vae": 0.6, "pca": 0.6}, 9)
    text = verdict(results)[0].text
    assert text.startswith("Use pca: ")
    assert "Tied with it: " in text
    assert set(leaderboard(results)["tied"]) == {"a"}


def test_a_little_less_time_does_not_outweigh_a_better_mean(make_job):
    results = table(make_job, {"ae": 0.6, "vae": 0.605, "pca": 0.6}, 9)
    results.loc[results["method"] != "pca", "seconds"] = 1.5
    assert verdict(results)[0].text.startswith("Use vae: ")
    results.loc[results["method"] == "vae", "seconds"] = 3.5
    assert not verdict(results)[0].text.startswith("Use vae: ")


def test_times_below_a_second_count_as_equal(make_job):
    results = table(make_job, {"ae": 0.6, "pca": 0.605}, 9)
    results["seconds"] = np.where(results["method"] == "pca", 0.4, 0.05)
    assert verdict(results)[0].text.startswith("Use pca: ")


def test_a_method_without_another_to_compare_with(make_job):
    results = table(make_job, {"pca": 0.6}, 6)
    assert verdict(results)[0].text.startswith("Only pca has a value of ")


def test_few_datasets_are_no_claim_over_datasets(make_job):
    results = table(make_job, {"pca": 0.6, "vae": 0.9}, 5)
    block = complete_block(tidy(results))
    assert over_datasets(tidy(results), block).comparisons is None
    assert set(leaderboard(results)["tied"]) == {""}
    assert "too few for a claim over datasets" in verdict(results)[0].text


def test_on_one_dataset_seeds_decide(make_job):
    results = table(make_job, {"pca": 0.2, "vae": 0.9}, 1)
    (standing,) = within_datasets(tidy(results)).values()
    assert standing.beats("vae", "pca")
    assert not standing.beats("pca", "vae")
    assert standing.tied_for_first == ["vae"]


def test_lost_seeds_do_not_flatter(make_job):
    results = table(make_job, {"a": 0.6, "b": 0.6, "c": 0.6}, 3)
    for _, rows in results[results["method"] == "b"].groupby("dataset"):
        worst = rows.sort_values("kmeans/ari").index[:2]
        results.loc[worst, ["kmeans/ari", "status"]] = [np.nan, "diverged"]
    assert failed_seeds(results).loc["b"].tolist() == [2, 2, 2]
    board = leaderboard(results)
    assert board["method"].tolist()[2] == "b"
    assert with_brackets(board)["ARI (k-means)"].iloc[2].startswith("(0.")
    for standing in within_datasets(tidy(results)).values():
        assert standing.order[-1] == "b"
        assert "b" not in standing.tied_for_first
    assert "Behind for failed seeds: b (2 failed)." in verdict(results)[1].text


def test_a_seed_that_nobody_finished_counts_against_nobody(make_job):
    rows = [make_job(m, seed=s, ari=0.5) for m in "ab" for s in range(3)]
    rows += [make_job(m, seed=3, status="oom") for m in "ab"]
    assert not failed_seeds(pd.DataFrame(rows)).to_numpy().any()


def test_where_less_is_better_the_lowest_is_first(make_job):
    rng = np.random.default_rng(1)
    rows = [
        make_job(m, f"d{d}", s, **{"paired/foscttm": value + 0.01 * rng.standard_normal()})
        for m, value in (("a", 0.4), ("b", 0.1)) for d in range(7) for s in range(3)
    ]  # fmt: skip
    results = tidy(pd.DataFrame(rows))
    block = complete_block(results, "paired/foscttm")
    standing = over_datasets(results, block, "paired/foscttm")
    assert standing.order[0] == "b"
    assert standing.beats("b", "a")


def test_of_several_settings_one_is_ranked_and_the_best_is_said(make_job):
    rows = [
        make_job(name, seed=seed, ari=value + 0.01 * seed, method_name=name.split("[")[0])
        for name, value in (
            ("vae[n_latent=5]", 0.5), ("vae", 0.6), ("vae[n_latent=9]", 0.8), ("pca", 0.4)
        )
        for seed in range(3)
    ]  # fmt: skip
    results = pd.DataFrame(rows)
    board = leaderboard(results).set_index("method")
    assert board["rank"].dropna().to_dict() == {"vae": 1, "pca": 2}
    assert board.at["vae[n_latent=9]", "note"].startswith("not ranked: one of 3 settings of vae")
    assert (
        "vae[n_latent=9] is above it as the best of 3 settings of vae" in verdict(results)[1].text
    )
    without = results[results["method"] != "vae"]
    assert leaderboard(without).set_index("method")["rank"]["vae[n_latent=5]"] == 1
