"""Results on other labels of the same counts are results on another dataset."""

from __future__ import annotations

import sqlite3

import bench
from bench.reports.tables.leaderboard import tidy
from bench.store.results_table import load_results


def test_changed_labels_make_two_datasets_in_the_report(toy_counts, flags, tmp_path):
    types = toy_counts.obs["cell_type"].astype(str)
    file, labels = tmp_path / "cells.h5ad", tmp_path / "labels.csv"
    toy_counts.write_h5ad(file)
    dataset = f"{file}[labels={labels}]"
    types.to_csv(labels)
    bench.run("noop,random", dataset, report=False, **flags)
    other = types.copy()
    other.iloc[:5] = "c"
    other.to_csv(labels)
    bench.run("noop", dataset, report=False, **flags)
    stored = load_results(flags["results"], columns="all")
    assert stored["counts_digest"].nunique() == 1
    assert stored.groupby("method")["labels_digest"].nunique().to_dict() == {
        "noop": 2,
        "random": 1,
    }
    assert set(stored["batch_digest"]) == {"none"}
    table = tidy(stored)
    assert table.groupby("dataset")["method"].unique().map(set).to_dict() == {
        "cells": {"noop"},
        next(name for name in table["dataset"] if name != "cells"): {"noop", "random"},
    }
    with sqlite3.connect(flags["results"] / "mlflow.db") as database:
        (text,) = database.execute("SELECT group_concat(dataset_source) FROM datasets").fetchone()
    assert all(digest in text for digest in stored["labels_digest"])


def test_a_copy_under_another_name_keeps_its_row(toy_counts, flags, tmp_path):
    for name in ("first", "copy"):
        toy_counts.write_h5ad(tmp_path / f"{name}.h5ad")
    bench.run("noop", str(tmp_path / "first.h5ad"), report=False, **flags)
    again = bench.run("noop,random", str(tmp_path / "copy.h5ad"), report=False, **flags)
    assert (again.reused, again.fitted) == (1, 1)
    stored = load_results(flags["results"], columns="all")
    assert set(stored["dataset"]) == {"first", "copy"}
    assert set(tidy(stored)["dataset"]) == {"copy"}
