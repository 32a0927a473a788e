"""The functions of ``bench`` work after every module of it was imported."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import bench

PLUGINS = tuple(str(Path(__file__).parent / "plugins" / name) for name in ("toy.py", "tunable.py"))
EXTRA_PACKAGES = {"dask", "distributed", "submitit", "scvi"}


def test_every_public_function_after_every_import(tmp_path: Path, toy_counts: Any):
    for module in pkgutil.walk_packages(bench.__path__, "bench."):
        if module.name == "bench.__main__":
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as missing:
            if missing.name not in EXTRA_PACKAGES:
                raise
    assert set(bench.__all__) <= set(dir(bench))
    flags = {
        "plugins": PLUGINS, "seeds": "1", "jobs": 1, "cache_dir": tmp_path / "cache",
        "results": tmp_path / "results",
    }  # fmt: skip
    outcome = bench.run("tunable[steps=1]", "blobs", report=False, **flags)
    assert outcome.counts == {"done": 1}
    (row,) = bench.load_results(tmp_path / "results").to_dict("records")
    assert row["method"] == "tunable[steps=1]"
    scores = bench.score([[0.0], [0.1], [5.0], [5.1]], ["a", "a", "b", "b"], metrics="ari")
    assert scores["kmeans/ari"] == 1.0
    names = (bench.list_methods(), bench.list_datasets(plugins=PLUGINS), bench.list_metrics())
    known = zip(("pca", "blobs", "ari"), names, strict=True)
    assert all(name in table.index for name, table in known)
    found = bench.search("tunable[steps=1]", "blobs", trials=2, report=False, **flags)
    assert len(found.studies) == 1
    fitted = bench.estimator("pca", n_components=2).fit(toy_counts)
    assert fitted.transform(toy_counts).shape == (60, 2)
    assert bench.__version__
