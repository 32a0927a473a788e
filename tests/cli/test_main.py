from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"numpy", "scipy", "pandas", "torch", "sklearn", "anndata", "scanpy", "mlflow", "plotly"}


def bench(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *words], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize("words", [["--help"], ["methods"], ["datasets"], ["methods", "vae"]])
def test_listing_imports_nothing_heavy(words: list[str]):
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['bench', *{words!r}]\n"
        "try:\n    runpy.run_module('bench.cli.main', run_name='__main__')\n"
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
        (["methods", "PCAA"], "Did you mean 'pca'"),
        (["run", "-m", "pca", "-d", "sim_rna", "--protocol", "foo"], "it needs --tune"),
        (["run", "-m", "pca", "-d", "sim_rna", "--seeds", "20260101"], "write '20260101,'"),
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


def write_bad(folder: Path, fault: str) -> Path:
    """Write an .h5ad file of 30 cells with one fault."""
    import numpy as np
    from anndata import AnnData

    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (30, 12)).astype(np.float32)
    adata = AnnData(counts)
    adata.obs_names = [f"cell{i}" for i in range(30)]
    adata.var_names = [f"gene{i}" for i in range(12)]
    adata.obs["cell_type"] = [f"type{i % 3}" for i in range(30)]
    if fault == "NaN":
        adata.X[3, 2] = np.nan
    elif fault == "negative":
        adata.X[3, 2] = -1
    elif fault == "log":
        adata.X = np.log1p(adata.X)
    elif fault == "one type":
        adata.obs["cell_type"] = "only"
    elif fault == "identifiers":
        adata.obs["cell_type"] = list(adata.obs_names)
    elif fault == "gaps":
        adata.obs["cell_type"] = adata.obs["cell_type"].where(np.arange(30) > 4)
    elif fault == "few":
        adata = adata[:5].copy()
    elif fault == "no column":
        del adata.obs["cell_type"]
    path = folder / "mine.h5ad"
    if fault == "text":
        path.write_text("not a file of HDF5")
    else:
        adata.write_h5ad(path)
    return path


@pytest.mark.parametrize(
    ("fault", "part"),
    [
        ("NaN", "1 NaN or infinite"),
        ("negative", "negative values (smallest -1)"),
        ("log", "not whole numbers"),
        ("one type", "one type only ('only')"),
        ("identifiers", "30 cells of 30 types"),
        ("gaps", "5 of 30 cells have no label"),
        ("few", "5 cells of 3 types"),
        ("no column", "no column 'cell_type'"),
        ("text", "not a readable .h5ad file"),
    ],
)
def test_bad_data_are_one_line_and_leave_nothing(fault: str, part: str, tmp_path: Path):
    path = write_bad(tmp_path, fault)
    before = path.read_bytes()
    cache = tmp_path / "cache"
    ran = bench("run", "-m", "random", "-d", str(path), "--cache-dir", str(cache), cwd=tmp_path)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    lines = ran.stderr.strip().splitlines()
    assert len(lines) == 1, ran.stderr
    assert part in lines[0]
    assert path.name in lines[0]
    assert path.read_bytes() == before
    assert not (tmp_path / "results").exists()
    kept = [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert kept == []


def test_no_help_loses_what_stands_in_brackets():
    """Rich takes ``[word]`` for markup and shows nothing."""
    import re

    import typer

    from bench.cli.main import app

    def options(command: typer.core.TyperCommand | typer.core.TyperGroup):
        yield from ((command.name, one.name, getattr(one, "help", "")) for one in command.params)
        for below in getattr(command, "commands", {}).values():
            yield from options(below)

    found = list(options(typer.main.get_command(app)))
    assert len(found) > 100
    lost = [one for one in found if re.search(r"(?<!\\)\[[a-z]", one[2] or "")]
    assert lost == []
