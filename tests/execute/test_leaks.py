"""Methods that look for labels in a run find none, and cannot change what they cost."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from bench.execute import landlock, wall

LEAKS = str(Path(__file__).parents[1] / "plugins" / "leaks.py")


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
def test_labels_are_out_of_reach(bench_run, flags):
    methods = "leak_frames,leak_memory_map,leak_number_of_types,random"
    rows = bench_run(methods, plugins=(*flags["plugins"], LEAKS)).table.set_index("method")
    assert rows.at["leak_frames", "status"] == "failed"
    assert "Permission" in rows.at["leak_frames", "reason"]
    assert rows.at["leak_memory_map", "status"] == "failed"
    assert rows.at["leak_number_of_types", "status"] == "failed"
    assert set(rows.loc[rows["status"] == "done", "files"]) == {wall.KERNEL}


def test_without_landlock_the_run_says_so_and_the_parent_measures_the_time(
    bench_run, flags, monkeypatch
):
    monkeypatch.setattr("bench.execute.local_executor.KERNEL_WALL", False)
    table = bench_run("random,leak_clock", plugins=(*flags["plugins"], LEAKS)).table
    assert set(table["files"]) == {wall.PROCESS_ONLY}
    assert table.set_index("method").at["leak_clock", "seconds"] > 0.5


@pytest.fixture(scope="module")
def sorted_file(toy_counts, tmp_path_factory) -> Path:
    """A file sorted by type whose cell names begin with the type."""
    adata = toy_counts[np.argsort(toy_counts.obs["cell_type"], kind="stable")].copy()
    adata.obs_names = [f"{kind}_{number}" for number, kind in enumerate(adata.obs["cell_type"])]
    path = tmp_path_factory.mktemp("sorted") / "sorted.h5ad"
    adata.write_h5ad(path)
    return path


def test_order_and_names_of_cells_tell_nothing(bench_run, flags, sorted_file):
    outcome = bench_run(
        "leak_order,leak_names,random", str(sorted_file), plugins=(*flags["plugins"], LEAKS)
    )
    rows = outcome.table.set_index("method")
    assert set(rows["status"]) == {"done"}
    assert rows["kmeans/ari"].max() < 0.2


def test_artifacts_have_names_and_order_of_the_file(bench_run, flags, sorted_file):
    outcome = bench_run("first_genes", str(sorted_file), plugins=(*flags["plugins"], LEAKS))
    folder = Path(outcome.table.iloc[0]["artifacts"])
    cells = anndata.read_h5ad(sorted_file)
    counts = cells.X[:, :2].toarray()
    for name in ("embedding", "tables/genes"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        assert list(table.index) == list(cells.obs_names)
        np.testing.assert_array_equal(table.to_numpy(), counts)
    own = pd.read_parquet(folder / "labels.parquet")["own"]
    assert list(own) == ["y" if count > 2 else "x" for count in counts[:, 0]]
    clusters = pd.read_parquet(folder / "clusters.parquet")
    assert list(clusters.index) == list(cells.obs_names)
    assert list(clusters["type"]) == list(cells.obs["cell_type"])
    assert set(pd.read_parquet(folder / "tables" / "first.parquet")["cell"]) < set(cells.obs_names)
    assert not (folder / "raw").exists()
