"""Samplers and pruners of Optuna, and which spaces each of them can handle."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

import optuna.pruners as pruners
import optuna.samplers as samplers

from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.plan.search_space import Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

SAMPLERS = ("tpe", "random", "cmaes", "gp", "grid")
PRUNERS = ("none", "median", "hyperband")
_START = 10
"""Random trials before TPE and GP begin to learn."""


def check_sampler(name: str, space: Space, n_objectives: int) -> None:
    """Raise ``UsageError`` if a sampler cannot handle a space or the number of objectives."""
    if name not in SAMPLERS:
        raise UsageError(f"--sampler: no sampler '{name}'.{did_you_mean(name, list(SAMPLERS))}")
    where = f"{space.owner}: --sampler {name}"
    fix = "fix them with --space or --set, or use --sampler tpe."
    if name in ("cmaes", "gp") and space.conditional:
        shown = ", ".join(space.conditional)
        raise UsageError(f"{where} cannot handle conditional parameters ({shown}); {fix}")
    if name == "cmaes":
        if space.categorical:
            shown = ", ".join(space.categorical)
            raise UsageError(f"{where} cannot handle choices ({shown}); {fix}")
        if len(space.dimensions) < 2:
            raise UsageError(f"{where} needs at least two parameters; use --sampler tpe.")
        if n_objectives > 1:
            raise UsageError(f"{where} handles one objective only; use --sampler tpe.")
        _need_cmaes(where)
    if name == "grid":
        space.grid()


def _need_cmaes(where: str) -> None:
    if find_spec("cmaes") is None:
        raise UsageError(f"{where} needs a package that is not installed: pip install cmaes.")


def check_pruner(name: str, n_objectives: int) -> None:
    """Raise ``UsageError`` for an unknown pruner, or for one with several objectives."""
    if name not in PRUNERS:
        raise UsageError(f"--pruner: no pruner '{name}'.{did_you_mean(name, list(PRUNERS))}")
    if name != "none" and n_objectives > 1:
        raise UsageError(
            f"--pruner {name} works with one objective, not {n_objectives}, as there is "
            "no order to stop a trial by: leave it out."
        )


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Return a sampler; the grid is enqueued by the study, so that its sampler never draws."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # options that Optuna calls experimental
        if name == "tpe":
            return samplers.TPESampler(
                multivariate=True, group=True, constant_liar=True, seed=seed,
                n_startup_trials=_START,
            )  # fmt: skip
        if name == "cmaes":
            return samplers.CmaEsSampler(seed=seed)
        if name == "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=_START)
        return samplers.RandomSampler(seed=seed)


def make_pruner(name: str) -> BasePruner:
    """Return a pruner.

    Median: a trial stops if its best value so far is worse than the median of the others at the
    same step, from the fifth finished trial and the fifth step on. Hyperband: successive halving
    by 3 from 5 steps on (Li et al. 2018, JMLR 18:185).
    """
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=5, max_resource="auto", reduction_factor=3)
    return pruners.NopPruner()
