"""Every real file of the data folder loads by name, with the sizes that its README states."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bench.data.cache.data_cache import DataCache
from bench.plan.build import load_datasets
from bench.settings import load_settings

ROW = re.compile(r"^\| (\w+) \| (\d+) × (\d+)[^|]*\| (\d+)", re.MULTILINE)


def stated() -> list[tuple[str, int, int, int]]:
    readme = Path(os.environ.get("BENCH_DATA_DIR", "")) / "README.md"
    text = readme.read_text() if os.environ.get("BENCH_DATA_DIR") and readme.is_file() else ""
    return [(name, int(a), int(b), int(c)) for name, a, b, c in ROW.findall(text)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n_cells", "n_features", "n_types"), stated())
def test_a_file_has_the_stated_size(
    name: str, n_cells: int, n_features: int, n_types: int, tmp_path: Path
):
    settings = load_settings({"cache_dir": tmp_path, "offline": True})
    stored, absent = load_datasets(name, settings, DataCache(tmp_path), lambda text: None)
    assert not absent
    found = stored[0]
    assert (found.info.n_cells, found.info.n_features) == (n_cells, n_features)
    assert found.n_types == n_types
