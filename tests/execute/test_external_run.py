"""Programs of their own as methods: walled like any fit, their faults are typed results."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _command import bench, error_code
from _sources import forget_sources

import bench as library
from bench.execute import landlock
from bench.plan.own_files import own_environment

SUMS = """
import json, os, sys
counts, out = sys.argv[1:3]
settings = json.load(open("parameters.json"))
rows = [row for row in open(counts) if not row.startswith("%")]
n = int(rows[0].split()[0])
sums = [[0.0, 0.0] for _ in range(n)]
for row in rows[1:]:
    i, j, value = row.split()
    sums[int(i) - 1][int(j) % 2] += float(value)
for step in (1, 2):
    print("loss", step, 2, 1 / step, flush=True)
print("seed", settings["seed"], "clusters", settings["n_clusters"])
with open(os.path.join(out, "embedding.csv"), "w") as file:
    file.write("\\n".join("%f,%f" % tuple(one) for one in sums))
with open(os.path.join(out, "clusters.csv"), "w") as file:
    file.write("\\n".join("ab"[one[0] > one[1]] for one in sums) + "\\n")
"""
SHELL = """
awk '/^%/ {next} !n {n=$1; next} {s[$1]+=$3; c[$1]+=1}
     END {for (i=1; i<=n; i++) printf "%f,%f\\n", s[i], c[i]}' "$1" > "$2/embedding.csv"
"""
FAULTS = {
    "breaks": "echo no such gene; exit 3",
    "silent": "true",
    "garbage": 'echo "a,b" > "$1/embedding.csv"',
    "short": 'echo "1,2" > "$1/embedding.csv"',
    "spy": 'cat "{labels}" > "$1/embedding.csv"',
}
RUN = ("--seeds", "1", "--no-report", "--jobs", "2")
DATA = "sim_rna[n_cells=120,n_features=200]"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    Path("sums.py").write_text(SUMS)
    Path("totals.sh").write_text(SHELL)
    return tmp_path


def add(name: str, run: str, *more: str) -> str:
    result = bench("add-method", name, "--run", run, "--counts", "mtx", *more)
    assert result.exit_code == 0, result.output
    return f"{name}.py"


def rows(*plugins: str, methods: str, more: tuple[str, ...] = ()) -> pd.DataFrame:
    flags = [word for plugin in plugins for word in ("--plugin", plugin)]
    result = bench("run", "-m", methods, "-d", DATA, *RUN, *flags, *more)
    assert result.exit_code in (0, 3), result.output
    return library.load_results("results", columns="all").set_index("method_name")


def test_another_interpreter_and_a_shell_script():
    python = add("sums_of", "sums.py {counts} {out}", "--python", sys.executable, "--needs",
                 "n_clusters")  # fmt: skip
    shell = add("totals_of", "sh totals.sh {counts} {out}")
    found = rows(python, shell, methods="sums_of,totals_of")
    assert list(found["status"]) == ["done", "done"], found["reason"].tolist()
    assert found.loc["sums_of", "uses"] == "n_clusters"
    assert np.isfinite(found.loc["sums_of", "own/ari"])
    log = Path(found.loc["sums_of", "artifacts"], "log.txt").read_text()
    assert "clusters " in log
    assert "loss" not in log  # it is a point of the curve
    embedding = pd.read_parquet(Path(found.loc["totals_of", "artifacts"], "embedding.parquet"))
    assert embedding.shape == (120, 2)


@pytest.mark.slow
def test_a_change_of_script_or_environment_fits_again():
    plugin = add("totals_of", "sh totals.sh {counts} {out}")
    rows(plugin, methods="totals_of")
    words = ("run", "-m", "totals_of", "-d", DATA, *RUN, "--plugin", plugin)
    assert "0 fitted now" in bench(*words).stdout
    Path("totals.sh").write_text(SHELL.replace("c[$1]+=1", "c[$1]+=2"))
    forget_sources()
    assert "1 fitted now" in bench(*words).stdout


@pytest.mark.slow
def test_faults_are_typed_results(here: Path):
    rows(add("totals_of", "sh totals.sh {counts} {out}"), methods="totals_of")
    (labels,) = (here / "cache").rglob("types.npy")
    plugins = []
    for name, text in FAULTS.items():
        Path(f"{name}.sh").write_text(text.replace("{labels}", str(labels)))
        plugins.append(add(name, f"sh {name}.sh {{out}}"))
    Path("hangs.sh").write_text("sleep 600")
    plugins.append(add("hangs", "sh hangs.sh {out}"))
    Path("eater.py").write_text("import time\nx = b'x' * 2 * 10**9\ntime.sleep(9)")
    plugins.append(add("eats", "eater.py {out}", "--python", sys.executable))
    Path("caller.py").write_text("import socket\nsocket.create_connection(('127.0.0.1', 9))")
    plugins.append(add("calls", "caller.py {out}", "--python", sys.executable))
    more = ("--timeout", "20", "--memory", "1")
    found = rows(*plugins, methods=",".join([*FAULTS, "hangs", "eats", "calls"]), more=more)
    expected = dict.fromkeys(FAULTS, "failed") | {
        "hangs": "timeout", "eats": "oom", "calls": "failed"
    }  # fmt: skip
    assert found.loc[list(expected), "status"].to_dict() == expected
    assert "no such gene" in found.loc["breaks", "reason"]
    if landlock.version():
        assert "denied" in found.loc["spy", "reason"].lower()


@pytest.mark.parametrize("inner", ["", "cache/datasets", "results/mine"])
def test_an_environment_of_data_or_results_is_refused(here: Path, inner: str):
    (here / inner).mkdir(parents=True, exist_ok=True)
    plugin = add("totals_of", "sh totals.sh {counts} {out}")
    text = (
        Path(plugin).read_text().replace("environment = ()", f'environment = ("{here / inner}",)')
    )
    Path(plugin).write_text(text)
    result = bench("plan", "-m", "totals_of", "-d", DATA, "--plugin", plugin)
    assert result.exit_code == 2, Path(plugin).read_text()
    assert error_code(result) == "data_in_package"


def test_the_environment_of_this_program_is_not_opened_again():
    """Data that ship in its packages stay hidden."""
    packages = Path(library.__file__).resolve().parent
    assert own_environment([sys.prefix, f"{sys.prefix}/lib", sys.base_prefix]) == []
    assert own_environment([str(packages)]) == [str(packages)]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--run", "no.py {counts}"], "missing_file"),
        (["--run", "sh totals.sh"], "invalid_value"),
        (["--run", "sums.py {counts}", "--python", "/no"], "invalid_value"),
        (["--run", "sums.py {counts}", "--conda", "no-such-environment"], "unknown_name"),
        (["--run", "sums.py {counts}", "--python", "x", "--conda", "y"], "contradicting_options"),
        (["--run", "sums.py {counts}", "--counts", "rds"], "invalid_value"),
        (["--run", "sums.py {counts}", "--needs", "labels"], "invalid_value"),
    ],
)
def test_wrong_options_write_nothing(words: list[str], code: str, here: Path):
    result = bench("add-method", "mine", *words)
    assert result.exit_code == 2
    assert error_code(result) == code
    assert not Path("mine.py").exists()


def test_the_name_of_a_package_of_the_environment_is_refused():
    words = ("--run", "sums.py {counts} {out}", "--python", sys.executable)
    result = bench("add-method", "pandas", *words)
    assert error_code(result) == "invalid_name"
    assert not Path("pandas.py").exists()


def test_uv_makes_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch):
    """A double of uv: it makes a link to this interpreter and notes how it was called."""
    (here / "bin").mkdir()
    double = here / "bin" / "uv"
    double.write_text(
        f"#!/bin/sh\necho \"$@\" >> {here}/calls\n[ \"$1\" = venv ] || exit 0\n"
        f"for last; do :; done\n{sys.executable} -m venv --without-pip \"$last\"\n"
    )  # fmt: skip
    double.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here}/bin:/usr/bin:/bin")
    monkeypatch.setenv("XDG_DATA_HOME", str(here / "share"))
    add("sums_of", "sums.py {counts} {out}", "--uv", "desc==2.1 python==3.8")
    calls = (here / "calls").read_text().splitlines()
    assert calls[0].startswith("venv --clear --python 3.8 ")
    assert calls[1].endswith(" desc==2.1")
    assert str(here / "share") in Path("sums_of.py").read_text()
