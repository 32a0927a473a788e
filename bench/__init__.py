"""Benchmark single-cell representation methods: fair, resumable, tracked in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["estimator", "load_results", "run"]

if TYPE_CHECKING:
    import pandas as pd

    from bench.estimator import Estimator
    from bench.run import run


def estimator(name: str, **params: Any) -> Estimator:
    """Return a method as a plain estimator: ``bench.estimator("vae", n_latent=16).fit(adata)``.

    Raises ``UsageError`` for an unknown name or parameter.
    """
    from bench.estimator import Estimator
    from bench.registry import methods

    cls = methods().get(name)
    return Estimator(cls(cls.Params.build(params, owner=name)))


def load_results(results: str = "results", **options: Any) -> pd.DataFrame:
    """Return all finished jobs of a results folder, one row a job (see ``bench.results``)."""
    from bench.results import load

    return load(results, **options)


def __getattr__(name: str) -> Any:
    if name == "run":
        from bench.run import run

        return run
    raise AttributeError(f"module 'bench' has no attribute '{name}'")
