"""Options of a hyperparameter search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.scoring.holdout import PROTOCOLS

from .objective import Objective, parse_objectives
from .samplers import check_pruner

SEARCH_SEED = 1000
"""Default seed of the fits of trials; report seeds begin at 0."""


@dataclass(frozen=True)
class SearchOptions:
    """Options of a search besides methods, datasets and settings.

    Parameters
    ----------
    trials
        Total number of configurations of each study, including the default configuration.
    timeout
        Seconds after which a study begins no further trial, counted from the start of each
        command.
    protocol
        ``holdout``, ``unsupervised`` or ``oracle`` (see :mod:`bench.scoring.holdout`).
    objective
        Names separated by commas; empty: ``ari``, under ``unsupervised`` ``silhouette``.
    sampler
        ``tpe``, ``random``, ``cmaes``, ``gp`` or ``grid``.
    pruner
        ``none``, ``median`` or ``hyperband``.
    space
        YAML file that narrows, extends or fixes parameters.
    storage
        Address of a database of studies; empty: a journal in the folder of the study.
    search_seed
        Seed of the sampler and of the fits of trials.

    Raises
    ------
    UsageError
        For an unknown name, a value out of range, or neither ``trials`` nor ``timeout``.
    """

    trials: int | None = None
    timeout: float | None = None
    protocol: str = "holdout"
    objective: str = ""
    sampler: str = "tpe"
    pruner: str = "none"
    space: Path | None = None
    storage: str = ""
    search_seed: int = SEARCH_SEED
    objectives: tuple[Objective, ...] = field(init=False, default=())
    """The parsed ``objective``."""

    def __post_init__(self) -> None:
        if self.trials is None and self.timeout is None:
            raise UsageError("give a budget: --trials, --timeout, or both.", code="missing_budget")
        if self.trials is not None and self.trials < 1:
            raise UsageError(f"--trials {self.trials}: expected at least 1.", code="invalid_value")
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(
                f"--timeout {self.timeout:g}: expected seconds above 0.", code="invalid_value"
            )
        if self.protocol not in PROTOCOLS:
            hint = did_you_mean(self.protocol, list(PROTOCOLS))
            raise UsageError(
                f"--protocol: no protocol '{self.protocol}'.{hint}", code="unknown_name"
            )
        if self.search_seed < 0:
            raise UsageError(
                f"--search-seed {self.search_seed}: expected a number of at least 0.",
                code="invalid_value",
            )
        object.__setattr__(self, "objectives", parse_objectives(self.objective, self.protocol))
        check_pruner(self.pruner, len(self.objectives))


def split_options(keywords: Mapping[str, Any]) -> tuple[SearchOptions, dict[str, Any]]:
    """Return the options of a search, and all other keywords, which are settings.

    ``timeout`` limits a study; ``fit_timeout`` becomes the setting ``timeout`` of one fit.
    """
    settings = dict(keywords)
    names = [one.name for one in fields(SearchOptions) if one.init and one.name in settings]
    options = SearchOptions(**{name: settings.pop(name) for name in names})
    if "fit_timeout" in settings:
        settings["timeout"] = settings.pop("fit_timeout")
    return options, settings
