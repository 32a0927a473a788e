"""``bench data concat``: files of several batches in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from anndata import AnnData
from typer.testing import CliRunner

from bench.cli.main import app
from bench.data.tools.concat import concat_datasets
from bench.errors import BenchError
from bench.settings import load_settings


@pytest.fixture
def files(tmp_path: Path, toy_counts: AnnData, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files with overlapping genes and equal names of cells; types in different columns."""
    monkeypatch.chdir(tmp_path)
    toy_counts[:, :30].copy().write_h5ad("a.h5ad")
    other = toy_counts[:, 10:].copy()
    other.obs = other.obs.rename(columns={"cell_type": "kind"})
    other.write_h5ad("b.h5ad")
    return tmp_path


def concat(*texts: str, **more: Any) -> AnnData:
    options = {"out": Path("out.h5ad"), "batch_key": "sample", "settings": load_settings({})}
    return concat_datasets(texts, **(options | more))


def test_files_are_joined_over_their_common_features(files: Path, toy_counts: AnnData):
    ran = CliRunner().invoke(
        app,
        ["data", "concat", "a.h5ad", "b.h5ad[label_key=kind]", "--batch-key", "sample", "--out",
         "out.h5ad"],
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    joined = anndata.read_h5ad("out.h5ad")
    assert joined.shape == (120, 20)
    assert joined.obs["sample"].tolist() == ["a"] * 60 + ["b"] * 60
    assert joined.obs_names.is_unique
    expected = toy_counts[:, 10:30].X.toarray()
    np.testing.assert_array_equal(joined.X.toarray(), np.vstack([expected, expected]))


def test_names_are_those_given(files: Path):
    joined = concat("a.h5ad", "b.h5ad", names=("one", "two"), batch_key="batch")
    assert sorted(set(joined.obs["batch"])) == ["one", "two"]


@pytest.mark.parametrize(
    ("texts", "more", "code"),
    [
        (["a.h5ad"], {}, "missing_value"),
        (["a.h5ad", "a.h5ad"], {}, "invalid_value"),
        (["a.h5ad", "b.h5ad"], {"names": ("x",)}, "invalid_value"),
        (["a.h5ad", "b.h5ad"], {"out": Path("x.csv")}, "invalid_value"),
        (["a.h5ad", "b.h5ad[modality=atac]"], {}, "wrong_modality"),
        (["a.h5ad", "nothing.h5ad"], {}, "missing_file"),
    ],
)
def test_faults(files: Path, texts: list[str], more: dict[str, Any], code: str):
    with pytest.raises(BenchError) as error:
        concat(*texts, **more)
    assert error.value.code == code


def test_no_common_feature(files: Path, toy_counts: AnnData):
    toy_counts = toy_counts.copy()
    toy_counts.var_names = [f"other{i}" for i in range(40)]
    toy_counts.write_h5ad("c.h5ad")
    with pytest.raises(BenchError) as error:
        concat("a.h5ad", "c.h5ad")
    assert error.value.code == "no_shared_features"
