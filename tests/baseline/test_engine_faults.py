"""The gate sees faults of the program itself, also where results and cache are kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.baseline.gate_store import engine_digest

TREE = Path(__file__).parents[2]
TOY = TREE / "tests" / "plugins" / "toy.py"
FAULT = """

_sound = {name}


def {name}(*arguments, **more):
    from dataclasses import replace

    import numpy as np

    found = _sound(*arguments, **more)
    return {result}
"""
FAULTS = {
    "data/cache/prepared_files.py": ("open_prepared_folder", "(found[0], np.roll(found[1], 1))"),
    "data/cache/dataset_files.py": ("_texts", "np.roll(found, 1)"),
    "prepare/pipeline.py": ("apply_recipe", "replace(found, cells=np.roll(found.cells, 1))"),
    "scoring/clustering.py": ("kmeans", "np.roll(found, 1)"),
    "plan/job.py": ("with_seed", "replace(found, uses=())"),
    "execute/fitting.py": (
        "fit_method", "replace(found, embedding=np.roll(found.embedding, 1, axis=0))",
    ),
}  # fmt: skip
"""A function of each room, and a wrong result of it."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the program."""
    folder = tmp_path / "clone"
    for name in ("bench", "methods", "datasets", "reports"):
        shutil.copytree(
            TREE / name, folder / name, symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )  # fmt: skip
    return folder


def plant(clone: Path, file: str) -> str:
    """Add a fault to a file; returns the sound text."""
    path, (name, result) = clone / "bench" / file, FAULTS[file]
    sound = path.read_text()
    path.write_text(sound + FAULT.format(name=name, result=result))
    return sound


@pytest.mark.parametrize("file", [*FAULTS, "seeds.py", "versions.py"])
def test_an_edit_of_the_engine_gives_the_gate_another_store(clone: Path, file: str):
    before = engine_digest(clone / "bench")
    path = clone / "bench" / file
    path.write_text(path.read_text() + "\nx = 1\n")
    engine_digest.cache_clear()
    assert engine_digest(clone / "bench") != before


@pytest.mark.parametrize("file", ["cli/run.py", "reports/write.py", "methods/pca.py"])
def test_other_edits_keep_the_store(clone: Path, file: str):
    before = engine_digest(clone / "bench")
    path = clone / "bench" / file
    path.write_text(path.read_text() + "\nx = 1\n")
    engine_digest.cache_clear()
    assert engine_digest(clone / "bench") == before


@pytest.mark.slow
def test_a_fault_in_each_room_fails_with_a_kept_store(clone: Path, tmp_path: Path, steady: Path):
    baseline, python = tmp_path / "baseline.yaml", [sys.executable, "-m", "bench"]
    environment = os.environ | {
        "PYTHONPATH": str(clone), "BENCH_CACHE_DIR": str(tmp_path / "cache"),
        "BENCH_RESULTS": str(tmp_path / "results"), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip

    def go(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*python, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip

    plugins = ["--plugin", str(TOY), "--plugin", str(steady)]
    written = go(
        "baseline", "write", "-m", "steady", "-d", "toy", "--seeds", "1", "--device", "cpu",
        "--out", str(baseline), *plugins,
    )  # fmt: skip
    assert written.returncode == 0, written.stderr
    assert go("check", str(baseline)).returncode == 0
    passed = []
    for file in FAULTS:
        sound = plant(clone, file)
        if go("check", str(baseline)).returncode == 0:
            passed.append(file)
        (clone / "bench" / file).write_text(sound)
    assert passed == []
    assert go("check", str(baseline)).returncode == 0
