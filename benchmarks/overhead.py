"""What a job costs beyond its method: 100 jobs of a method that does nothing, 2 workers.

    python benchmarks/overhead.py [--quick] [--json FILE]

Figures: wall seconds per job (throughput of the whole run), and the medians of its parts: the fit
process (fork, read the data, write artifacts) with the wall around it and without, in turns, the
score process (clusterings and all metrics), and the commit to MLflow. The server that loads the
libraries is started before the clock.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

from rich.console import Console

from _figures import flags, show
from bench.execute import local_executor
from bench.execute.run import run
from bench.store.mlflow_store import Tracker

PLUGIN = """
from bench.contract import ATAC, RNA, Fit, Method

class Nothing(Method):
    name = "nothing"
    summary = "does nothing"
    reference = "none"
    modalities = frozenset({RNA, ATAC})
    family = "control"

    def fit(self, data, context):
        import numpy as np
        return Fit(np.random.default_rng(context.seed).normal(size=(data.n_obs, 10)))
"""


ROUNDS = 5
"""Runs with the wall and without, in turns: the load of a machine changes over time."""


def main() -> None:
    options = flags(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), 20 if options.quick else 100)
    show(figures, options.json)


def measure(folder: Path, jobs: int) -> dict[str, float]:
    """Run ``jobs`` jobs on 600 simulated cells and return named figures in seconds."""
    plugin = folder / "nothing.py"
    plugin.write_text(PLUGIN)
    commits: list[float] = []
    commit = Tracker.commit

    def timed(self: Tracker, path: Path) -> str | None:
        started = time.perf_counter()
        try:
            return commit(self, path)
        finally:
            commits.append(time.perf_counter() - started)

    def go(seeds: int | str) -> float:
        started = time.perf_counter()
        outcome = run(
            "nothing", "sim_rna", report=False, console=Console(quiet=True), seeds=seeds, jobs=2,
            plugins=(str(plugin),), results=folder / "results", cache_dir=folder / "cache",
        )  # fmt: skip
        assert outcome.exit_code == 0, outcome.counts
        assert outcome.table is not None
        stages.extend(
            json.loads((Path(path) / "result.json").read_text())["stages"]
            for path in outcome.table["artifacts"]
        )
        return time.perf_counter() - started

    stages: list[dict[str, float]] = []
    go(2)
    commits.clear()
    stages.clear()
    with patch.object(Tracker, "commit", timed):
        wall = go(jobs + 2)
    beside = dict(_compare_wall(go, stages, jobs))
    method = statistics.median(stage["fit"] for stage in stages)
    fit = statistics.median(stage["fit process"] for stage in stages)
    seconds = {
        f"a job of {jobs}, all in all": wall / jobs,
        "the method": method,
        "process of the fit, beyond the method": fit - method,
        **beside,
        "process of the scores": statistics.median(stage["score process"] for stage in stages),
        "commit": statistics.median(commits),
    }
    return {f"{part}/seconds": value for part, value in seconds.items()}


def _compare_wall(
    go: Callable[[str], float], stages: list[dict[str, float]], jobs: int
) -> Iterator[tuple[str, float]]:
    """Yield the median of the fit process beyond the method with the wall and without."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    before, first = stages[:], 1000
    for turn in range(2 * ROUNDS):
        local_executor.KERNEL_WALL = turn % 2 == 0
        stages.clear()
        seeds = range(first, first + max(2, jobs // ROUNDS))
        go(",".join(map(str, seeds)) + ",")
        first = seeds.stop
        beyond = [stage["fit process"] - stage["fit"] for stage in stages]
        seconds[local_executor.KERNEL_WALL] += beyond
    local_executor.KERNEL_WALL = True
    stages[:] = before
    yield "the same with the kernel's wall", statistics.median(seconds[True])
    yield "the same without it", statistics.median(seconds[False])


if __name__ == "__main__":
    main()
