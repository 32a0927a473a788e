"""``bench.list_methods``, ``list_datasets`` and ``list_metrics``: the lists as data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.settings import load_settings

from .datasets import dataset_table
from .methods import method_table
from .metrics import metric_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def list_methods(plugins: str | Sequence[str] = ()) -> pd.DataFrame:
    """Return one row a method: family, data, cost, what it uses, summary.

    Parameters
    ----------
    plugins
        Python files with further methods.

    Returns
    -------
    DataFrame
        The table of ``bench methods``; its index is the name.
    """
    return _frame(method_table(load_settings({"plugins": plugins}).plugins))


def list_datasets(**settings: Any) -> pd.DataFrame:
    """Return one row a dataset: data, size, number of types, whether it is fetched, summary.

    Parameters
    ----------
    settings
        ``cache_dir`` and ``plugins``, as for :func:`bench.run`.

    Returns
    -------
    DataFrame
        The table of ``bench datasets``; its index is the name.
    """
    return _frame(dataset_table(load_settings(settings)))


def list_metrics(plugins: str | Sequence[str] = ()) -> pd.DataFrame:
    """Return one row a metric: what it scores, range, which direction is better, summary.

    Parameters
    ----------
    plugins
        Python files with further metrics.

    Returns
    -------
    DataFrame
        The table of ``bench metrics``; its index is the name.
    """
    return _frame(metric_table(load_settings({"plugins": plugins}).plugins))


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rows)
    return table.set_index(table.columns[0])
