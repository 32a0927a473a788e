"""Programs in containers, by a real engine where one runs, else by a double of podman."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from _command import bench, error_code
from _sources import forget_sources

import bench as library
from bench.contract.container import PLACE, ContainerCommand, find_image
from bench.execute.container_requests import ContainerHost, run_container
from bench.registry import methods
from bench.reports.tables.knowledge import uses_text
from bench.reports.tables.leaderboard import tidy

DOUBLE = f"""#!{sys.executable}
import json, os, signal, subprocess, sys
home, (verb, *words) = os.environ["DOUBLE"], sys.argv[1:]
with open(home + "/calls", "a") as file:
    file.write(json.dumps([verb, *words]) + chr(10))
if verb == "image":
    if words[-1] not in ("tools", "sha256:f00"):
        sys.exit("Error: " + words[-1] + ": image not known")
    print("sha256:f00")
elif verb == "create":
    json.dump(words, open(home + "/created", "w"))
    print("c0ffee")
elif verb == "start":
    words = json.load(open(home + "/created"))
    inner = words[words.index("sha256:f00") + 1:]
    (folder,) = {{w.split("=")[1].split(":")[0] for w in words if w.endswith(":ro")}}
    inner = [word.replace("{PLACE}", folder) for word in inner]
    if inner[0] == "no-such-program":
        sys.exit(127)
    child = subprocess.Popen(inner, cwd=folder, start_new_session=True)
    open(home + "/pid", "w").write(str(child.pid))
    code = child.wait()
    open(home + "/code", "w").write(str(code if code >= 0 else 128 - code))
    sys.exit(code if code >= 0 else 128 - code)
elif verb == "inspect" and "Pid" in words[1]:
    print(0)
elif verb == "inspect":
    killed = os.path.exists(home + "/oom")
    started = "2026-11-30" if os.path.exists(home + "/pid") else "0001-01-01T00:00:00Z"
    print("0", str(killed).lower(), started)
elif verb == "kill" and os.path.exists(home + "/pid"):
    try:
        os.killpg(int(open(home + "/pid").read()), signal.SIGKILL)
    except ProcessLookupError:
        pass
"""
TOTALS = """
echo "loss 1 2 0.5"; echo "cells: $(wc -l < cells.txt)"
awk '/^%/ {next} !n {n=$1; next} {s[$1]+=$3; c[$1]+=1}
     END {for (i=1; i<=n; i++) printf "%f,%f\\n", s[i], c[i]}' "$1" > "$2/embedding.csv"
"""
DATA = "sim_rna[n_cells=120,n_features=200]"
RUN = ("--seeds", "1", "--no-report", "--jobs", "1", "--threads", "1")
IMAGE = os.environ.get("BENCH_TEST_IMAGE", "")
"""Image with a shell and awk, for tests with an engine: only where one runs."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    Path("totals.sh").write_text(TOTALS)
    return tmp_path


@pytest.fixture
def double(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A podman that notes its arguments and runs the command on this machine, without walls."""
    (here / "bin").mkdir()
    program = here / "bin" / "podman"
    program.write_text(DOUBLE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here}/bin:/usr/bin:/bin")
    monkeypatch.setenv("DOUBLE", str(here))
    monkeypatch.setattr("bench.contract.container.ENGINES", ("podman",))
    return here


def calls(double: Path, verb: str) -> list[list[str]]:
    lines = map(json.loads, (double / "calls").read_text().splitlines())
    return [words for name, *words in lines if name == verb]


def add(name: str, run: str, image: str = "tools") -> str:
    result = bench("add-method", name, "--container", image, "--run", run, "--counts", "mtx")
    assert result.exit_code == 0, result.output
    return f"{name}.py"


def rows(plugin: str, *more: str) -> pd.DataFrame:
    forget_sources()
    result = bench("run", "-m", Path(plugin).stem, "-d", DATA, *RUN, "--plugin", plugin, *more)
    assert result.exit_code in (0, 3), result.output
    return library.load_results("results", columns="all").set_index("method_name")


def folder_of(here: Path) -> Path:
    folder = here / "work" / "run"
    (folder / "out").mkdir(parents=True)
    return folder


def wait_for(condition, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_container_is_told_its_limits_and_one_folder(double: Path):
    row = rows(add("boxed", "sh totals.sh {counts} {out}"), "--memory", "2").loc["boxed"]
    assert row["status"] == "done", row["reason"]
    assert row["files"] == "container"
    assert pd.isna(row["peak_memory_mb"])  # the double has no control group
    ((*options, image, shell, script, counts, out),) = calls(double, "create")
    assert [image, shell, script] == ["sha256:f00", "sh", "/aebench/method/totals.sh"]
    assert [counts, out] == ["/aebench/counts.mtx", "/aebench/out"]
    assert {"--network=none", "--cpus=1", "--cap-drop=ALL", "--pull=never"} <= set(options)
    assert f"--memory={2 * 2**30}b" in options
    mounts = [one.split("=")[1].split(":") for one in options if one.startswith("--volume=")]
    assert [one[1:] for one in mounts] == [["/aebench", "ro"], ["/aebench/out"]]
    assert mounts[1][0] == mounts[0][0] + "/out"
    assert calls(double, "rm") == [["--force", "c0ffee"]]
    log = Path(row["artifacts"], "log.txt").read_text()
    assert "cells: 120" in log
    assert "loss" not in log
    table = uses_text(tidy(library.load_results("results", columns="all")))
    assert table == "counts only; wall: container"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "status"),
    [
        ("sh -c 'exit 3 # {out}'", "failed"),
        ("true {out}", "failed"),
        ("no-such-program {out}", "failed"),
        ("sh -c 'sleep 600 # {out}'", "timeout"),
    ],
)
def test_faults_are_typed_results(double: Path, run: str, status: str):
    limit = ("--timeout", "5") if status == "timeout" else ()
    row = rows(add("boxed", run), *limit).loc["boxed"]
    assert row["status"] == status, row["reason"]
    assert calls(double, "kill")[-1] == ["c0ffee"]
    if (double / "pid").exists():
        pid = int((double / "pid").read_text())
        wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_memory_of_a_container(double: Path):
    (double / "oom").touch()
    row = rows(add("boxed", "sh -c 'exit 137 # {out}'")).loc["boxed"]
    assert row["status"] == "oom"


def test_a_killed_run_leaves_no_container(double: Path):
    plugin = add("boxed", "sh -c 'sleep 600 # {out}'")
    words = ("-m", "bench", "run", "-m", "boxed", "-d", DATA, *RUN, "--plugin", plugin)
    run = subprocess.Popen([sys.executable, *words], start_new_session=True)
    try:
        wait_for(lambda: (double / "pid").exists())
        pid = int((double / "pid").read_text())
        assert Path(f"/proc/{pid}").exists()
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    wait_for(lambda: calls(double, "rm") == [["--force", "c0ffee"]])


def test_without_engine_or_image_the_method_is_unavailable(
    double: Path, monkeypatch: pytest.MonkeyPatch
):
    plugin = add("boxed", "sh totals.sh {counts} {out}")
    assert methods((plugin,)).entry("boxed").unavailable == ""
    Path("boxed.lock").write_text("sha256:beef\n")
    forget_sources()
    assert "sha256:beef" in methods((plugin,)).entry("boxed").unavailable
    monkeypatch.setenv("PATH", "/no-such-folder")
    forget_sources()
    assert "podman" in methods((plugin,)).entry("boxed").unavailable
    forget_sources()


@pytest.mark.parametrize(("image", "code"), [("other", "missing_image"), ("", "missing_program")])
def test_add_method_needs_engine_and_image(
    double: Path, monkeypatch: pytest.MonkeyPatch, image: str, code: str
):
    if not image:
        monkeypatch.setenv("PATH", "/no-such-folder")
    result = bench("add-method", "boxed", "--container", image or "tools", "--run", "x {out}")
    assert error_code(result) == code
    assert not Path("boxed.py").exists()


def test_a_request_for_another_folder_is_refused(double: Path):
    """Of a fit that was changed to look at more than it is given."""
    folder, elsewhere = folder_of(double), double / "labels" / "out"
    elsewhere.mkdir(parents=True)
    link = folder.parent / "link"
    link.symlink_to(elsewhere.parent)
    for asked in (elsewhere.parent, link, folder.parent / ".." / "labels"):
        host = ContainerHost([folder.parent], 1, 1.0)
        host.start({"image": "tools", "words": ["true"], "folder": str(asked)})
        assert host.check()[0] == "failed"
    assert not (double / "calls").exists()


def test_an_engine_that_fails_is_no_fault_of_the_method(double: Path):
    host = ContainerHost([double / "work"], 1, 1.0)
    host.start({"image": "other", "words": ["true"], "folder": str(folder_of(double))})
    assert host.check()[0] == "interrupted"


def test_output_of_a_container_in_this_process(double: Path):
    printed: list[str] = []
    command = ContainerCommand(
        "sha256:f00", ("sh", "-c", "echo one; printf two"), folder_of(double)
    )
    assert run_container(command, printed.append, threads=1) == 0
    assert printed == ["one", "two"]


@pytest.mark.slow
@pytest.mark.skipif(not IMAGE, reason="BENCH_TEST_IMAGE names no image of a container")
def test_a_real_engine_walls_limits_and_ends_its_container(here: Path):
    engine, image, reason = find_image(IMAGE)
    assert not reason
    Path("look.sh").write_text(
        "ip a | grep -c '^[0-9]'; touch cells.txt || echo refused; ls /aebench\n" + TOTALS
    )
    row = rows(add("boxed", "sh look.sh {counts} {out}", IMAGE)).loc["boxed"]
    assert row["status"] == "done", row["reason"]
    log = Path(row["artifacts"], "log.txt").read_text()
    assert "refused" in log
    assert "labels" not in log
    assert log.splitlines()[0] == "1"  # the loopback device
    Path("eat.sh").write_text("dd if=/dev/zero of=/dev/null bs=900M count=5\n")
    eats = rows(add("eats", "sh eat.sh {out}", IMAGE), "--memory", "0.1").loc["eats"]
    assert eats["status"] == "oom", eats["reason"]
    hangs = rows(add("hangs", "sh -c 'sleep 600 # {out}'", IMAGE), "--timeout", "5").loc["hangs"]
    assert hangs["status"] == "timeout", hangs["reason"]
    left = subprocess.run([engine, "ps", "--all", "--quiet", "--filter", f"ancestor={image}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert not left.stdout.strip()
