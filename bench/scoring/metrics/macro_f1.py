"""Macro-averaged F1 after the best one-to-one matching of clusters and types."""

from __future__ import annotations

from typing import Any

from bench.contract import Metric


def macro_f1(true: Any, predicted: Any) -> float:
    """Return the mean over types of the F1 with the matched cluster.

    The matching is that of ``accuracy``. F1 = 2 |T ∩ C| / (|T| + |C|).

    Notes
    -----
    A type without a partner (fewer clusters than types) has F1 = 0. A cluster without a partner
    has no term, but lowers the F1 of the types that lose its cells. Every type has the same
    weight, whatever its size.
    """
    from ._contingency import best_matching, contingency, f1_table

    table = contingency(true, predicted)
    return float(f1_table(table)[best_matching(table)].sum() / table.shape[0])


METRIC = Metric(
    name="macro_f1",
    kind="clustering",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Mean F1 over types after matching clusters to types one to one",
    reference="Kuhn 1955, doi:10.1002/nav.3800020109; van Rijsbergen 1979, Information Retrieval",
    function=macro_f1,
)
