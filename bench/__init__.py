"""Benchmark single-cell representation methods: fair, resumable, tracked in MLflow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench._version import __version__

__all__ = [
    "__version__", "ask", "estimator", "list_datasets", "list_methods", "list_metrics",
    "load_results", "run", "score", "search",
]  # fmt: skip

if TYPE_CHECKING:
    from bench.advice.recommendation import ask
    from bench.apply.estimator import estimator
    from bench.cli.listings import list_datasets, list_methods, list_metrics
    from bench.execute.array_scores import score
    from bench.execute.run import run
    from bench.store.results_table import load_results
    from bench.tuning.search import search

# Importing the package loads none of the libraries that these functions need.
_HOMES = {
    "ask": "bench.advice.recommendation",
    "estimator": "bench.apply.estimator",
    "list_datasets": "bench.cli.listings",
    "list_methods": "bench.cli.listings",
    "list_metrics": "bench.cli.listings",
    "load_results": "bench.store.results_table",
    "run": "bench.execute.run",
    "score": "bench.execute.array_scores",
    "search": "bench.tuning.search",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
