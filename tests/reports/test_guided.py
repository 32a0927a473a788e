from __future__ import annotations

import pandas as pd
import pytest

from bench.reports.tables.eligible import competing
from bench.reports.tables.leaderboard import complete_block, dataset_means, leaderboard, tidy


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
            job("pca", dataset, ari=0.4, uses="batch,n_clusters"),
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
        "not ranked: told markers, which the ranked methods were not"
    )
    assert dataset_means(results).loc["sakura (guided)", "a"] == pytest.approx(0.9)
