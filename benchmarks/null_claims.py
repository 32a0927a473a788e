"""How often a report claims a difference between equal methods, and how often it finds a real one.

    python benchmarks/null_claims.py [--quick] [--json FILE]

Tables of results are drawn at random and read by the report's own functions. A claim is a pair of
methods that the report calls reliable, on a dataset or over them. ``upper`` is the upper end of
the 95 % Clopper-Pearson interval of a rate. About 9 CPU minutes; ``--quick`` draws a tenth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import beta

from _figures import flags, show
from bench.reports.page.pairwise_section import pairwise_differences
from bench.reports.tables.leaderboard import leaderboard, tidy
from bench.reports.tables.verdict import verdict

REPORTS, QUICK = 400, 40
ARI = "kmeans/ari"


@dataclass(frozen=True)
class Setting:
    """Methods × datasets × seeds, and in what the methods differ."""

    methods: int = 12
    datasets: int = 9
    seeds: int = 5
    spread: float = 0.04
    better: float = 0.0
    """Added to the scores of the method m01."""
    exact: bool = False
    """The method m00 gives the same score for every seed."""
    unequal: bool = False
    """The spreads of methods differ by factors of about two."""
    failing: bool = False
    """The method m02 loses its two worst seeds on every dataset."""


def table(rng: np.random.Generator, one: Setting) -> pd.DataFrame:
    """Return one table of results."""
    spreads = np.full(one.methods, one.spread)
    if one.unequal:
        spreads *= np.exp(rng.normal(0, 0.7, one.methods))
    if one.exact:
        spreads[0] = 0.0
    shape = (one.methods, one.datasets, one.seeds)
    scores = rng.normal(0.6, 0.1, (1, one.datasets, 1)) + spreads[:, None, None] * rng.normal(
        size=shape
    )
    scores[1] += one.better
    if one.failing:
        worst = np.argsort(scores[2], axis=1)[:, :2]
        np.put_along_axis(scores[2], worst, np.nan, axis=1)
    method, dataset, seed = (axis.ravel() for axis in np.indices(shape))
    rows = pd.DataFrame({
        "method": [f"m{i:02d}" for i in method], "dataset": [f"d{i}" for i in dataset],
        "seed": seed, ARI: scores.ravel(), "seconds": 1.0, "peak_memory_mb": 1.0,
    })  # fmt: skip
    rows["status"] = np.where(rows[ARI].isna(), "diverged", "done")
    return rows.assign(
        method_name=rows["method"], family="autoencoder", modality="rna", profile="default",
        protocol="default", reason="", missing="", uses="", score_key=rows.index.map(str),
    )  # fmt: skip


def rates(setting: Setting, reports: int) -> dict[str, float]:
    """Return the rates of false claims, of the better method named, and of another one named."""
    rng = np.random.default_rng(1)
    false = named = other = 0
    for _ in range(reports):
        results = tidy(table(rng, setting))
        claims = pairwise_differences(results)
        claims = claims[claims["reliable"]]
        if setting.better:
            claims = claims[(claims["method"] != "m01") & (claims["compared_with"] != "m01")]
            first = verdict(results)[0].text
            named += first.startswith("Use m01: ")
            other += not first.startswith("Use m01: ")
        false += len(claims) > 0
    return {
        "rate": false / reports, "upper": _upper(false, reports), "named": named / reports,
        "other_named": other / reports,
    }  # fmt: skip


def _upper(hits: int, n: int) -> float:
    return 1.0 if hits == n else float(beta.ppf(0.95, hits + 1, n - hits))


def first_with_lost_seeds(reports: int) -> float:
    """Return how often a method that loses its two worst seeds is first, of three equal ones."""
    rng = np.random.default_rng(2)
    setting = Setting(methods=3, datasets=2, spread=0.05, failing=True)
    first = [
        str(leaderboard(table(rng, setting), ties=False).loc[0, "method"]) for _ in range(reports)
    ]
    return first.count("m02") / reports


def main() -> None:
    """Print the rates."""
    asked = flags(__doc__)
    reports = QUICK if asked.quick else REPORTS
    equal = {
        "3_seeds": Setting(seeds=3),
        "5_seeds": Setting(),
        "5_seeds_exact_unequal_failing": Setting(exact=True, unequal=True, failing=True),
        "3_seeds_exact_unequal": Setting(seeds=3, exact=True, unequal=True),
    }
    figures: dict[str, float] = {}
    for name, setting in equal.items():
        found = rates(setting, reports)
        figures[f"false_claim_rate_{name}"] = found["rate"]
        figures[f"false_claim_rate_upper_{name}"] = found["upper"]
    for name, setting in {
        "better": Setting(spread=0.02, better=0.05),
        "better_exact_unequal_failing": Setting(
            spread=0.02, better=0.05, exact=True, unequal=True, failing=True
        ),
    }.items():
        found = rates(setting, reports)
        figures[f"{name}_named_rate"] = found["named"]
        figures[f"{name}_other_named_rate"] = found["other_named"]
        figures[f"false_claim_rate_upper_{name}"] = found["upper"]
    figures["first_with_lost_seeds_rate"] = first_with_lost_seeds(reports)
    show(figures, asked.json)


if __name__ == "__main__":
    main()
