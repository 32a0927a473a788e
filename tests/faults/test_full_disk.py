"""A full disk for temporary files is not the method's doing."""

from __future__ import annotations

import multiprocessing.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from _reliability import Row, write_part

from bench.execute.run import run

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"
METHOD = """
from bench.contract import Fit, Method, RNA


class Writes(Method):
    name, summary, reference, family = "writes", "needs 3 MB of scratch", "none", "baseline"
    modalities = frozenset({RNA})

    def fit(self, data, context):
        import tempfile

        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(3 * 2**20))
        return Fit(data.X.toarray()[:, :3])
"""


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 2 MB for temporary files."""
    folder = Path(tempfile.mkdtemp(prefix="small-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("only root may mount a small disk")
    multiprocessing.util.get_temp_dir()  # this process keeps its own elsewhere
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


@pytest.mark.slow
def test_a_job_runs_again_once_there_is_room(
    small_disk: Path, tmp_path: Path, cache: Path, empty_store: Path, monkeypatch
):
    plugin, results = tmp_path / "writes.py", tmp_path / "results"
    plugin.write_text(METHOD)
    results.mkdir()
    shutil.copy(empty_store, results / "mlflow.db")

    def statuses() -> list[str]:
        outcome = run(
            "writes", "toy", report=False, results=results, cache_dir=cache, seeds=2,
            plugins=(str(plugin), str(TOY)), jobs=2,
        )  # fmt: skip
        assert outcome.table is not None
        return list(outcome.table["status"])

    full = statuses()
    monkeypatch.setattr(tempfile, "tempdir", None)
    again = statuses()
    rows = [
        Row("temporary files: disk full", ", ".join(sorted(set(full))), 2, lost=2 - len(full)),
        Row("the same, at the next start", ", ".join(sorted(set(again))), 2, lost=2 - len(again)),
    ]
    write_part("A full disk for temporary files", rows)
    assert full == ["interrupted"] * 2
    assert again == ["done"] * 2
