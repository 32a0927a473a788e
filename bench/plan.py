"""From selectors to a plan: which methods, datasets and jobs, and how long they will take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.cache.data_cache import Store, StoredDataset
from bench.data.resolve import choose_datasets
from bench.jobs import Configured, Job, Plan, configure, make_plan
from bench.messages import duration
from bench.paramsfile import read_params
from bench.registry import methods as method_registry
from bench.selectors import Left, select
from bench.settings import Settings

if TYPE_CHECKING:
    from bench.tracking import Tracker

Say = Callable[[str], None]
"""Where lines for the user go."""
_COST_SECONDS = {"light": 10.0, "heavy": 60.0}


def build_plan(
    methods: str,
    datasets: str,
    assign: Sequence[str],
    settings: Settings,
    store: Store,
    say: Say,
    params: Sequence[Path] = (),
) -> Plan:
    """Resolve selectors and parameters, make the datasets ready, and lay out the jobs."""
    configured, left = choose_methods(methods, assign, settings, say, params)
    stored, absent = ready_datasets(datasets, settings, store, say)
    plan = make_plan(configured, stored, settings, store)
    plan.left += left + absent
    return plan


def choose_methods(
    methods: str,
    assign: Sequence[str],
    settings: Settings,
    say: Say,
    params: Sequence[Path] = (),
) -> tuple[list[Configured], list[Left]]:
    """Return the selected methods with their parameters, and those that are unavailable.

    ``params`` are files of parameters by method (see ``bench.paramsfile``).
    """
    registry = method_registry(settings.plugins)
    chosen = select(methods, registry.entries, method_tags(settings.plugins), noun="method")
    files = read_params(params, {entry.name: entry.cls for entry in registry if entry.cls})
    for name, file in files.items():
        if name not in {one.name for one in chosen}:
            say(f"{file.path}: {name} is not selected; its parameters are not used")
    return configure(chosen, registry, settings, list(assign), files)


def ready_datasets(
    datasets: str, settings: Settings, store: Store, say: Say
) -> tuple[list[StoredDataset], list[Left]]:
    """Return the selected datasets, loaded, checked and kept, and those that are absent."""
    found, absent = choose_datasets(datasets, settings, store, say)
    stored = [store.dataset(one.dataset, one.source, one.label, say) for one in found]
    for one in stored:
        for warning in one.facts["warnings"]:
            say(f"{one.label}: {warning}")
    return stored, absent


def left_lines(left: Sequence[Left]) -> list[str]:
    """Return what is not run and why, methods with the same reason and datasets in one line."""
    datasets: dict[tuple[str, str, str], list[str]] = {}
    for one in left:
        datasets.setdefault((one.status, one.reason, one.method), []).append(one.dataset)
    alike: dict[tuple[str, str, str], list[str]] = {}
    for (status, reason, method), names in datasets.items():
        alike.setdefault((status, reason, ", ".join(names)), []).append(method)
    return [
        f"{status}: {', '.join(methods)} × {names}: {reason}"
        for (status, reason, names), methods in alike.items()
    ]


def method_tags(plugins: tuple[str, ...]) -> Callable[[str], frozenset[str]]:
    """Return the function that gives a method's tags: family, cost, modalities."""
    registry = method_registry(plugins)

    def tags(name: str) -> frozenset[str]:
        cls = registry.entry(name).cls
        return frozenset() if cls is None else cls.modalities | {cls.family, cls.cost}

    return tags


@dataclass(frozen=True)
class Expected:
    """The wall time to expect."""

    seconds: float
    guessed: int
    """Jobs of methods without an earlier run: only their declared cost is known."""

    def __str__(self) -> str:
        said = f"about {duration(self.seconds)}"
        if self.guessed:
            has = "job has" if self.guessed == 1 else "jobs have"
            said += f" (a guess: {self.guessed} {has} no earlier run to go by)"
        return said


def expected(todo: Sequence[Job], tracker: Tracker | None, settings: Settings) -> Expected:
    """Return the wall time to expect: earlier runs of the method scaled by cells, else its cost.

    Each job costs its median time on the same dataset, or on any other per cell, or the prior of
    its declared cost; the sum is divided by the number of workers.
    """
    rates: dict[str, list[float]] = {}
    exact: dict[tuple[str, str], list[float]] = {}
    for row in tracker.rows() if tracker else []:
        if row["status"] == "done" and row["profile"] == settings.profile and "seconds" in row:
            rates.setdefault(row["method"], []).append(row["seconds"] / row["n_cells"])
            exact.setdefault((row["method"], row["dataset"]), []).append(row["seconds"])
    registry = method_registry(settings.plugins)
    total, guessed = 0.0, 0
    for job in todo:
        if (job.method, job.dataset) in exact:
            total += _median(exact[job.method, job.dataset])
        elif job.method in rates:
            total += _median(rates[job.method]) * job.facts["n_cells"]
        else:
            total += _COST_SECONDS[registry.get(job.method_name).cost]
            guessed += 1
    return Expected(total / min(settings.jobs, max(1, len(todo))), guessed)


def preview(plan: Plan, settings: Settings) -> tuple[list[dict[str, Any]], Expected]:
    """Return one row per method × dataset with how many jobs are done, and the time to go."""
    from bench.tracking import Tracker

    exists = bool(settings.tracking_uri) or settings.database.is_file()
    tracker = Tracker(settings) if exists else None
    known = tracker.committed() if tracker else {}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    todo = []
    for job in plan.jobs:
        row = rows.setdefault(
            (job.method, job.dataset),
            {"method": job.method, "dataset": job.dataset, "jobs": 0, "in store": 0, "state": ""},
        )
        row["jobs"] += 1
        if job.score_key in known:
            row["in store"] += 1
        else:
            todo.append(job)
        row["state"] = "done" if row["in store"] == row["jobs"] else "to do"
    return list(rows.values()), expected(todo, tracker, settings)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
