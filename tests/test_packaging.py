"""What is installed is what is in the tree."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TREE = Path(__file__).parents[1]


@pytest.mark.skipif(not (TREE / ".git").exists(), reason="not a git checkout: no list of files")
def test_wheel_holds_every_file_of_the_package(tmp_path: Path):
    listed = subprocess.run(
        ["git", "ls-files", "bench", "methods", "datasets", "reports"],
        cwd=TREE, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    expected = {
        name if name.startswith("bench/") else f"bench/{name}"
        for name in listed
        if not (TREE / name).is_symlink()
    }
    assert {
        "bench/reports/page/templates/page.html.j2", "bench/cli/templates/method.py.txt",
        "bench/methods/vae.py", "bench/py.typed",
    } <= expected  # fmt: skip
    source = tmp_path / "source"
    subprocess.run(["git", "checkout-index", "-a", f"--prefix={source}/"], cwd=TREE, check=True)
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source],
        capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected
