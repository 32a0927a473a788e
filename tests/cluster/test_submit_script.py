"""Scripts of four schedulers ask for what a task needs and reach each task once."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bench.cluster.resources import Request
from bench.cluster.submit_script import (
    Chunk,
    index_ranges,
    write_resubmit_script,
    write_submit_script,
)
from bench.settings import SCHEDULERS, EngineOptions

CPU, GPU = Request("cpu", 2, 6, 3600), Request("cuda", 2, 24, 90000)
CHUNKS = (Chunk(1, 1, 3, CPU), Chunk(2, 4, 4, GPU))
OPTIONS = EngineOptions(
    partition="short", gpu_partition="gpus", account="lab", setup=("module load cuda",),
    python="python3.11",
)  # fmt: skip
INDEX = {
    "slurm": "SLURM_ARRAY_TASK_ID", "pbs": "PBS_ARRAY_INDEX", "lsf": "LSB_JOBINDEX",
    "sge": "SGE_TASK_ID",
}  # fmt: skip


def directives(path: Path) -> str:
    return "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))


@pytest.mark.parametrize("engine", SCHEDULERS)
def test_scripts(engine: str, tmp_path: Path):
    write_submit_script(tmp_path, engine, CHUNKS, OPTIONS)
    cpu, gpu = (directives(tmp_path / chunk.script) for chunk in CHUNKS)
    assert re.search(r"\b6(G|gb)\b", cpu)
    assert re.search(r"\b24(G|gb)\b", gpu)
    assert ("01:00" in cpu, "25:00" in gpu) == (True, True)
    assert ("gpu" in cpu.lower(), "gpu" in gpu.lower()) == (False, True)
    assert ("short" in cpu, "gpus" in gpu, "lab" in cpu) == (True, True, True)
    for chunk in CHUNKS:
        subprocess.run(["bash", "-n", tmp_path / chunk.script], check=True)
    # The last line of the script of task 4 asks for task 4 by the index 1 of its array.
    text = (tmp_path / "array-2.sh").read_text().replace("exec python3.11 -m", "echo")
    ran = subprocess.run(
        ["bash", "-c", text.replace("module load", ":")], capture_output=True, text=True,
        check=True, env={"BENCH_ARRAY": "/a", INDEX[engine]: "1"},
    )  # fmt: skip
    assert ran.stdout.split() == ["bench", "worker", "/a/4"]


@pytest.mark.parametrize("engine", SCHEDULERS)
def test_each_task_is_submitted_once(engine: str, tmp_path: Path):
    """The commands of schedulers are replaced by one that writes what it was asked."""
    write_submit_script(tmp_path, engine, CHUNKS, OPTIONS)
    assert submitted(tmp_path / "submit.sh", tmp_path) == [(1, [1, 2, 3]), (2, [1])]
    script = write_resubmit_script(tmp_path, engine, CHUNKS, [1, 3, 4])
    assert submitted(script, tmp_path) == [(1, [1, 3]), (2, [1])]


def submitted(script: Path, folder: Path) -> list[tuple[int, list[int]]]:
    """Return number of the chunk and indices of the tasks that a script submits."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("sbatch", "qsub", "bsub"):
        (tools / name).write_text('#!/bin/sh\necho "$@" "$(head -c 300)"\n')
        (tools / name).chmod(0o755)
    ran = subprocess.run(
        [script], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
        env={"PATH": f"{tools}:/bin:/usr/bin"},
    )  # fmt: skip
    found: dict[int, list[int]] = {}
    for line in ran.stdout.splitlines():
        place = re.search(r"array-(\d+)\.sh", line) or re.search(r'"?bench-(\d+)\[', line)
        ranges = re.search(r"(?:--array=|\[|-J |-t |BENCH_INDEX=)([\d,-]+)", line)
        if place and ranges:
            numbers = found.setdefault(int(place[1]), [])
            for part in ranges[1].split(","):
                first, _, last = part.partition("-")
                numbers += range(int(first), int(last or first) + 1)
    return sorted(found.items())


def test_ranges_of_indices():
    assert index_ranges([7, 1, 2, 3, 9, 8]) == [(1, 3), (7, 9)]
    assert index_ranges([]) == []
