"""Made-up evidence for advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pandas as pd

from bench.advice.data_profile import DataProfile
from bench.advice.evidence import LABEL_FREE


def profile(name: str, modality: str = "rna", cells: int = 777) -> DataProfile:
    """Return the profile of a dataset; all but its size is the same for each."""
    return DataProfile(name, modality, cells, 500, 1000.0, 0.9, 0)


def table(
    scores: Mapping[str, Sequence[float]],
    cells: Sequence[int] | None = None,
    *,
    family: Mapping[str, str] | None = None,
    uses: Mapping[str, str] | None = None,
    cost: Mapping[str, str] | None = None,
    failed: Mapping[str, Sequence[int]] | None = None,
    label_free: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of results and datasets of the ARI of methods on ``set0``, ``set1``, …."""
    n_sets = len(next(iter(scores.values())))
    sizes = cells or [1000 + 10 * number for number in range(n_sets)]
    rows = [
        {
            "dataset": f"set{number}",
            "modality": "rna",
            "method": method,
            "family": (family or {}).get(method, "baseline"),
            "cost": (cost or {}).get(method, "light"),
            "uses": (uses or {}).get(method, ""),
            "ari": value,
            "seeds": 3,
            "failed": failed[method][number] if failed and method in failed else 0,
            "seconds": 2.0,
            **{
                name: (label_free or {}).get(name, {}).get(method, [float("nan")] * n_sets)[number]
                for name in LABEL_FREE
            },
        }
        for method, values in scores.items()
        for number, value in enumerate(values)
        if value == value
    ]
    facts = [asdict(profile(f"set{number}", cells=size)) for number, size in enumerate(sizes)]
    return pd.DataFrame(rows), pd.DataFrame(facts)
