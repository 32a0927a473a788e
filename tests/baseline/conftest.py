from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _sources import forget_sources

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"
STEADY = """
from bench.contract import Fit, Method, RNA


class Steady(Method):
    name, summary, reference, family = "steady", "finds the types", "none", "baseline"
    modalities = frozenset({RNA})

    def fit(self, data, context):
        import numpy as np

        counts = data.layers["counts"].toarray()
        means = np.stack([counts[:, i * 8 : i * 8 + 8].mean(axis=1) for i in range(3)], axis=1)
        noise = np.random.default_rng(context.seed).normal(size=means.shape)
        return Fit(means + 0.8 * noise)
"""


@pytest.fixture(scope="session")
def steady_source() -> str:
    return STEADY


@pytest.fixture
def steady(tmp_path: Path) -> Path:
    """A plugin whose method finds the types of the toy dataset."""
    path = tmp_path / "steady.py"
    path.write_text(STEADY)
    return path


@pytest.fixture
def edit(steady: Path) -> Callable[[str, str], None]:
    """Replace text in the plugin, and forget what this process has read of it."""

    def go(old: str, new: str) -> None:
        assert old in steady.read_text()
        steady.write_text(steady.read_text().replace(old, new))
        forget_sources()

    return go


@pytest.fixture
def flags(tmp_path: Path, cache: Path, empty_store: Path, steady: Path) -> dict[str, Any]:
    """Settings of a small gate: the toy dataset and the plugin."""
    from bench.baseline.environment import fingerprint
    from bench.baseline.gate_store import store_name

    results = tmp_path / "results"
    for threads in (1, 2):
        folder = results / store_name(fingerprint(threads, "cpu"))
        folder.mkdir(parents=True)
        shutil.copy(empty_store, folder / "mlflow.db")
    return {
        "results": results, "cache_dir": cache, "plugins": (str(TOY), str(steady)), "jobs": 2,
        "timeout": 60.0, "memory": 1.0, "device": "cpu",
    }  # fmt: skip
