"""A run on data without labels: jobs, scores, table and report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

import bench
from bench.reports.tables.label_free import HALVES, SEEDS, label_free_table, sentence
from bench.reports.tables.verdict import verdict


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("label_free")
    rng = np.random.default_rng(0)
    means = rng.gamma(0.3, 1.0, size=(3, 200))[rng.integers(0, 3, 150)]
    adata = AnnData(sp.csr_matrix(rng.poisson(2.0 * means).astype(np.float32)))
    adata.obs_names = [f"cell {i}" for i in range(150)]
    adata.write_h5ad(folder / "mine.h5ad")
    outcome = bench.run(
        "pca,random,truth,scmgca", str(folder / "mine.h5ad"), seeds=(0, 1), umap=False,
        results=folder / "results", cache_dir=folder / "cache",
    )  # fmt: skip
    return outcome, folder


def test_methods_that_need_labels_or_their_number_are_skipped(finished):
    outcome, _ = finished
    reasons = {one.method: one.reason for one in outcome.plan.excluded}
    assert set(reasons) == {"truth", "scmgca"}
    assert "--n-clusters" in reasons["scmgca"]


def test_scores_need_no_labels(finished):
    results = bench.load_results(finished[1] / "results", columns="all")
    assert set(results["labels_digest"]) == {"none"}
    assert not [name for name in results if name.endswith(("/ari", "/nmi", "knn_purity"))]
    table = label_free_table(results).set_index("method")
    pca, random = table.loc["pca"], table.loc["random"]
    for name in (SEEDS, HALVES, "kNN preservation"):
        assert 0.3 < pca[name] <= 1
        assert abs(random[name]) < 0.3
        assert random[name] < pca[name]
    assert "rank" not in table
    assert list(table.index) == sorted(table.index)


def test_the_report_begins_with_the_lack_of_labels(finished):
    outcome, _ = finished
    results = bench.load_results(finished[1] / "results", columns="all")
    (first,) = verdict(results)
    assert first.text == sentence(results)
    page = Path(outcome.report).read_text()
    assert "Scores without labels" in page
    assert 'id="ranks"' not in page
