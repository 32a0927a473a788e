"""``bench fit --graph`` and ``fit(graph=...)``: the user's own graph of the cells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData, read_h5ad
from sklearn.metrics import adjusted_rand_score
from typer.testing import CliRunner

import bench
from bench.cli.main import app
from bench.errors import UsageError

SHORT = {"pretrain_epochs": 40, "max_epochs": 20}


@pytest.fixture
def cells() -> AnnData:
    """Counts without structure, and a graph of two cliques in ``obsp``."""
    rng = np.random.default_rng(0)
    adata = AnnData(sp.csr_matrix(rng.poisson(1.0, (60, 40)).astype(np.float32)))
    clique = np.arange(60) % 2
    adata.obsp["mine"] = sp.csr_matrix((clique[:, None] == clique[None, :]).astype(float))
    return adata


@pytest.mark.slow
def test_the_estimator_takes_a_key_or_a_matrix(cells: AnnData):
    for given in ("mine", cells.obsp["mine"]):
        model = bench.estimator("scmgca", **SHORT).fit(cells, n_clusters=2, graph=given)
        assert model.fit_.notes["cell graph"].startswith("given")
        found = model.own_labels_["self_trained"]
        assert adjusted_rand_score(np.arange(60) % 2, found) == 1
    assert (
        "cell graph" not in bench.estimator("scmgca", **SHORT).fit(cells, n_clusters=2).fit_.notes
    )
    with pytest.raises(UsageError) as error:
        bench.estimator("pca").fit(cells, graph="mine")
    assert error.value.code == "not_supported"


@pytest.mark.slow
def test_bench_fit_takes_a_key_and_writes_the_mask(cells: AnnData, tmp_path: Path):
    cells.write_h5ad(tmp_path / "x.h5ad")
    sets = [word for name, value in SHORT.items() for word in ("--set", f"scimta.{name}={value}")]
    words = ["fit", "scimta", str(tmp_path / "x.h5ad"), "--graph", "mine", "--n-clusters", "2",
             "--no-umap", "--out", str(tmp_path / "out"), *sets]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    facts = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert facts["graph"] == "mine"
    assert facts["notes"]["cell graph"].startswith("given")
    imputed = read_h5ad(tmp_path / "out" / "imputed.h5ad")
    mask, observed = imputed.layers["mask"], cells[:, imputed.var_names].X.toarray() > 0
    np.testing.assert_array_equal(mask == 1, observed)
    np.testing.assert_array_equal(mask == 0, np.asarray(imputed.X) == 0)
