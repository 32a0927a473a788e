from __future__ import annotations

import json
import math
import subprocess
import sys

import pandas as pd
import pytest

from bench.reports.tables.leaderboard import (
    as_text,
    complete_block,
    leaderboard,
    scores_long,
    summary,
    tidy,
)
from bench.reports.tables.unfinished import failures, not_run

ARI = "ARI (k-means)"


@pytest.fixture
def two_datasets(make_job):
    """``good`` beats ``bad`` on both datasets, ``gone`` failed on b, ``truth`` is a control."""
    rows = []
    for dataset in "ab":
        for seed in range(3):
            rows += [
                make_job("good", dataset, seed, ari=0.8 + seed / 100),
                make_job("bad", dataset, seed, ari=0.5),
                make_job("truth", dataset, seed, ari=1.0, family="control"),
            ]
            if dataset == "a":
                rows.append(make_job("gone", dataset, seed, ari=0.9))
            else:
                rows.append(make_job("gone", dataset, seed, status="timeout", reason="60 s"))
    return pd.DataFrame(rows)


def test_controls_are_never_ranked(two_datasets):
    board = leaderboard(two_datasets).set_index("method")
    assert board.index[-1] == "truth"
    assert pd.isna(board.at["truth", "rank"])
    assert board.at["truth", "note"] == "never ranked"
    assert board.at["good", "rank"] == 1


def test_a_method_without_a_dataset_is_shown_unranked_with_the_reason(two_datasets):
    board = leaderboard(two_datasets).set_index("method")
    assert pd.isna(board.at["gone", "rank"])
    assert board.at["gone", "note"] == "no mean, not ranked: timeout: 60 s (b)"
    assert board.at["gone", "datasets"] == "1 of 2"
    assert board.at["gone", "failed jobs"] == 3
    assert list(complete_block(two_datasets).index) == ["good", "bad"]


def test_no_mean_over_holes(two_datasets, make_job):
    alone = [make_job("truth", "c", ari=1.0, family="control")]
    alone.append(make_job("random", "a", ari=0.1, family="control"))
    board = leaderboard(pd.concat([two_datasets, pd.DataFrame(alone)])).set_index("method")
    assert pd.isna(board.at["gone", ARI])
    assert pd.isna(board.at["gone", "± 95 %"])
    assert pd.isna(board.at["random", ARI])
    assert board.at["random", "note"] == "never ranked; lacks b"
    # A dataset on which nobody competes counts for no mean.
    assert board.at["good", ARI] == pytest.approx(0.81)
    assert board.at["truth", ARI] == 1
    assert board.at["good", "datasets"] == "2 of 3"


def test_no_complete_block_ranks_nobody(make_job):
    table = pd.DataFrame([make_job("x", "a", ari=0.5), make_job("y", "b", ari=0.6)])
    assert complete_block(table).empty
    assert leaderboard(table)["rank"].isna().all()


def test_a_dataset_on_which_all_fail_does_not_spoil_the_ranks(make_job):
    table = pd.DataFrame(
        [make_job("x", "a", ari=0.5), make_job("y", "a", ari=0.6)]
        + [make_job(m, "b", status="failed", reason="no file") for m in "xy"]
    )
    board = leaderboard(table).set_index("method")
    assert board["rank"].to_dict() == {"y": 1, "x": 2}
    assert "1 of 2 jobs" in board.at["x", "note"]


def test_missing_is_missing_never_zero(make_job):
    why = json.dumps({"kmeans/ari": "all cells have the same true type"})
    table = pd.DataFrame([make_job("x", ari=0.4), make_job("y", ari=math.nan, missing=why)])
    row = summary(table).set_index(["method", "metric"]).loc[("y", "kmeans/ari")]
    assert math.isnan(row["mean"])
    assert row["n"] == 0
    assert row["reason"] == "all cells have the same true type"
    assert math.isnan(leaderboard(table).set_index("method").at["y", ARI])


def test_one_seed_has_no_interval(make_job):
    table = pd.DataFrame([make_job("x", ari=0.4), make_job("y", ari=0.5)])
    board = leaderboard(table)
    assert board["± 95 %"].isna().all()
    assert board["rank"].tolist() == [1, 2]
    assert as_text(board).at[0, "± 95 %"] == "–"


def test_only_failures(make_job, make_left):
    table = pd.DataFrame(
        [make_job("x", status="oom", reason="9 GiB", log_tail="killed"), make_left("lsi", "a")]
    )
    assert leaderboard(table)[ARI].isna().all()
    assert failures(table).iloc[0].to_dict() == {
        "method": "x", "dataset": "a", "seed": 0, "status": "oom", "reason": "9 GiB",
        "log_tail": "killed",
    }  # fmt: skip
    assert not_run(table)["method"].tolist() == ["lsi"]
    assert set(summary(table)["n"]) <= {0}


def test_only_combinations_that_were_left_out(make_left):
    table = pd.DataFrame([make_left("lsi", "a", reason="made for ATAC")])
    assert leaderboard(table).at[0, "note"] == "no mean, not ranked: skipped: made for ATAC (a)"


def test_a_failed_jobs_time_is_not_a_fits_time(make_job):
    table = pd.DataFrame(
        [make_job("x", seed=0, ari=0.4), make_job("x", seed=1, status="timeout", seconds=3600.0)]
    )
    found = summary(table).set_index("metric")
    assert found.at["seconds", "mean"] == 1.0
    assert leaderboard(table).at[0, "median time (s)"] == 1.0


def test_modalities_are_ranked_apart(make_job, make_left):
    rows = [make_job(m, "rna", ari=v) for m, v in (("pca", 0.5), ("vae", 0.6))]
    rows += [make_job(m, "atac", ari=v, modality="ATAC") for m, v in (("lsi", 0.5), ("vae", 0.4))]
    rows += [make_left("lsi", "rna"), make_left("pca", "atac")]
    board = leaderboard(pd.DataFrame(rows))
    ranked = board.set_index(["data", "method"])["rank"].to_dict()
    assert ranked == {
        ("RNA", "vae"): 1, ("RNA", "pca"): 2, ("ATAC", "lsi"): 1, ("ATAC", "vae"): 2
    }  # fmt: skip


def test_a_metric_where_less_is_better_and_one_without_better(make_job):
    three = make_job("z", seconds=3.0, **{"leiden/n_clusters": 4.0})
    table = pd.DataFrame([make_job("x", seconds=9.0), make_job("y", seconds=2.0), three])
    assert leaderboard(table, "seconds")["method"].tolist() == ["y", "z", "x"]
    assert leaderboard(table, "leiden/n_clusters")["rank"].isna().all()


def test_the_newest_of_repeated_jobs_counts(make_job):
    times = pd.to_datetime(["2024-01-02", "2024-01-01"], utc=True)
    rows = [make_job("x", ari=0.7, started=times[0]), make_job("x", ari=0.1, started=times[1])]
    found = tidy(pd.DataFrame(rows))
    assert found["kmeans/ari"].tolist() == [0.7]


def test_profiles_are_not_mixed(make_job):
    rows = [make_job("x", ari=0.7), make_job("x", ari=0.1, profile="quick"), make_job("y")]
    once = tidy(pd.DataFrame(rows))
    assert set(once["method"]) == {"x (default)", "x (quick)", "y"}
    assert set(tidy(once)["method"]) == set(once["method"])


def test_family_of_a_combination_left_out_is_that_of_its_method(make_job, make_left):
    rows = [make_job("truth", "a", ari=1.0, family="control"), make_left("truth", "b")]
    assert set(tidy(pd.DataFrame(rows))["family"]) == {"control"}


def test_own_clusterings_have_rows_only_where_they_are(make_job):
    table = pd.DataFrame([make_job("x", ari=0.4), make_job("y", ari=0.5, **{"argmax/ari": 0.3})])
    long = scores_long(table)
    assert long.loc[long["metric"] == "argmax/ari", "method"].tolist() == ["y"]


def test_tables_need_no_plotting_library():
    code = (
        "import sys, bench.reports, bench.reports.tables.leaderboard\n"
        "bad = {'plotly', 'matplotlib', 'seaborn', 'jinja2'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
