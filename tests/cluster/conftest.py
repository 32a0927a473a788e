from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _command import bench, bench_json

PLUGINS = Path(__file__).parents[1] / "plugins"


@pytest.fixture
def results(tmp_path: Path, empty_store: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture
def words(results: Path, cache: Path) -> list[str]:
    """Options of a small run on the toy datasets and faulty methods."""
    return [
        "--results", str(results), "--cache-dir", str(cache), "--seeds", "2", "--jobs", "2",
        "--timeout", "60", "--memory", "1", "--plugin", str(PLUGINS / "faulty.py"),
        "--plugin", str(PLUGINS / "toy.py"),
    ]  # fmt: skip


@pytest.fixture
def plan_array(tmp_path: Path, words: list[str]) -> Callable[..., Path]:
    """Write an array; returns its folder."""

    def plan(methods: str = "noop", datasets: str = "toy", *more: str) -> Path:
        folder = tmp_path / "array"
        bench_json("plan", "-m", methods, "-d", datasets, *words, "--array", str(folder), *more)
        return folder

    return plan


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Write a settings file with a table of the engine; returns its path."""

    def write(**options: Any) -> Path:
        path = tmp_path / "bench.toml"
        lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
        path.write_text("[engine]\n" + "\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture
def work() -> Callable[..., Any]:
    """Run one task of an array in this process."""

    def run(folder: Path, number: int, *more: str, exit_code: int = 0) -> Any:
        ran = bench("worker", f"{folder}/{number}", *more)
        assert ran.exit_code == exit_code, ran.output
        return ran

    return run
