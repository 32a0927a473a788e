"""Types and proteins of held-out cells, predicted and scored in a whole run."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from bench.execute import landlock


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of three types, each with a protein of its own and one without information."""
    rng = np.random.default_rng(0)
    types = np.arange(150) % 3
    rate = np.full((150, 60), 0.5)
    for kind in range(3):
        rate[np.ix_(types == kind, np.arange(kind, 60, 3))] = 4.0
    adata = anndata.AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    adata.obs_names = [f"c{n}" for n in range(150)]
    adata.var_names = [f"g{n}" for n in range(60)]
    adata.obs["cell_type"] = [f"t{kind}" for kind in types]
    proteins = rng.poisson(np.where(np.eye(4)[types, :] > 0, 40.0, 5.0)).astype(np.float32)
    adata.obsm["ADT"] = pd.DataFrame(proteins, adata.obs_names, ["P0", "P1", "P2", "flat"])
    path = tmp_path_factory.mktemp("proteins") / "cite.h5ad"
    adata.write_h5ad(path)
    return path


@pytest.mark.slow
def test_predictions_for_held_out_cells_are_scored(file: Path, results: Path, tmp_path: Path):
    from rich.console import Console

    from bench.execute.run import run

    console = Console(file=StringIO(), width=200)
    guided = "sakura[markers=false,proteins=true,label_share=1,n_latent=5,hidden=20,batch_size=16]"
    outcome = run(
        f"{guided},pca", f"{file}[train=0.7]", seeds=1, jobs=1, report=False, console=console,
        results=results, cache_dir=tmp_path / "cache",
    )  # fmt: skip
    assert outcome.exit_code == 0, console.file.getvalue()
    rows = outcome.table.set_index("method_name")
    assert rows["predicted/type_accuracy"]["sakura"] > 0.9
    assert rows["predicted/type_ap"]["sakura"] > 0.9
    # One of the four proteins cannot be known.
    assert 0.5 < rows["predicted/protein_correlation"]["sakura"] < 0.9
    assert np.isnan(rows["predicted/type_accuracy"]["pca"])
    folder = Path(rows["artifacts"]["sakura"]) / "predicted"
    predicted = pd.read_parquet(folder / "labels.parquet")
    assert list(predicted.columns) == ["t0", "t1", "t2"]
    # The files have the names of the cells; only those held out are in them.
    assert predicted.index.isin([f"c{n}" for n in range(150)]).all()
    assert len(predicted) == 45


PEEK = """
import json
from pathlib import Path

import numpy as np

from bench.contract import RNA, Fit, Method


class Peek(Method):
    name = "peek"
    summary = "looks for labels of held-out cells"
    reference = "none"
    modalities = frozenset({RNA})
    family = "control"

    def needs(self):
        return frozenset({"labels", "proteins"})

    def fit(self, data, context):
        found = {}
        for folder in (DATASETS, context.scratch.parent, Path.home()):
            for path in folder.rglob("*.npy"):
                try:
                    found.setdefault(path.name, []).append(len(np.unique(np.load(path))))
                except OSError:
                    pass
        assert "t0" in set(context.knowledge.labels)
        return Fit(np.zeros((data.n_obs, 1)) + np.arange(data.n_obs)[:, None], notes=found)

    def transform(self, data):
        return np.arange(data.n_obs)[:, None]
"""


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
def test_a_fit_cannot_read_the_labels_of_held_out_cells(file: Path, results: Path, tmp_path: Path):
    from bench.execute.run import run

    cache = tmp_path / "cache"
    (tmp_path / "peek.py").write_text(PEEK.replace("DATASETS", f"Path({str(cache)!r})"))
    outcome = run(
        "peek", f"{file}[train=0.7]", seeds=1, jobs=1, report=False, results=results,
        cache_dir=cache, plugins=(str(tmp_path / "peek.py"),),
    )  # fmt: skip
    (row,) = outcome.table.to_dict("records")
    assert row["status"] == "done", row["reason"]
    notes = json.loads(row["notes"])
    # One more value than there are types: none, of the cells that are held out.
    assert notes["types.npy"] == "[4]"
    assert "has no predict_inputs" in row["missing"]
