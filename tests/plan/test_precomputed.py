"""Embeddings in the files of datasets in the place of fits: ``obsm:KEY``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _method_data import typed_counts
from anndata import AnnData

import bench
from bench.errors import UsageError
from bench.plan.precomputed import take_embeddings
from bench.reports.tables.leaderboard import leaderboard


@pytest.fixture
def cells() -> AnnData:
    """60 cells of three types with an embedding of the types, by ``obsm["X_types"]``."""
    adata = typed_counts(60)
    types = adata.obs["cell_type"].str[-1].astype(int).to_numpy()
    adata.obsm["X_types"] = np.eye(3)[types] + np.arange(60)[:, None] / 1000
    return adata


def test_embeddings_are_taken_out_of_the_selector():
    rest, chosen = take_embeddings("pca,obsm:X_a[trained_on=census 2023],vae[n_latent=3],obsm:X_b")
    assert rest == "pca,vae[n_latent=3]"
    assert [(one.name, one.values) for one in chosen] == [
        ("obsm:X_a", {"trained_on": "census 2023"}), ("obsm:X_b", {}),
    ]  # fmt: skip
    with pytest.raises(UsageError) as error:
        take_embeddings("obsm:X_a[n_latent=3]")
    assert error.value.code == "unknown_name"


@pytest.mark.slow  # starts the server of processes
def test_two_embeddings_beside_pca(cells: AnnData, tmp_path: Path):
    """Rows follow the names of the cells, cost is unknown, none is ranked, overlap is counted."""
    cells.obsm["X_noise"] = np.random.default_rng(0).standard_normal((60, 4))
    cells.write_h5ad(tmp_path / "cells.h5ad")
    (tmp_path / "seen.txt").write_text("\n".join([*cells.obs_names[:15], "another"]))
    bench.run(
        f"pca,obsm:X_types,obsm:X_none,obsm:X_noise[trained_cells={tmp_path}/seen.txt]",
        tmp_path / "cells.h5ad", seeds=1, results=tmp_path / "results", umap=False,
    )  # fmt: skip
    results = bench.load_results(tmp_path / "results", columns="all").set_index("method_name")
    assert set(results.index) == {"pca", "obsm:X_types", "obsm:X_noise"}
    assert results.loc["obsm:X_types", "kmeans/ari"] == pytest.approx(1)
    assert results.loc["obsm:X_noise", "kmeans/ari"] < 0.3
    assert results.loc["obsm:X_types", "family"] == "precomputed"
    assert "15 of these cells (25%)" in results.loc["obsm:X_noise", "notes"]
    board = leaderboard(results.reset_index()).set_index("method")
    assert board.loc["obsm:X_types", "note"].startswith("precomputed")
    assert np.isnan(board.loc["obsm:X_types", "median time (s)"])
    assert np.isnan(board.loc["obsm:X_types", "mean rank"])
