"""Shell completion of names; comma lists are completed at their last part."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.registry import datasets, methods
from bench.settings import load_settings


def complete_methods(incomplete: str) -> list[str]:
    """Complete names of methods."""
    return _complete_last(incomplete, methods().entries)


def complete_datasets(incomplete: str) -> list[str]:
    """Complete names of datasets, those that the user added among them."""
    from bench.data.user_datasets import user_datasets

    names = {*datasets().entries, *user_datasets(load_settings({}).cache_dir)}
    return _complete_last(incomplete, names)


def complete_metrics(incomplete: str) -> list[str]:
    """Complete names of metrics."""
    from bench.scoring.aggregates import AGGREGATES
    from bench.scoring.metrics import metrics

    return _complete_last(incomplete, {*metrics(), *(metric.name for metric in AGGREGATES)})


def complete_choices(choices: Iterable[str]) -> Callable[[str], list[str]]:
    """Return the completion of an option that takes one of a few words."""

    def complete(incomplete: str) -> list[str]:
        return _complete_last(incomplete, choices)

    return complete


def _complete_last(incomplete: str, names: Iterable[str]) -> list[str]:
    head, comma, last = incomplete.rpartition(",")
    return [head + comma + name for name in sorted(names) if name.startswith(last)]
