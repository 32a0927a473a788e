"""``bench fit`` on two parts of the same cells: from one file or two, to one ``.h5mu``."""

from __future__ import annotations

from pathlib import Path

import mudata
import numpy as np
import pytest
from _command import bench, error_code
from mudata import MuData

from bench.datasets.sim_multiome import SimMultiome


@pytest.fixture(scope="module")
def pair() -> MuData:
    params = SimMultiome.Params(n_cells=80, n_genes=60, n_peaks=200)
    return SimMultiome(params).load()


def fit(*words: str | Path) -> None:
    result = bench("fit", "pca_lsi", *map(str, words), "--no-umap")
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_one_file_or_two_give_the_same_embedding(pair: MuData, tmp_path: Path):
    pair.write(tmp_path / "both.h5mu")
    for name in ("rna", "atac"):
        pair[name].write(tmp_path / f"{name}.h5ad")
    fit(tmp_path / "both.h5mu", "--out", tmp_path / "one")
    fit(tmp_path / "rna.h5ad", "--atac", tmp_path / "atac.h5ad", "--out", tmp_path / "two")
    one, two = (mudata.read_h5mu(tmp_path / name / "result.h5mu") for name in ("one", "two"))
    assert list(one.obs_names) == list(pair.obs_names)
    (key,) = one.obsm.keys() - {"rna", "atac"}
    np.testing.assert_array_equal(one.obsm[key], two.obsm[key])
    for part in ("rna", "atac"):
        assert list(one[part].var_names) == list(pair[part].var_names)
        assert (one[part].X != pair[part].X).nnz == 0


def test_parts_of_other_cells(pair: MuData, tmp_path: Path):
    pair["rna"].write(tmp_path / "rna.h5ad")
    peaks = pair["atac"].copy()
    peaks.obs_names = [f"other{name}" for name in peaks.obs_names]
    peaks.write(tmp_path / "atac.h5ad")
    words = ["fit", "pca_lsi", tmp_path / "rna.h5ad", "--atac", tmp_path / "atac.h5ad"]
    result = bench(*map(str, words), "--out", str(tmp_path / "out"))
    assert error_code(result) == "different_cells"
    assert not (tmp_path / "out").exists()
