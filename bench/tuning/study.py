"""An Optuna study that never repeats a configuration and survives a killed driver.

The user attributes of a trial hold its complete configuration (``params``) and its result
(``status``, ``values``, ``reason``). A trial that was running when the driver was killed keeps its
number; the next driver runs it again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from bench.errors import StoreError, UsageError
from bench.seeds import derive_seed

from .samplers import make_pruner, make_sampler
from .study_lock import StudyLock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.plan.search_space import Space

    from .search_options import SearchOptions

logger = logging.getLogger(__name__)
_JOURNAL = "study.journal"
_MAX_DRAWS = 200
"""Number of draws in a row without a new configuration after which the space is exhausted."""
_GIVE_UP_SECONDS = 120.0
"""Seconds without an answer of the database after which a search ends."""
_SKIPPED = "skipped"
"""Attribute of draws that are not trials: repeated, invalid for the method, or incomplete."""


@dataclass(frozen=True)
class Trial:
    """A trial with its configuration and its result."""

    number: int
    params: dict[str, Any]
    """The complete configuration."""
    status: str
    """``running``, or how its job ended: ``done``, ``pruned``, ``failed`` and so on."""
    values: tuple[float, ...] = ()
    """Values of the objectives, if done."""
    reason: str = ""
    seconds: float | None = None


class SpaceExhausted(Exception):
    """All configurations of the space were tried."""


class Study:
    """A study; use as a context manager, which locks it against other drivers."""

    def __init__(self, name: str, folder: Path, space: Space, options: SearchOptions) -> None:
        self.name, self.folder, self.space, self.options = name, folder, space, options
        self.journal_damaged = False
        """Whether the journal was damaged, so that this study began without its trials."""
        self._lock = threading.RLock()
        self._study: optuna.Study
        self._study_lock: StudyLock

    def __enter__(self) -> Study:
        self._study_lock = StudyLock(self.folder, self.name)
        try:
            self._study = self._open()
            if self.options.storage:
                self._study_lock.lock_database(self._study)
        except BaseException:
            self._study_lock.release()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._study_lock.release()
        if isinstance(error, (SQLAlchemyError, StorageInternalError)):
            with _storage_errors(self.options.storage, self.folder):
                raise error

    def _open(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        options = self.options
        directions = ["maximize" if one.maximize else "minimize" for one in options.objectives]
        with _storage_errors(options.storage, self.folder):
            if not options.storage:
                self.journal_damaged = _repair_journal(self.folder / _JOURNAL)
            study = optuna.create_study(
                storage=_open_storage(options.storage, self.folder), study_name=self.name,
                directions=directions, load_if_exists=True,
                sampler=make_sampler(options.sampler, options.search_seed),
                pruner=make_pruner(options.pruner),
            )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # experimental in Optuna; they name the figures
                study.set_metric_names([one.name for one in options.objectives])
        return study

    # -- reading ---------------------------------------------------------------------------

    def trials(self) -> list[Trial]:
        """Return the trials, oldest first."""
        with self._lock:
            frozen = self._study.get_trials(deepcopy=False)
        return [_read_trial(one) for one in frozen if _is_trial(one)]

    @property
    def optuna_study(self) -> optuna.Study:
        """The Optuna study, for figures."""
        return self._study

    def restore(self, number: int, params: dict[str, Any]) -> None:
        """Add a trial that was lost with a damaged journal, under its old number."""
        with self._lock:
            while len(self._study.get_trials(deepcopy=False)) < number:
                self._skip(self._study.ask().number, "lost with a damaged journal")
            self._begin_given(params)

    # -- asking and telling ----------------------------------------------------------------

    def interrupted_trials(self) -> list[Trial]:
        """Return trials that a killed driver was running; skips its incomplete draws."""
        with self._lock:
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            for one in running:
                if "params" not in one.user_attrs:
                    self._skip(one.number, "the driver was killed during this draw")
            return [_read_trial(one) for one in running if "params" in one.user_attrs]

    def ask(self) -> Trial:
        """Begin a trial with a new configuration, first with the default; returns it.

        Raises :class:`SpaceExhausted` if there is no new configuration.
        """
        sampler = self.options.sampler
        with self._lock:
            earlier = {_identity(trial.params): trial.number for trial in self.trials()}
            if not earlier:
                return self._begin_given(self.space.complete(self.space.base))
            if sampler == "grid":
                return self._next_of_grid(earlier)
            for attempt in range(_MAX_DRAWS):
                # A converged sampler only repeats itself: random draws find the rest.
                use_random = attempt >= _MAX_DRAWS // 10
                number, params = self._draw("random" if use_random else sampler)
                if params is None:
                    continue
                if _identity(params) in earlier:
                    self._skip(number, f"the same as trial {earlier[_identity(params)]}")
                    continue
                return self._begin(number, params)
        raise SpaceExhausted(
            f"no new configuration in {_MAX_DRAWS} draws after {len(earlier)} trials"
        )

    def _draw(self, sampler: str) -> tuple[int, dict[str, Any] | None]:
        """Return the number of a draw and its configuration, ``None`` if it is invalid."""
        # A new sampler for every draw, seeded by the number of draws before: a resumed study
        # continues exactly as an uninterrupted one.
        n_draws = len(self._study.get_trials(deepcopy=False))
        seed = derive_seed(self.options.search_seed, "sampler", str(n_draws))
        self._study.sampler = make_sampler(sampler, seed)
        trial = self._study.ask()
        try:
            return trial.number, self.space.draw(trial)
        except UsageError as error:
            self._skip(trial.number, str(error))
            return trial.number, None

    def _begin_given(self, params: dict[str, Any]) -> Trial:
        """Begin a trial with a given configuration, which may be outside of the space."""
        encoded = self.space.encode(params)
        if encoded is None:
            trial = self._study.ask()
            trial.set_user_attr("outside", "not in the space: the sampler does not use it")
            return self._begin(trial.number, params)
        self._study.enqueue_trial(encoded)
        number, drawn = self._draw(self.options.sampler)
        assert drawn == params
        return self._begin(number, params)

    def _next_of_grid(self, earlier: dict[str, int]) -> Trial:
        for params in self.space.grid():
            if _identity(params) not in earlier:
                return self._begin_given(params)
        raise SpaceExhausted(f"all {len(earlier)} configurations of the grid were tried")

    def _begin(self, number: int, params: dict[str, Any]) -> Trial:
        self._storage.set_trial_user_attr(self._trial_id(number), "params", params)
        return Trial(number, params, "running")

    def _skip(self, number: int, reason: str) -> None:
        self._storage.set_trial_user_attr(self._trial_id(number), _SKIPPED, reason)
        self._study.tell(number, state=TrialState.FAIL)

    def tell(
        self,
        number: int,
        status: str,
        values: list[float] | None,
        reason: str = "",
        seconds: float | None = None,
    ) -> None:
        """Store the result of a trial; ``values`` are ``None`` unless it is done."""
        result = {"status": status, "values": values, "reason": reason, "seconds": seconds}
        with self._lock:
            trial_id = self._trial_id(number)
            for name, value in result.items():
                self._storage.set_trial_user_attr(trial_id, name, value)
            outside = "outside" in self._storage.get_trial(trial_id).user_attrs
            if status == "done" and not outside:
                self._study.tell(number, values)
            elif status == "pruned":
                self._study.tell(number, state=TrialState.PRUNED)
            else:
                self._study.tell(number, state=TrialState.FAIL)

    def should_prune(self, number: int, step: int, loss: float) -> bool:
        """Record the loss of a running trial and return whether the pruner stops it.

        A lower ``loss`` is always better; its sign is changed if the objective is maximized.
        """
        value = -loss if self.options.objectives[0].maximize else loss
        with self._lock:
            trial_id = self._trial_id(number)
            self._storage.set_trial_intermediate_value(trial_id, step, value)
            return bool(self._study.pruner.prune(self._study, self._storage.get_trial(trial_id)))

    @property
    def _storage(self) -> Any:
        return self._study._storage

    def _trial_id(self, number: int) -> int:
        return int(
            self._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
        )


def _is_trial(frozen: Any) -> bool:
    return "params" in frozen.user_attrs and _SKIPPED not in frozen.user_attrs


def _read_trial(frozen: Any) -> Trial:
    attributes = frozen.user_attrs
    running = not frozen.state.is_finished()
    return Trial(
        number=frozen.number,
        params=dict(attributes["params"]),
        status="running" if running else attributes.get("status", "failed"),
        values=() if running else tuple(attributes.get("values") or ()),
        reason="" if running else attributes.get("reason", ""),
        seconds=attributes.get("seconds"),
    )


def _identity(params: dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


def _open_storage(url: str, folder: Path) -> Any:
    if url:
        storage = optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        event.listen(storage.engine, "do_connect", _connect_again)
        return storage
    return JournalStorage(JournalFileBackend(str((folder / _JOURNAL).resolve())))


def _connect_again(dialect: Any, _: Any, address: Any, options: Any) -> Any:
    """Return a new connection to a database, with retries for some time."""
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    while True:
        try:
            return dialect.connect(*address, **options)
        except dialect.loaded_dbapi.OperationalError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1)


def _repair_journal(path: Path) -> bool:
    """Remove an incomplete line and a lock of a killed driver; the caller holds the study's lock.

    A journal with any other damage is renamed; returns whether it was.
    """
    Path(f"{path.resolve()}.lock").unlink(missing_ok=True)
    if not path.is_file():
        return False
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with path.open("r+b") as stream:
            stream.truncate(end)
    lines = content[:end].splitlines()
    damaged = [number for number, line in enumerate(lines, 1) if not _is_entry(line)]
    if not damaged:
        return False
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    path.rename(aside)
    logger.warning(
        f"{path}: line {damaged[0]} is damaged; moved to {aside.name}, the finished trials are "
        "taken from the store."
    )
    return True


def _is_entry(line: bytes) -> bool:
    """Return whether a line of a journal is a complete entry of Optuna."""
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and "op_code" in entry


@contextlib.contextmanager
def _storage_errors(url: str, folder: Path) -> Iterator[None]:
    """Convert errors of the storage into ``UsageError`` or ``StoreError`` of one line."""
    try:
        yield
    except (UsageError, StoreError):
        raise
    except Exception as error:
        if not url:
            raise StoreError(
                f"{folder}: the study cannot be read: {_first_line(error)}", code="unreadable"
            ) from None
        raise UsageError(
            f"--storage {url}: cannot be used: {_first_line(error)}; expected "
            "a database that answers, such as sqlite:///studies.db or "
            "postgresql+psycopg://HOST/NAME (with pip install 'aebench[postgres]').",
            code="unreachable_storage",
        ) from None


def _first_line(error: Exception) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return (first or type(error).__name__).rstrip(".")[:300]
