"""The user's files are read in a limited process behind the wall."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import psutil
import pytest

from bench.data.cache.data_cache import DataCache
from bench.data.file_dataset import FileDataset
from bench.errors import DataError
from bench.execute import landlock
from bench.execute.channel import ReadingTask
from bench.execute.dataset_reading import open_cache
from bench.execute.limited_process import Limits, run_limited
from bench.execute.wall import Wall
from bench.settings import Settings


def write_counts(path: Path, n_cells: int = 60, n_genes: int = 30) -> Path:
    counts = np.random.default_rng(0).poisson(1, (n_cells, n_genes)).astype(np.float32)
    obs = pd.DataFrame({"cell_type": np.arange(n_cells) % 3}, [f"c{i}" for i in range(n_cells)])
    obs["cell_type"] = "t" + obs["cell_type"].astype(str)
    var = pd.DataFrame(index=[f"GENE{i}" for i in range(n_genes)])
    ad.AnnData(counts, obs=obs, var=var).write_h5ad(path)
    return path


def settings_of(tmp_path: Path, **values: object) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", results=tmp_path / "results", **values)


def dataset(path: Path, **params: object) -> FileDataset:
    return FileDataset.from_path(path, FileDataset.Params(**params))


def test_a_file_is_read_as_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_counts(tmp_path / "x.h5ad")
    monkeypatch.chdir(tmp_path)  # the path is relative
    data = dataset(Path("x.h5ad"), label_key="cell_type")
    there = open_cache(settings_of(tmp_path)).load_dataset(data, "", "x")
    here = DataCache(tmp_path / "other").load_dataset(data, "", "x")
    assert there.facts == here.facts
    assert there.n_types == 3


def test_an_error_keeps_its_code(tmp_path: Path) -> None:
    data = dataset(write_counts(tmp_path / "x.h5ad"), label_key="nope")
    with pytest.raises(DataError) as error:
        open_cache(settings_of(tmp_path)).load_dataset(data, "", "x")
    assert error.value.code == "missing_column"
    assert "cell_type" in str(error.value)


def test_a_file_that_takes_too_much_memory_does_not_harm_the_driver(tmp_path: Path) -> None:
    data = dataset(write_counts(tmp_path / "x.h5ad", 3000, 8000), label_key="cell_type")
    before = psutil.Process().memory_info().rss
    with pytest.raises(DataError) as error:
        open_cache(settings_of(tmp_path, memory=0.005)).load_dataset(data, "", "x")
    assert error.value.code == "too_large"
    assert psutil.Process().memory_info().rss - before < 50 * 2**20


def test_what_the_reader_says_reaches_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = dataset(write_counts(tmp_path / "x.h5ad"), label_key="cell_type")
    with caplog.at_level(logging.INFO, "bench"):
        open_cache(settings_of(tmp_path)).load_dataset(data, "", "x")
    assert "loading and checking" in caplog.text


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_the_process_opens_no_other_file(tmp_path: Path) -> None:
    data = dataset(write_counts(tmp_path / "x.h5ad"), label_key="cell_type")
    cache = tmp_path / "cache"
    DataCache(cache)
    wall = Wall(writable=(cache,), scratch=cache)  # the file is not among what it may read
    task = ReadingTask(data, cache, wall, cache, tmp_path)
    outcome = run_limited("read_dataset", task, Limits(math.inf, 4.0))
    assert "folder" not in outcome.value
    assert outcome.value.get("code") == "unreadable" or "Permission" in outcome.reason
