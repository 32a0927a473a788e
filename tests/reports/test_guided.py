from __future__ import annotations

import pandas as pd
import pytest

from bench.reports.page.markdown import report_markdown
from bench.reports.page.overview_table import overview_tables
from bench.reports.page.pairwise_section import pairwise_differences
from bench.reports.page.score_tables import job_table
from bench.reports.tables.claims import within_datasets
from bench.reports.tables.eligible import competing
from bench.reports.tables.leaderboard import (
    complete_block,
    dataset_means,
    leaderboard,
    summary,
    tidy,
)
from bench.reports.tables.verdict import verdict, warnings


def job(method: str, dataset: str, ari: float | None = None, **more) -> dict:
    row = {
        "method": method, "method_name": method, "family": "autoencoder", "dataset": dataset,
        "modality": "rna", "seed": 0, "status": "done", "profile": "default",
        "protocol": "default", "uses": "", "kmeans/ari": ari,
    }  # fmt: skip
    return row | more


@pytest.fixture
def results() -> pd.DataFrame:
    """The guided method is the best; it lacks dataset b, where it was not run."""
    rows = []
    for dataset in "abc":
        rows += [
            job("ae", dataset, ari=0.5),
            job("pca", dataset, ari=0.4, uses="batch"),
        ]
        rows += [job("truth", dataset, ari=1.0, uses="labels", family="control")]
        if dataset != "b":
            rows += [job("sakura", dataset, ari=0.9, uses="batch,markers")]
    rows += [job("sakura", "b", status="skipped", uses="", reason="needs marker lists")]
    return pd.DataFrame(rows)


def test_guided_methods_are_marked_everywhere_and_once(results):
    names = set(tidy(results)["method"])
    assert names == {"ae", "pca", "truth", "sakura (guided)"}
    assert set(tidy(tidy(results).copy())["method"]) == names


def test_ranks_never_mix_guided_and_unguided(results):
    assert set(complete_block(results).index) == {"ae", "pca"}
    assert "sakura (guided)" not in set(competing(tidy(results))["method"])
    board = leaderboard(results).set_index("method")
    assert board.loc["ae", "rank"] == 1
    assert pd.isna(board.loc["sakura (guided)", "rank"])
    assert board.loc["sakura (guided)", "note"] == (
        "not ranked: told marker genes, which no other method was"
    )
    assert dataset_means(results).loc["sakura (guided)", "a"] == pytest.approx(0.9)


@pytest.fixture
def with_k(results) -> pd.DataFrame:
    """Two methods that were told the number of types beside those that were not."""
    rows = [
        job(name, dataset, seed=seed, ari=ari + 0.01 * seed, uses="n_clusters")
        for dataset in "abc" for seed in range(3)
        for name, ari in (("scsmd", 0.9), ("sctag", 0.5))
    ]  # fmt: skip
    rows += [
        job(name, dataset, seed=seed, ari=ari + 0.01 * seed)
        for dataset in "abc" for seed in (1, 2) for name, ari in (("ae", 0.5), ("pca", 0.4))
    ]  # fmt: skip
    return pd.concat([results, pd.DataFrame(rows)])


def test_methods_told_the_number_of_types_are_ranked_among_themselves(with_k):
    board = leaderboard(with_k).set_index("method")
    ranks = board["rank"].dropna().to_dict()
    assert ranks == {"ae": 1, "pca": 2, "scsmd (k given)": 1, "sctag (k given)": 2}
    assert list(board.index[:4]) == list(ranks)
    assert board.at["scsmd (k given)", "note"] == "ranked among methods told the number of types"
    assert board.at["scsmd (k given)", "uses"] == "number of types"
    assert board.at["pca", "uses"] == "batch"
    assert board.at["ae", "uses"] == "counts only"


def test_no_claim_crosses_the_groups(with_k):
    found = pairwise_differences(with_k)
    pairs = set(zip(found["method"], found["compared_with"], strict=True))
    assert pairs == {("ae", "pca"), ("scsmd (k given)", "sctag (k given)")}
    first, second, *_ = verdict(with_k)
    assert "k given" not in first.text
    assert second.about == "told the number of types"
    assert "scsmd (k given)" in second.text
    tables = overview_tables(tidy(with_k)).tables.values()
    ranks = {(row[1].text, row[0].text) for table in tables for row in table.all_rows}
    assert {("ae", "1"), ("scsmd (k given)", "1")} <= ranks
    assert any("(k given)" in text for text in warnings(with_k))


def test_alone_a_group_is_ranked(with_k):
    alone = with_k[with_k["uses"] == "n_clusters"]
    assert set(leaderboard(alone)["rank"]) == {1, 2}
    assert "scsmd (k given)" in verdict(alone)[0].text


def test_claims_of_several_groups_share_the_error(with_k):
    few = with_k[with_k["uses"] != "n_clusters"]
    one, both = (within_datasets(tidy(rows))["a"].comparisons for rows in (few, with_k))
    assert both.interval("ae", "pca")[1] > one.interval("ae", "pca")[1]


def test_every_table_shows_what_was_used(with_k, tmp_path):
    text = report_markdown(with_k, title="x", command="y")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "sakura" in line]
    assert len(rows) == 4
    assert sum("batch, markers" in row for row in rows) == 3
    assert "–" in next(row for row in rows if row.startswith("| b |"))
    column = [column.text for column in job_table(tidy(with_k)).columns].index("uses")
    used = {row[0].text: row[column].text for row in job_table(tidy(with_k)).rows}
    assert used["sakura (guided)"] == "batch, markers"
    assert used["scsmd (k given)"] == "number of types"
    assert set(summary(with_k).query("method == 'sakura (guided)'")["uses"]) == {
        "batch, markers", "–"
    }  # fmt: skip


def test_a_batch_that_tells_the_type_is_said_beside_each_method_that_used_it(with_k):
    with_k["batch_types_v"] = with_k["dataset"].map({"a": 0.95, "b": 0.3, "c": 0.81})
    board = leaderboard(with_k).set_index("method")
    assert board.at["pca", "uses"] == "batch (⚠ tells the type on a, c)"
    assert "⚠" not in board.at["ae", "uses"]
    views = overview_tables(tidy(with_k))
    cells = {
        (row[1].text, name): row[[c.text for c in table.columns].index("uses")].text
        for name, table in zip(views.selectors[0][1], views.tables.values(), strict=True)
        for row in table.all_rows
    }
    assert cells["pca", "a"] == "batch (⚠ tells the type on a)"
    assert cells["pca", "b"] == "batch"
    said = [text for text in warnings(with_k) if "batch tells the type" in text]
    assert len(said) == 2
    assert "0.95" in said[0]
    assert "pca" in said[0]
    assert "sakura (guided)" in said[0]
    assert "ae" not in said[0].rpartition(":")[2]
