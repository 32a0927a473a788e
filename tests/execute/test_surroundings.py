"""What shells, notebooks, batch systems and the current folder hold does not reach a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.store.results_table import load_results

PLUGIN = """
from bench.contract import Fit, Method, RNA


class Moves(Method):
    name, summary, reference, family = "moves", "changes its folder", "none", "baseline"
    modalities = frozenset({RNA})

    def fit(self, data, context):
        import multiprocessing
        import os

        os.chdir(context.scratch)
        # Its sockets lie in the folder for temporary files.
        with multiprocessing.get_context("fork").Manager() as manager:
            assert list(manager.list([1])) == [1]
        return Fit(data.X.toarray()[:, :3])
"""


@pytest.mark.slow
def test_a_run_among_scripts_of_the_user(flags: dict[str, Any], tmp_path: Path, results: Path):
    folder = tmp_path / "work"
    long = folder / ("job_scratch_of_a_batch_system/" * 4)
    long.mkdir(parents=True)
    (folder / "bench").mkdir()
    for name in ("bench", "umap", "random", "torch"):
        (folder / f"{name}.py").write_text(f"print('ran {name}'); raise SystemExit('{name}')\n")
    plugin = tmp_path / "moves.py"
    plugin.write_text(PLUGIN)
    environment = os.environ | {
        "TMPDIR": str(long), "PYTHONIOENCODING": "ascii", "PYTHONWARNINGS": "error",
        "MPLBACKEND": "module://no_such.backend",
    }  # fmt: skip
    command = [
        str(Path(sys.executable).with_name("bench")), "run", "-m", "noop,moves", "-d", "toy",
        "--results", os.path.relpath(results, folder), "--cache-dir", str(flags["cache_dir"]),
        "--seeds", "1", "--no-report", "--plugin", str(plugin),
    ]  # fmt: skip
    for path in flags["plugins"]:
        command += ["--plugin", path]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    text = ran.stdout + ran.stderr
    assert ran.returncode == 0, text
    assert "ran " not in text
    assert "Traceback" not in text
    table = load_results(results, columns="all")
    assert table["status"].tolist() == ["done", "done"]
    assert "ran " not in "".join((Path(one) / "log.txt").read_text() for one in table["artifacts"])
