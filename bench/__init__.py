"""Benchmark single-cell representation methods: fair, resumable, tracked in MLflow."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["estimator", "load_results", "run"]

if TYPE_CHECKING:
    import pandas as pd

    from bench.apply.estimator import estimator
    from bench.execute.driver import run

_NAMED_LIKE_THEIR_MODULE = ("estimator", "run")


def load_results(results: str = "results", **options: Any) -> pd.DataFrame:
    """Return all finished jobs of a results folder, one row a job (see ``bench.store.results_table``)."""
    from bench.store.results_table import load

    return load(results, **options)


def __getattr__(name: str) -> Any:
    if name in _NAMED_LIKE_THEIR_MODULE:
        return getattr(import_module(f"bench.{name}"), name)
    raise AttributeError(f"module 'bench' has no attribute '{name}'")


class _Callable(ModuleType):
    """A module that is called like the function of its name."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **options)


class _Package(ModuleType):
    """Keeps ``bench.run(...)`` working: importing a module puts it in its function's place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _NAMED_LIKE_THEIR_MODULE and isinstance(value, ModuleType):
            value.__class__ = _Callable
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
