from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"numpy", "scipy", "pandas", "torch", "sklearn", "anndata", "scanpy", "mlflow", "plotly"}


def bench(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", *words], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize("words", [["--help"], ["methods"], ["datasets"], ["methods", "vae"]])
def test_listing_imports_nothing_heavy(words: list[str]):
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['bench', *{words!r}]\n"
        "try:\n    runpy.run_module('bench.cli', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.rstrip().endswith("HEAVY []")


def test_every_method_of_the_issue_is_listed():
    rows = json.loads(bench("methods", "--json").stdout)
    names = {row["method"] for row in rows}
    assert {
        "ae", "sparse_ae", "stacked_ae", "vae", "nmf", "lsnmf", "pca", "pca_umap", "lsi",
        "random", "truth",
    } <= names  # fmt: skip


def test_a_card_shows_parameters_with_bounds_and_search():
    card = json.loads(bench("methods", "vae", "--json").stdout)
    by_name = {row["parameter"]: row for row in card["parameters"]}
    assert by_name["learning_rate"]["valid"]
    assert "log" in by_name["learning_rate"]["search"]
    assert card["reference"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["run", "-m", "vea", "-d", "sim_rna"], "no method named 'vea'. Did you mean 'vae'"),
        (["run", "-m", "vae", "-d", "pbmc68"], "no dataset named 'pbmc68'. Did you mean"),
        (["run", "-m", "vae", "-d", "./none.h5ad"], "none.h5ad"),
        (["run", "-m", "vae[n_latnt=3]", "-d", "sim_rna"], "no parameter 'n_latnt'. Did you mean"),
        (["run", "-m", "vae[n_latent=0]", "-d", "sim_rna"], "vae.n_latent='0'"),
        (["run", "-m", "vae", "-d", "sim_rna", "--seeds", "x"], "--seeds='x'"),
        (["run", "-m", "vae", "-d", "sim_rna", "--profile", "fast"], "--profile='fast'"),
        (["run", "-m", "vae", "-d", "sim_rna", "--set", "vae.x"], "expected method.parameter"),
        (
            ["run", "-m", "vae", "-d", "sim_rna", "--set", "ae.n_latent=2"],
            "not among the selected",
        ),
        (["run", "-m", "vae", "-d", "sim_rna", "--plugin", "no.py"], "no.py: no such file"),
        (["run", "-m", "tag:deep", "-d", "sim_rna"], "no method has the tag 'deep'"),
        (["methods", "vea"], "no method named 'vea'"),
        (["report"], "no results there"),
        (["ui"], "no results there"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(words: list[str], part: str, tmp_path: Path):
    ran = bench(*words, cwd=tmp_path)
    assert ran.returncode == 2, ran.stderr
    lines = ran.stderr.strip().splitlines()
    assert len(lines) == 1
    assert part in lines[0]
    assert list(tmp_path.iterdir()) == []
