"""Executors of a driver's jobs: processes of this machine, or an engine of ``bench.cluster``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from .local_executor import LocalExecutor

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from bench.plan.job import Job
    from bench.settings import Settings
    from bench.store.result_store import ResultStore
    from bench.store.spool import Spool

    from .limited_process import ProcessOutcome
    from .local_executor import JobProgressHandler

_ENGINES = "bench.cluster.engine"
"""Imported by name, since ``bench.cluster`` is a layer above this one."""


class Executor(Protocol):
    """Runs jobs; as a context manager it waits for them, and ends them after an exception."""

    cancelled: threading.Event

    def __enter__(self) -> Executor: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None: ...

    def prepare(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, ProcessOutcome]]:
        """Apply the recipe of each job; yields each job with its outcome as it ends."""

    def submit(
        self, job: Job, before: Callable[[], bool] = ..., fitted: Path | None = None
    ) -> None:
        """Queue a job; it is dropped if ``before()`` returns false when its turn comes."""

    def as_completed(self) -> Iterator[tuple[Job, Path | None]]:
        """Yield each job as it ends, with its folder in the spool (``None`` if dropped)."""


def open_executor(
    settings: Settings,
    cache: Path,
    spool: Spool,
    store: ResultStore,
    on_progress: JobProgressHandler,
) -> Executor:
    """Return the executor of the engine in the settings.

    Raises ``UsageError`` if its package is not installed or its scheduler does not answer.
    """
    if settings.engine == "local":
        return LocalExecutor(settings.jobs, settings.threads, cache, spool, on_progress)
    engines: Any = import_module(_ENGINES)
    executor: Executor = engines.open_engine(settings, cache, spool, store, on_progress)
    return executor
