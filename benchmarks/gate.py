"""How often the gate alarms without a cause, and the smallest drop of ARI that it finds.

    python benchmarks/gate.py [--quick] [--json FILE]

Fits a pool of 40 seeds a method (20 and no networks with ``--quick``) into the folder
``gate-pool`` of the results; what is there already is not fitted again. Then draws baselines and
checks from disjoint seeds of the pool, 2,000 times for each number of seeds, and has
``bench.baseline.verdicts`` judge them as in another environment. About 40 minutes on two cores (5
with ``--quick``), of which one is the drawing.

``alarm_check_5``: part of the checks of unchanged code, 5 seeds a method, with any alarm;
``alarm_each_5``: part of their comparisons; ``drop_pca_pbmc68k_5``: the drop of the mean k-means
ARI that 80 % of the checks find.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from _figures import flags, show
from bench.baseline.baseline_file import (
    FORMAT,
    Baseline,
    BaselineDataset,
    BaselineEntry,
    GateSettings,
)
from bench.baseline.entries import baseline_datasets, make_entries
from bench.baseline.verdicts import CurrentRun, GateFinding, JobScores, compare_run
from bench.settings import load_settings

if TYPE_CHECKING:
    import numpy as np

LIGHT = (
    ("pca,nmf,lsnmf,random,truth", "pbmc68k,sim_rna"),
    ("lsi,pca,nmf,random,truth", "sim_atac"),
)
NETWORKS = (("ae,vae", "pbmc68k,sim_rna"),)
METRICS = ("kmeans/ari", "kmeans/nmi")
DRAWS = 2000
FOUND = 0.8


@dataclass
class Pool:
    """Many seeds of each method, and the datasets they were fitted on."""

    entries: list[BaselineEntry]
    data: dict[str, BaselineDataset]


def main() -> None:
    import numpy as np

    options = flags(__doc__)
    pool = fit_pool(LIGHT if options.quick else LIGHT + NETWORKS, 20 if options.quick else 40)
    rng = np.random.default_rng(0)
    figures: dict[str, float] = {}
    for n_seeds in (3, 5, 10):
        checks = [draw(pool, n_seeds, rng) for _ in range(DRAWS)]
        figures |= measure(checks, n_seeds)
    show(figures, options.json)


def fit_pool(grid: tuple[tuple[str, str], ...], size: int) -> Pool:
    from bench.execute.run import run

    settings = load_settings({})
    pool = Pool([], {})
    for methods, datasets in grid:
        outcome = run(
            methods, datasets, seeds=size, profile="quick", report=False,
            results=settings.results / "gate-pool",
        )  # fmt: skip
        entries, left_out = make_entries(outcome, METRICS, "pool", settings)
        if left_out:
            raise SystemExit("\n".join(left_out))
        pool.entries += entries
        pool.data |= baseline_datasets(outcome, {name: name for name in datasets.split(",")})
    return pool


def draw(pool: Pool, n_seeds: int, rng: np.random.Generator) -> list[GateFinding]:
    """Return the verdicts on one check of unchanged code: other seeds, another environment."""
    seeds = tuple(range(n_seeds))
    entries, jobs = [], {}
    for entry in pool.entries:
        order = rng.permutation(len(entry.seeds))
        before, now = order[:n_seeds], order[n_seeds : 2 * n_seeds]
        kept = {key: tuple(values[i] for i in before) for key, values in entry.values.items()}
        entries.append(entry.model_copy(update={"seeds": seeds, "values": kept}))
        for seed, i in enumerate(now):
            place = (entry.method, entry.dataset, entry.protocol, seed)
            jobs[place] = JobScores("done", values={key: v[i] for key, v in entry.values.items()})
    baseline = Baseline(
        format=FORMAT, metrics=METRICS, datasets=pool.data, environments={"pool": {}},
        entries=tuple(entries),
        settings=GateSettings(seeds=seeds, profile="quick", threads=1, device="cpu"),
    )  # fmt: skip
    return compare_run(baseline, CurrentRun("another", seeds, jobs, pool.data))


def measure(checks: list[list[GateFinding]], n_seeds: int) -> dict[str, float]:
    import numpy as np

    alarms = np.array([[one.verdict == "regression" for one in found] for found in checks])
    figures = {
        f"comparisons_{n_seeds}": float(alarms.shape[1]),
        f"alarm_check_{n_seeds}": float(alarms.any(axis=1).mean()),
        f"alarm_each_{n_seeds}": float(alarms.mean()),
    }
    for column, first in enumerate(checks[0]):
        if alarms[:, column].any():
            name = f"alarm_{first.method}_{first.dataset}_{first.metric}_{n_seeds}"
            figures[name] = float(alarms[:, column].mean())
    for column, first in enumerate(checks[0]):
        if first.metric == "kmeans/ari" and first.method not in ("random", "truth"):
            # A drop is found if it and the luck of the draw exceed the limit together.
            needed = [
                one.limit + one.now - one.before
                for one in (found[column] for found in checks)
                if one.limit is not None and one.now is not None and one.before is not None
            ]
            name = f"drop_{first.method}_{first.dataset}_{n_seeds}"
            figures[name] = float(np.quantile(needed, FOUND))
    return figures


if __name__ == "__main__":
    main()
