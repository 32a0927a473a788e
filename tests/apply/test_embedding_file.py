"""``bench score-embedding``: embeddings of a file are scored as those of fits are."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from _command import bench, bench_json, error_code

import bench as library

N = 90


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an .h5ad of two embeddings, and the same as texts."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {"cell_type": np.repeat(["a", "b", "c"], N // 3), "donor": np.tile(["x", "y"], N // 2)},
        index=[f"cell-{i}" for i in range(N)],
    )
    good = np.repeat(np.eye(3) * 9, N // 3, axis=0) + rng.normal(size=(N, 3))
    adata = ad.AnnData(sp.csr_matrix(rng.poisson(1, (N, 4))), obs=obs)
    adata.obsm = {"X_good": good, "X_noise": rng.normal(size=(N, 3)),
                  "texts": pd.DataFrame({"t": ["x"] * N}, index=obs.index)}  # fmt: skip
    adata.write_h5ad("x.h5ad")
    pd.DataFrame(good, index=obs.index).to_csv("good.csv")
    obs[["cell_type"]].iloc[::-1].to_csv("labels.csv")
    return tmp_path


def test_scores_are_those_of_an_array():
    table = bench_json("score-embedding", "x.h5ad", "--batch-key", "donor")
    assert list(table["scores"]) == ["X_good", "X_noise"]
    assert table["kind"] == "precomputed"
    data = ad.read_h5ad("x.h5ad")
    expected = library.score(data.obsm["X_good"], data.obs["cell_type"], batch=data.obs["donor"])
    own = pd.Series(table["scores"]["X_good"], dtype=float)
    pd.testing.assert_series_equal(own, expected, check_names=False)
    assert own["kmeans/ari"] > 0.9 > table["scores"]["X_noise"]["kmeans/ari"]


def test_a_text_with_labels_in_another_order():
    words = ("score-embedding", "good.csv", "--labels", "labels.csv", "--metrics", "ari")
    table = bench_json(*words)
    same = bench_json("score-embedding", "x.h5ad", "--obsm", "X_good", "--metrics", "ari")
    assert table["scores"]["good"] == pytest.approx(same["scores"]["X_good"])


def test_cells_without_a_label_are_left_out():
    data = ad.read_h5ad("x.h5ad")
    data.obs["cell_type"] = data.obs["cell_type"].astype(object)
    data.obs.iloc[:10, 0] = None
    data.write_h5ad("gaps.h5ad")
    table = bench_json("score-embedding", "gaps.h5ad", "--obsm", "X_good", "--metrics", "ari")
    assert (table["cells"], table["scored"]) == (N, N - 10)


def test_without_labels_only_scores_that_need_none():
    table = bench_json("score-embedding", "good.csv", "--metrics", "silhouette*")
    assert list(table["scores"]["good"]) == ["leiden/silhouette"]


def test_cells_it_was_trained_on_are_counted():
    Path("seen.txt").write_text("cell-3\nother\ncell-7\n")
    words = ("score-embedding", "good.csv", "--labels", "labels.csv", "--metrics", "ari")
    seen = bench(*words, "--trained-on", "an atlas", "--trained-cells", "seen.txt").stdout
    assert "an atlas" in seen
    assert "2 of these cells" in seen
    assert "precomputed" in bench(*words).stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["no.h5ad"], "missing_file"),
        (["x.h5ad", "--obsm", "X_godo"], "missing_column"),
        (["x.h5ad", "--obsm", "texts"], "not_numeric"),
        (["x.h5ad", "--label-key", "celltype"], "missing_column"),
        (["labels.csv"], "not_numeric"),
        (["good.csv", "--obsm", "X_good"], "option_needs_another"),
        (["good.csv", "--trained-cells", "no.txt"], "missing_file"),
    ],
)
def test_wrong_input_is_one_line(words: list[str], code: str):
    result = bench("score-embedding", *words)
    assert result.exit_code == 2
    assert error_code(result) == code
