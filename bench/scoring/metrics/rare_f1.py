"""F1 of rare types with their best clusters."""

from __future__ import annotations

from typing import Any

from bench.contract import Metric, MetricResult, UndefinedMetric

MAX_SHARE = 0.05
MIN_CELLS = 2


def rare_f1(true: Any, predicted: Any) -> MetricResult:
    """Return the mean over rare types of the F1 with the best cluster; fact ``types``.

    A type is rare if it has at least 2 cells and less than 5 % of the cells. Its best cluster has
    the largest F1 = 2 |T ∩ C| / (|T| + |C|).

    Notes
    -----
    Two types may have the same best cluster, unlike in ``macro_f1``, where a large type can take
    the cluster of a rare one. Not corrected for chance: a type merged into a large cluster scores
    2 |T| / (|T| + |C|), close to 0.

    Raises
    ------
    UndefinedMetric
        If no type has at least 2 cells and less than 5 % of the cells.
    """
    from ._contingency import contingency, f1_table

    table = contingency(true, predicted)
    sizes = table.sum(axis=1)
    rare = (sizes >= MIN_CELLS) & (sizes < MAX_SHARE * sizes.sum())
    if not rare.any():
        raise UndefinedMetric("no type has at least 2 and less than 5 % of the cells")
    return float(f1_table(table)[rare].max(axis=1).mean()), {"types": float(rare.sum())}


METRIC = Metric(
    name="rare_f1",
    kind="clustering",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Mean best-cluster F1 of the types with less than 5 % of the cells",
    reference="best-match F1 of a class: Larsen and Aone 1999, doi:10.1145/312129.312186",
    function=rare_f1,
)
