"""Samplers and pruners of Optuna, and the spaces that each of them can handle."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

import optuna.pruners as pruners
import optuna.samplers as samplers

from bench.errors import UsageError
from bench.messages import did_you_mean

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from bench.plan.search_space import Space

SAMPLERS = ("tpe", "random", "cmaes", "gp", "grid")
PRUNERS = ("none", "median", "hyperband")
_RANDOM_TRIALS = 10
"""Number of random trials before TPE and GP use the results."""


def check_sampler(name: str, space: Space, n_objectives: int) -> None:
    """Raise ``UsageError`` if a sampler cannot handle a space or the number of objectives."""
    if name not in SAMPLERS:
        raise UsageError(
            f"--sampler: no sampler '{name}'.{did_you_mean(name, list(SAMPLERS))}",
            code="unknown_name",
        )
    if name == "grid":
        space.grid()
    problem = _sampler_problem(name, space, n_objectives)
    if problem:
        raise UsageError(
            f"{space.owner}: --sampler {name} {problem}, or use --sampler tpe.",
            code="sampler_not_possible",
        )
    if name == "cmaes" and find_spec("cmaes") is None:
        raise UsageError(
            "--sampler cmaes needs a package that is not installed: pip install cmaes.",
            code="missing_package",
        )


def _sampler_problem(name: str, space: Space, n_objectives: int) -> str:
    """Return the reason why a sampler cannot handle the space; empty if it can."""
    fix = "fix them with --space or --set"
    if name in ("cmaes", "gp") and space.conditional:
        return f"cannot handle conditional parameters ({', '.join(space.conditional)}); {fix}"
    if name != "cmaes":
        return ""
    if space.categorical:
        return f"cannot handle choices ({', '.join(space.categorical)}); {fix}"
    if len(space.dimensions) < 2:
        return "needs at least two parameters; add one with --space"
    return "handles one objective only; name one" if n_objectives > 1 else ""


def check_pruner(name: str, n_objectives: int) -> None:
    """Raise ``UsageError`` for an unknown pruner, or for one with several objectives."""
    if name not in PRUNERS:
        raise UsageError(
            f"--pruner: no pruner '{name}'.{did_you_mean(name, list(PRUNERS))}",
            code="unknown_name",
        )
    if name != "none" and n_objectives > 1:
        raise UsageError(
            f"--pruner {name} works with one objective, not {n_objectives}: several have "
            "no order to stop a trial by; leave it out.",
            code="several_objectives",
        )


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Return a sampler; any for ``grid``, as the study enqueues the configurations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # options that Optuna calls experimental
        if name == "tpe":
            return samplers.TPESampler(
                multivariate=True, group=True, constant_liar=True, seed=seed,
                n_startup_trials=_RANDOM_TRIALS,
            )  # fmt: skip
        if name == "cmaes":
            return samplers.CmaEsSampler(seed=seed)
        if name == "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=_RANDOM_TRIALS)
        return samplers.RandomSampler(seed=seed)


def make_pruner(name: str) -> BasePruner:
    """Return a pruner.

    Median: a trial stops if its best value so far is worse than the median of finished trials at
    the same step, after five finished trials and from the fifth step on. Hyperband: successive
    halving by 3 from 5 steps on (Li et al. 2018, JMLR 18:185).
    """
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=5, max_resource="auto", reduction_factor=3)
    return pruners.NopPruner()
