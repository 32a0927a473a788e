"""One Optuna study, held by one driver: asks for configurations and remembers what they gave.

What a trial was and gave stands in its user attributes (``params``, ``status``, ``values``,
``reason``): the whole configuration, not only what was drawn. A trial that a killed driver left
running keeps its number and is run again by the next one.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from bench.errors import StoreError, UsageError
from bench.plan.search_space import Space
from bench.seeds import derive_seed
from bench.tuning.objective import Objective
from bench.tuning.samplers import make_pruner, make_sampler
from bench.tuning.study_lock import Claim

_TRIES = 200
"""Draws in a row that may repeat an earlier configuration before the space counts as used up."""
_SKIPPED = "skipped"
"""Attribute of draws that are no trials: repeated, refused by the method, or incomplete."""


@dataclass(frozen=True)
class Trial:
    """What is known of one trial."""

    number: int
    params: dict[str, Any]
    """The whole configuration."""
    status: str
    """``running``, or how its job ended: ``done``, ``pruned``, ``failed`` and so on."""
    values: tuple[float, ...] = ()
    """Of the objectives, if done."""
    reason: str = ""
    seconds: float | None = None


class UsedUp(Exception):
    """The space holds no configuration that was not tried."""


class Study:
    """Access to one study; use as a context manager, which holds it against other drivers."""

    def __init__(
        self,
        name: str,
        folder: Path,
        space: Space,
        objectives: tuple[Objective, ...],
        *,
        sampler: str,
        pruner: str,
        seed: int,
        storage: str = "",
    ) -> None:
        self.name, self.folder, self.space, self.objectives = name, folder, space, objectives
        self._sampler, self._pruner, self._seed, self._url = sampler, pruner, seed, storage
        self._lock = threading.RLock()
        self._study: optuna.Study
        self._claim: Claim

    def __enter__(self) -> Study:
        self._claim = Claim(self.folder, self.name)
        try:
            self._study = self._open()
            if self._url:
                self._claim.hold_shared(self._study)
        except BaseException:
            self._claim.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._claim.release()

    def _open(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        directions = ["maximize" if one.maximize else "minimize" for one in self.objectives]
        with _reaching(self._url, self.folder):
            storage = _storage(self._url, self.folder)
            study = optuna.create_study(
                storage=storage, study_name=self.name, directions=directions, load_if_exists=True,
                sampler=make_sampler(self._sampler, self._seed), pruner=make_pruner(self._pruner),
            )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # experimental in Optuna; they name the figures
                study.set_metric_names([one.name for one in self.objectives])
        return study

    # -- reading ---------------------------------------------------------------------------

    def trials(self) -> list[Trial]:
        """Return the trials in the order in which they were asked for."""
        with self._lock:
            frozen = self._study.get_trials(deepcopy=False)
        return [_trial(one) for one in frozen if _counts(one)]

    @property
    def optuna_study(self) -> optuna.Study:
        """The study, for figures."""
        return self._study

    # -- asking and telling ----------------------------------------------------------------

    def recover(self) -> list[Trial]:
        """Return trials that a killed driver left running; incomplete draws are closed."""
        with self._lock:
            left = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            for one in left:
                if "params" not in one.user_attrs:
                    self._skip(one.number, "the driver was killed while this was drawn")
            return [_trial(one) for one in left if "params" in one.user_attrs]

    def ask(self) -> Trial:
        """Return a new configuration that this study has not tried; the default first.

        Raises :class:`UsedUp` if there is none.
        """
        with self._lock:
            known = {_identity(one.params): one.number for one in self.trials()}
            if not known:
                return self._default()
            if self._sampler == "grid":
                return self._next_of_grid(known)
            for attempt in range(_TRIES):
                # A sampler that has settled repeats itself for ever: random draws find the rest.
                random = attempt >= _TRIES // 10
                number, params = self._draw("random" if random else self._sampler)
                if params is None:
                    continue
                if _identity(params) in known:
                    self._skip(number, f"the same as trial {known[_identity(params)]}")
                    continue
                return self._begin(number, params)
        raise UsedUp(f"{len(known)} configurations are all that {_TRIES} draws found")

    def _draw(self, sampler: str) -> tuple[int, dict[str, Any] | None]:
        """Return the number of a draw and its configuration (``None`` if the method refuses)."""
        # A sampler made anew for every draw, from a seed that depends on how many there were:
        # a resumed study goes on as an uninterrupted one would, and repeats nothing.
        drawn = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = make_sampler(sampler, derive_seed(self._seed, "sampler", str(drawn)))
        trial = self._study.ask()
        try:
            return trial.number, self.space.draw(trial)
        except UsageError as error:
            self._skip(trial.number, str(error))
            return trial.number, None

    def _default(self) -> Trial:
        """Begin with the default configuration; it may lie outside the space."""
        params = self.space.complete(self.space.base)
        return self._begin_given(params)

    def _begin_given(self, params: dict[str, Any]) -> Trial:
        drawn = self.space.encode(params)
        if drawn is None:
            trial = self._study.ask()
            trial.set_user_attr("outside", "not in the space: the sampler does not learn of it")
            return self._begin(trial.number, params)
        self._study.enqueue_trial(drawn)
        number, found = self._draw(self._sampler)
        assert found == params
        return self._begin(number, params)

    def _next_of_grid(self, known: dict[str, int]) -> Trial:
        for params in self.space.grid():
            if _identity(params) not in known:
                return self._begin_given(params)
        raise UsedUp(f"all {len(known)} configurations of the grid were tried")

    def _begin(self, number: int, params: dict[str, Any]) -> Trial:
        self._study._storage.set_trial_user_attr(self._id(number), "params", params)
        return Trial(number, params, "running")

    def _skip(self, number: int, reason: str) -> None:
        self._study._storage.set_trial_user_attr(self._id(number), _SKIPPED, reason)
        self._study.tell(number, state=TrialState.FAIL)

    def tell(
        self,
        number: int,
        status: str,
        values: list[float] | None,
        reason: str = "",
        seconds: float | None = None,
    ) -> None:
        """Record how a trial ended; ``values`` only if it is done."""
        facts = {"status": status, "values": values, "reason": reason, "seconds": seconds}
        with self._lock:
            trial_id = self._id(number)
            for name, value in facts.items():
                self._study._storage.set_trial_user_attr(trial_id, name, value)
            outside = "outside" in self._study._storage.get_trial(trial_id).user_attrs
            if status == "done" and not outside:
                self._study.tell(number, values)
            elif status == "pruned":
                self._study.tell(number, state=TrialState.PRUNED)
            else:
                self._study.tell(number, state=TrialState.FAIL)

    def hopeless(self, number: int, step: int, loss: float) -> bool:
        """Record a value of a running trial and return whether the pruner would stop it.

        ``loss`` is better when lower, whatever the objective; the pruner reads it in the
        direction of the study.
        """
        value = -loss if self.objectives[0].maximize else loss
        with self._lock:
            storage, trial_id = self._study._storage, self._id(number)
            storage.set_trial_intermediate_value(trial_id, step, value)
            return bool(self._study.pruner.prune(self._study, storage.get_trial(trial_id)))

    def _id(self, number: int) -> int:
        found = self._study._storage.get_trial_id_from_study_id_trial_number(
            self._study._study_id, number
        )
        return int(found)


def _counts(frozen: Any) -> bool:
    return "params" in frozen.user_attrs and _SKIPPED not in frozen.user_attrs


def _trial(frozen: Any) -> Trial:
    facts = frozen.user_attrs
    running = not frozen.state.is_finished()
    return Trial(
        number=frozen.number,
        params=dict(facts["params"]),
        status="running" if running else facts.get("status", "failed"),
        values=() if running else tuple(facts.get("values") or ()),
        reason="" if running else facts.get("reason", ""),
        seconds=facts.get("seconds"),
    )


def _identity(params: dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


def _storage(url: str, folder: Path) -> Any:
    if url:
        return optuna.storages.RDBStorage(url)
    path = folder / "study.journal"
    _mend(path)
    return JournalStorage(JournalFileBackend(str(path.resolve())))


def _mend(path: Path) -> None:
    """Undo what a driver that was killed while it wrote has left: half a line, a lock.

    Nobody else writes: the caller holds the study.
    """
    Path(f"{path.resolve()}.lock").unlink(missing_ok=True)
    if not path.is_file():
        return
    whole = path.read_bytes()
    end = whole.rfind(b"\n") + 1
    if end < len(whole):
        with path.open("r+b") as stream:
            stream.truncate(end)


@contextlib.contextmanager
def _reaching(url: str, folder: Path) -> Iterator[None]:
    """Turn what a storage raises into one line."""
    try:
        yield
    except (UsageError, StoreError):
        raise
    except Exception as error:
        if not url:
            raise StoreError(f"{folder}: the study cannot be read: {_line(error)}") from None
        raise UsageError(
            f"--storage {_hidden(url)}: cannot be used: {_line(error)}; expected a database that "
            "answers, such as sqlite:///studies.db or postgresql://user@host/name."
        ) from None


def _line(error: Exception) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return (first or type(error).__name__).rstrip(".")[:300]


def _hidden(url: str) -> str:
    """Return a URL without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)
