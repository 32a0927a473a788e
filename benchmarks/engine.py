"""What an engine costs: jobs of one second on this machine, on a Dask cluster and by submitit.

    python benchmarks/engine.py [--quick] [--json FILE]

Efficiency is the time of the jobs' sleep divided by the wall time and the number of workers: 60
jobs on 1 and 2 workers, local and on a LocalCluster, and 20 by submitit's local executor behind
our own limit of open jobs. Libraries are loaded before the clock, except by submitit's workers,
which are processes of their own. Then an array of 1000 no-op jobs in tasks of 50, whose workers
leave copies of one result: CPU seconds of the driver for each job, with its commit and without.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from distributed import LocalCluster
from rich.console import Console

from _array_stubs import write_stubs
from _figures import flags, show
from bench.cluster.array import write_array
from bench.cluster.job_folder import JobFolder
from bench.cluster.sync import summarize_folder, sync_results
from bench.cluster.worker import run_task
from bench.data.cache.data_cache import DataCache
from bench.execute.run import run
from bench.plan.build import build_plan
from bench.settings import load_settings

PLUGIN = """
from pydantic import Field
from bench.contract import RNA, Fit, Method, Parameters

class Sleep(Method):
    name = "sleep"
    summary = "sleeps"
    reference = "none"
    modalities = frozenset({RNA})
    family = "control"

    class Params(Parameters):
        seconds: float = Field(1.0, ge=0)

    def fit(self, data, context):
        import time
        import numpy as np
        time.sleep(self.params.seconds)
        return Fit(np.random.default_rng(context.seed).normal(size=(data.n_obs, 4)))
"""


class Bench:
    """Runs sleeping jobs, each time into a new results folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        (folder / "sleep.py").write_text(PLUGIN)
        # A job is expected to take 10 s: 50 jobs share a task of an array.
        (folder / "local.toml").write_text('[engine]\ncluster = "local"\ntask_minutes = 12.5\n')

    def settings(self, jobs: int, workers: int, **more: Any) -> dict[str, Any]:
        """Return the settings of a run into a new folder."""
        self._number += 1
        return {
            "seeds": jobs, "jobs": workers, "results": self._folder / f"results-{self._number}",
            "cache_dir": self._folder / "cache", "plugins": (str(self._folder / "sleep.py"),),
            **more,
        }  # fmt: skip

    def efficiency(self, jobs: int, workers: int, **more: Any) -> float:
        """Return the efficiency of a run."""
        config = self._folder / "local.toml" if more.get("engine") == "slurm" else None
        started = time.perf_counter()
        outcome = run(
            "sleep", "sim_rna", report=False, console=Console(quiet=True), config=config,
            **self.settings(jobs, workers, **more),
        )  # fmt: skip
        assert outcome.exit_code == 0, outcome.counts
        return jobs / (workers * (time.perf_counter() - started))

    def array_cost(self, jobs: int) -> dict[str, float]:
        """Return the driver's CPU seconds a job of an array, with the commit and without.

        One job is fitted; the results of the others are copies of its result.
        """
        settings = load_settings(self.settings(jobs, 2), self._folder / "local.toml")
        console, began = Console(quiet=True), time.process_time()
        cache = DataCache(settings.cache_dir)
        plan = build_plan("sleep[seconds=0]", "sim_rna", (), settings, cache)
        write_array(plan, settings, console, self._folder / "array", "slurm")
        planned = time.process_time() - began
        folder = JobFolder(self._folder / "array")
        first = folder.task(1)[0]
        folder.add_task(0, [first])
        run_task(folder, 0)
        (folder.root / "tasks" / "0.json").unlink()
        write_stubs(folder, folder.spool / first.job.score_key)
        began = time.process_time()
        summarize_folder(folder)
        looked = time.process_time() - began
        began = time.process_time()
        summary = sync_results(folder, settings, console)
        assert summary.counts == {"done": jobs}, summary
        committed = time.process_time() - began
        return {
            f"tasks of an array of {jobs} jobs": len(folder.task_numbers()),
            "driver CPU s a job with commit": (planned + committed) / jobs,
            "driver CPU s a job without": (planned + looked) / jobs,
        }


def main() -> None:
    options = flags(__doc__)
    most, few = (12, 6) if options.quick else (60, 20)
    with tempfile.TemporaryDirectory() as folder:
        bench, figures = Bench(Path(folder)), {}
        bench.efficiency(2, 2)  # loads libraries and prepares the data
        for workers in (1, 2):
            figures[f"local/{workers} workers: efficiency"] = bench.efficiency(most, workers)
            with LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None
            ) as cluster:
                dask = {"engine": "dask", "scheduler": cluster.scheduler_address}
                bench.efficiency(workers, workers, **dask)
                figures[f"dask/{workers} workers: efficiency"] = bench.efficiency(
                    most, workers, **dask
                )
        figures["submitit, local/2 workers: efficiency"] = bench.efficiency(few, 2, engine="slurm")
        figures |= bench.array_cost(100 if options.quick else 1000)
    show(figures, options.json)


if __name__ == "__main__":
    main()
