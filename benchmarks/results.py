"""All methods with their defaults on all datasets, in one store, as far as a budget goes.

    python benchmarks/results.py [--hours 3] [--jobs 2] [--plan]

What runs stands in ``results.yaml``. Every group runs with its first seed, then every group with
its second, and so on, so that a budget that ends early costs seeds rather than methods. The plan
is printed first, with what the budget does not reach for: a group without time left, and all later
seeds. Fits that are in the store are not made again, and the core minutes that were used stand
beside it, so that an interrupted run goes on. Needs ``BENCH_DATA_DIR``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

import bench

_TIMEOUT = 1800.0


@dataclass
class Group:
    """Methods that run on the same datasets; ``minutes`` are core minutes of one seed."""

    name: str
    methods: list[str]
    datasets: list[str]
    seeds: int
    minutes: float
    choosing: bool = False
    """Whether defaults were chosen on these datasets."""

    def key(self, seed: int) -> str:
        """Return the key of a round, another one once methods or datasets have changed."""
        content = hashlib.sha256(repr((self.methods, self.datasets)).encode()).hexdigest()
        return f"{self.name} {content[:8]}/{seed}"


@dataclass
class Costs:
    """Core minutes of rounds, kept in a file."""

    path: Path
    rounds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Costs:
        """Return the costs of a file, or none."""
        return cls(path, json.loads(path.read_text()) if path.is_file() else {})

    def add(self, key: str, minutes: float) -> None:
        """Add minutes to a round and write the file."""
        self.rounds[key] = self.rounds.get(key, 0.0) + minutes
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.rounds, indent=1) + "\n", encoding="utf-8")

    def spent(self) -> float:
        """Return the sum of all rounds."""
        return sum(self.rounds.values())

    def expected(self, group: Group) -> float:
        """Return the minutes of a group's first seed, or those of the grid's file."""
        return self.rounds.get(group.key(0), group.minutes)


def groups() -> list[Group]:
    """Return the groups of ``results.yaml``."""
    path = Path(__file__).with_suffix(".yaml")
    return [Group(**row) for row in yaml.safe_load(path.read_text(encoding="utf-8"))]


def rounds() -> list[tuple[int, Group]]:
    """Return seed and group of each round, in order."""
    every = groups()
    last = max(group.seeds for group in every)
    return [(seed, group) for seed in range(last) for group in every if seed < group.seeds]


def affordable(costs: Costs, minutes: float) -> list[tuple[int, Group, bool]]:
    """Return each round that has not been run, and whether the budget reaches for it.

    Once a group is cut, later seeds are, too: else cheap groups would take its time.
    """
    left, last, found = minutes - costs.spent(), math.inf, []
    for seed, group in rounds():
        if group.key(seed) in costs.rounds:
            continue
        expected = costs.expected(group)
        fits = expected <= left and seed <= last
        found.append((seed, group, fits))
        if fits:
            left -= expected
        else:
            last = min(last, seed)
    return found


def show_plan(costs: Costs, minutes: float) -> None:
    """Print what will run, what it will take, and what is cut."""
    planned = affordable(costs, minutes)
    print(f"budget {minutes:.0f} core minutes, {costs.spent():.0f} used")
    for seed, group, fits in planned:
        jobs = len(group.methods) * len(group.datasets)
        cut = "" if fits else "  cut"
        print(f"seed {seed}  {group.name}: {jobs} jobs, {costs.expected(group):.0f} min{cut}")


def run_round(seed: int, group: Group, costs: Costs, options: argparse.Namespace) -> None:
    """Run one seed of a group and note its core minutes, those of an interrupted one, too."""
    started, key = time.monotonic(), "interrupted"
    try:
        bench.run(
            list(group.methods), list(group.datasets), seeds=[seed], results=options.results,
            jobs=options.jobs, threads=1, timeout=_TIMEOUT, report=False, umap=False,
        )  # fmt: skip
        key = group.key(seed)
    finally:
        costs.add(key, options.jobs * (time.monotonic() - started) / 60)


def main() -> None:
    """Run all rounds that the budget reaches for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, default=3.0, help="core hours")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("results/all"))
    parser.add_argument("--plan", action="store_true", help="only print the plan")
    options = parser.parse_args()
    minutes = 60 * options.hours
    costs = Costs.read(options.results / "core_minutes.json")
    show_plan(costs, minutes)
    if options.plan:
        return
    while True:
        todo = [(seed, group) for seed, group, fits in affordable(costs, minutes) if fits]
        if not todo:
            break
        seed, group = todo[0]
        print(f"\nseed {seed}, {group.name}", flush=True)
        run_round(seed, group, costs, options)
    print()
    show_plan(costs, minutes)


if __name__ == "__main__":
    main()
