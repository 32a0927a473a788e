"""A Dask cluster that already runs as an engine: Kubernetes, a cloud, or a LocalCluster."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError

from .backend import EngineTask, require_engine_package, run_remote_task

if TYPE_CHECKING:
    from bench.settings import Settings

    from .job_folder import JobFolder
    from .resources import Request

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 20
MEMORY, GPU = "memory", "GPU"
"""Names of the resources of workers: GiB, and number of GPUs."""


class DaskBackend:
    """Tasks of a Dask cluster, one job each.

    A worker that offers the resources ``memory`` (GiB) or ``GPU`` takes no more jobs at a time
    than these allow.
    """

    shares_tasks = False

    def __init__(self, folder: JobFolder, settings: Settings) -> None:
        self._client, self._folder = _connect(settings.scheduler), folder
        self._address = settings.scheduler
        self.most_tasks = settings.engine_options.open_jobs
        self._futures: dict[int, Any] = {}
        if not self._workers():
            logger.warning(f"{settings.scheduler}: has no workers yet; the jobs wait for them")

    def _workers(self) -> list[dict[str, Any]]:
        return [*self._client.scheduler_info(n_workers=-1)["workers"].values()]

    def start(self, tasks: Sequence[EngineTask]) -> None:
        """Submit tasks; of those that wait, the longest is taken first."""
        offers = [worker.get("resources") or {} for worker in self._workers()]
        if self._client.status != "running":
            raise UsageError(
                f"--scheduler {self._address}: the connection was lost; run the same command "
                "again once the scheduler answers.",
                code="no_scheduler",
            )
        for task in tasks:
            self._futures[task.number] = self._client.submit(
                run_dask_task, str(self._folder.root), task.number,
                key=f"bench-{self._folder.root.name}-{task.number}", pure=False,
                priority=int(task.expected), resources=resource_tokens(task.request, offers),
            )  # fmt: skip

    def ended_tasks(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield tasks that have ended, with their answers."""
        for number, future in [*self._futures.items()]:
            if not future.done():
                continue
            del self._futures[number]
            if future.status == "finished":
                yield number, dict(future.result())
            else:
                error = future.exception() if future.status == "error" else future.status
                yield number, {"reason": f"{type(error).__name__}: {error}"}

    def cancel(self) -> None:
        """Cancel what waits; workers end their jobs once they see the driver's wish to stop."""
        self._client.cancel([*self._futures.values()], force=True)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _connect(scheduler: str) -> Any:
    """Return a client of a scheduler; raises ``UsageError`` if none answers."""
    distributed = require_engine_package("distributed", "dask")
    if not scheduler:
        raise UsageError(
            "--engine dask: needs the address of a scheduler that runs, as --scheduler "
            "tcp://host:8786.",
            code="option_needs_another",
        )
    try:
        return distributed.Client(scheduler, timeout=_ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--scheduler {scheduler}: no Dask scheduler answers: {error}; start one "
            "('dask scheduler') or check the address.",
            code="no_scheduler",
        ) from None


def resource_tokens(
    request: Request, offers: Sequence[dict[str, float]]
) -> dict[str, float] | None:
    """Return the resources that a task takes, of those that workers offer.

    Raises ``UsageError`` if no worker offers as much.
    """
    needs = {MEMORY: float(request.memory_gib), GPU: float(request.device == "cuda")}
    tokens = {}
    for name, amount in needs.items():
        most = max((offer.get(name, 0.0) for offer in offers), default=0.0)
        if amount and most:
            tokens[name] = amount
        if amount > most and (most or (name == GPU and offers)):
            raise UsageError(
                f"--engine dask: a job needs {name}={amount:g}, no worker offers more than "
                f"{most:g}; start one with --resources '{name}={amount:g}'"
                f"{', or lower --memory' if name == MEMORY else ''}.",
                code="no_worker",
            )
    return tokens or None


def run_dask_task(root: str, number: int) -> dict[str, str]:
    """Run a task in a thread of a Dask worker."""
    # A nanny starts its worker as a daemon, which may not start the processes of fits; only the
    # private setting changes that once a process runs.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    return run_remote_task(root, number)
