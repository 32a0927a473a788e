"""SLURM as an engine: a running driver submits arrays by submitit and watches them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError

from .backend import EngineTask, require_engine_package, run_remote_task
from .slurm_states import ENDED_STATES, cancel_arrays, query_states

if TYPE_CHECKING:
    from bench.settings import Settings

    from .job_folder import JobFolder
    from .resources import Request

_STATE_SECONDS = 10.0
"""Interval at which SLURM is asked for the states of tasks."""
_LOCAL_MINUTES = 60 * 24 * 7


class SlurmBackend:
    """Tasks of SLURM; with ``cluster = "local"`` processes of this machine in their place."""

    shares_tasks = True

    def __init__(self, folder: JobFolder, settings: Settings) -> None:
        submitit = require_engine_package("submitit", "slurm")
        self._folder, self._options = folder, settings.engine_options
        self._local = self._options.cluster == "local"
        self.most_tasks = settings.jobs if self._local else self._options.open_jobs
        python = {} if self._local else {"slurm_python": self._options.python or None}
        try:
            self._executor = submitit.AutoExecutor(
                folder.root / "logs", cluster=self._options.cluster, **python
            )
        except RuntimeError as error:
            raise UsageError(
                f"--engine slurm: {error}; run it where sbatch works, or write an array: bench "
                "plan --array DIR.",
                code="no_scheduler",
            ) from None
        self._jobs: dict[int, Any] = {}
        self._asked_at = 0.0

    def start(self, tasks: Sequence[EngineTask]) -> None:
        """Submit tasks; those with equal requests are arrays of at most ``max_array_size``."""
        most = self._options.max_array_size - 1
        ordered = sorted(tasks, key=lambda task: task.request)
        for request, same in groupby(ordered, key=lambda task: task.request):
            numbers = [task.number for task in same]
            self._executor.update_parameters(**self._parameters(request))
            for start in range(0, len(numbers), most):
                self._submit(numbers[start : start + most])

    def _submit(self, numbers: Sequence[int]) -> None:
        roots = [str(self._folder.root)] * len(numbers)
        try:
            jobs = self._executor.map_array(run_remote_task, roots, numbers)
        except Exception as error:  # submitit's own kinds of errors
            text = " ".join(str(error).split())
            raise UsageError(
                f"--engine slurm: sbatch refused the jobs: {text[-400:]}; set partition, account "
                "and the like in [engine] of bench.toml.",
                code="refused_by_scheduler",
            ) from None
        self._jobs |= dict(zip(numbers, jobs, strict=True))

    def _parameters(self, request: Request) -> dict[str, Any]:
        """Return what a task asks for, in submitit's words."""
        if self._local:
            return {"timeout_min": _LOCAL_MINUTES}
        options = self._options
        chosen = {
            "slurm_partition": options.partition_of(request.device),
            "slurm_account": options.account,
            "slurm_gres": options.gres if request.device == "cuda" else "",
            "slurm_setup": list(options.setup),
        }
        return {
            "name": "bench", "timeout_min": -(-request.seconds // 60),
            "mem_gb": request.memory_gib, "cpus_per_task": request.threads,
            "slurm_array_parallelism": options.open_jobs,
        } | {name: value or None for name, value in chosen.items()}  # fmt: skip

    def ended_tasks(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield tasks that have ended, with their answers."""
        states: dict[str, str] = {}
        if not self._local and self._jobs and time.monotonic() - self._asked_at > _STATE_SECONDS:
            states = query_states([job.job_id for job in self._jobs.values()])
            self._asked_at = time.monotonic()
        for number, job in [*self._jobs.items()]:
            state = job.state if self._local else states.get(job.job_id, "")
            if job.paths.result_pickle.exists():
                del self._jobs[number]
                yield number, self._answer(job)
            elif state in ENDED_STATES:
                del self._jobs[number]
                yield number, {"reason": f"SLURM says {state}" if not self._local else state}

    def _answer(self, job: Any) -> dict[str, str]:
        """Return what a worker returned, or the last line of its error."""
        error = job.exception()
        if error is None:
            return dict(job.result())
        return {"reason": str(error).strip().splitlines()[-1]}

    def cancel(self) -> None:
        """Cancel all tasks."""
        if not self._local:
            cancel_arrays(job.job_id for job in self._jobs.values())
            return
        for job in self._jobs.values():
            job.cancel(check=False)
        deadline = time.monotonic() + 30
        while any(job.state == "RUNNING" for job in self._jobs.values()):
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)

    def close(self) -> None:
        """Do nothing: SLURM keeps no connection."""
