"""The import rules in pyproject.toml hold, and notice an import that they forbid."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).parents[1]
LINTER = Path(sys.executable).with_name("lint-imports")
needs_linter = pytest.mark.skipif(not LINTER.exists(), reason="import-linter is not installed")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the source and of the rules."""
    for name in ("bench", "methods", "datasets", "reports"):
        shutil.copytree(
            TREE / name, tmp_path / name, symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.yaml", "*.j2", "*.js", "*.css"),
        )  # fmt: skip
    shutil.copy(TREE / "pyproject.toml", tmp_path)
    return tmp_path


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINTER, "--no-cache"], cwd=tree, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(tree)},
    )  # fmt: skip


@needs_linter
@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("methods/pca.py", "from bench.store.spool import Spool"),
        ("bench/tuning/study.py", "from bench.apply.estimator import Estimator"),
        ("bench/execute/tasks.py", "from bench.methods.pca import PCA"),
        ("bench/contract/recipe.py", "from bench.contract.method import Method"),
    ],
)
def test_a_forbidden_import_is_found(tree: Path, file: str, line: str):
    path = tree / file
    path.write_text(path.read_text() + f"\n{line}\n")
    ran = lint(tree)
    assert ran.returncode == 1
    assert "BROKEN" in ran.stdout


@needs_linter
def test_the_rules_hold(tree: Path):
    ran = lint(tree)
    assert ran.returncode == 0, ran.stdout
