"""The tables of evidence, made from a store and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bench
from bench.advice.evidence import FOLDER, make_evidence, read_evidence, result_rows, write_evidence
from bench.errors import UsageError

DATASET = "sim_rna[n_cells=120,n_features=60]"
FLAGS = {"seeds": 2, "jobs": 1, "report": False}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The jobs of a small store, of a run with other settings and of one without labels, too."""
    folder = tmp_path_factory.mktemp("store")
    keys = FLAGS | {"results": folder / "results", "cache_dir": folder / "cache"}
    bench.run("pca,nmf,random,truth", DATASET, **keys)
    bench.run("pca", DATASET, no_labels=True, **keys)
    bench.run("nmf", DATASET, profile="quick", **keys)
    return bench.load_results(folder / "results", columns="all")


def test_tables_made_from_a_store(results: pd.DataFrame, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    write_evidence(results, tmp_path / "made")
    facts = pd.read_csv(tmp_path / "made" / "datasets.csv").set_index("dataset").loc[DATASET]
    assert (facts.modality, facts.n_cells, facts.n_features) == ("rna", 120, 60)
    assert 0 < facts.zeros < 1
    rows = pd.read_csv(tmp_path / "made" / "results.csv").set_index("method")
    assert list(rows.index) == ["nmf", "pca", "random", "truth"]
    labelled = results[(results["method"] == "pca") & (results["labels_digest"] != "none")]
    assert rows.loc["pca", "ari"] == pytest.approx(labelled["kmeans/ari"].mean(), rel=1e-3)
    assert rows.loc["pca", "seeds"] == 2
    assert rows.loc["pca", "seconds"] == pytest.approx(labelled["seconds"].median(), rel=1e-3)
    assert rows.loc["truth", "uses"] == "labels"
    assert rows.loc["random", "family"] == "control"
    score = "leiden/silhouette"
    assert rows.loc["pca", score] == pytest.approx(labelled[score].mean(), rel=1e-3)
    whole = results[(results["method"] == "nmf") & (results["profile"] == "default")]
    assert rows.loc["nmf", "ari"] == pytest.approx(whole["kmeans/ari"].mean(), rel=1e-3)
    made = read_evidence("rna", tmp_path / "made")
    assert made.methods == ("pca", "nmf")
    assert made.light == {"pca", "nmf"}
    assert made.ari[0, 0] == pytest.approx(rows.loc["pca", "ari"])
    assert read_evidence("multiome", tmp_path / "made").profiles == ()


def test_failed_seeds_settings_of_a_method_and_searches(results: pd.DataFrame):
    jobs = results[(results["method"] == "nmf") & (results["profile"] == "default")]
    jobs = jobs[jobs["seed"] == 0]
    failed = jobs.assign(seed=7, status="timeout", **{"kmeans/ari": np.nan})
    other = jobs.assign(method="nmf[n_components=3]", **{"kmeans/ari": 1.0})
    tuned = jobs.assign(protocol="holdout", **{"kmeans/ari": 1.0})
    skipped = jobs.assign(method="vae", method_name="vae", status="skipped")
    rows = result_rows(pd.concat([results, failed, other, tuned, skipped]))
    rows = rows.set_index("method")
    assert list(rows.index) == ["nmf", "pca", "random", "truth"]
    assert (rows.loc["nmf", "seeds"], rows.loc["nmf", "failed"]) == (2, 1)
    assert rows.loc["nmf", "ari"] == result_rows(results).set_index("method").loc["nmf", "ari"]


def test_the_newest_data_and_fits_count(results: pd.DataFrame):
    jobs = results[(results["method"] == "pca") & (results["labels_digest"] != "none")]
    older = jobs.assign(started=jobs["started"].min() - pd.Timedelta("1d"))
    older = older.assign(**{"kmeans/ari": -1.0})
    changed = older.assign(counts_digest="other", seed=9)
    expected = jobs["kmeans/ari"].mean()
    rows = result_rows(pd.concat([changed, older, jobs]))
    assert rows["ari"].tolist() == [pytest.approx(expected)]


def test_a_table_with_the_usual_columns_is_refused(results: pd.DataFrame):
    with pytest.raises(UsageError) as error:
        result_rows(results[["method", "dataset", "seed", "status", "kmeans/ari"]])
    assert error.value.code == "missing_column"


@pytest.mark.parametrize("modality", ["rna", "atac", "multiome"])
def test_the_packaged_evidence_can_be_read(modality: str):
    results = pd.read_csv(FOLDER / "results.csv")
    datasets = pd.read_csv(FOLDER / "datasets.csv")
    assert not results.duplicated(["dataset", "method"]).any()
    assert set(results["dataset"]) == set(datasets["dataset"])
    made = read_evidence(modality)
    assert not {"truth", "random", "detection_rate", "marker_sum", "pca_markers"} & {*made.methods}
    assert np.isfinite(made.ari[:, :1]).all()
    same = make_evidence(results.fillna({"uses": ""}), datasets, modality)
    assert same.methods == made.methods
