"""The gate sees faults of the program itself, also where results and cache are kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
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


def copy_program(folder: Path) -> Path:
    for name in ("bench", "methods", "datasets", "reports"):
        shutil.copytree(
            TREE / name, folder / name, symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )  # fmt: skip
    return folder


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the program."""
    return copy_program(tmp_path / "clone")


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


Command = Callable[..., int]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, steady_source: str) -> tuple[Path, Command]:
    """A copy of the program whose check passes, and a function that checks it again."""
    folder = tmp_path_factory.mktemp("gate")
    program, steady = copy_program(folder / "clone"), folder / "steady.py"
    steady.write_text(steady_source)
    environment = os.environ | {
        "PYTHONPATH": str(program), "BENCH_CACHE_DIR": str(folder / "cache"),
        "BENCH_RESULTS": str(folder / "results"), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip

    def go(*arguments: str) -> int:
        return subprocess.run(
            [sys.executable, "-m", "bench", *arguments], cwd=folder, env=environment,
            capture_output=True, timeout=280,
        ).returncode  # fmt: skip

    assert go(
        "baseline", "write", "-m", "steady", "-d", "toy", "--seeds", "1", "--device", "cpu",
        "--out", "baseline.yaml", "--plugin", str(TOY), "--plugin", str(steady),
    ) == 0  # fmt: skip
    assert go("check", "baseline.yaml") == 0
    return program, go


@pytest.mark.slow
@pytest.mark.parametrize("file", FAULTS)
def test_a_fault_in_a_room_fails_with_a_kept_store(file: str, gate: tuple[Path, Command]):
    program, go = gate
    sound = plant(program, file)
    try:
        assert go("check", "baseline.yaml") in (1, 3)
    finally:
        (program / "bench" / file).write_text(sound)
