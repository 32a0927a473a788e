"""From selectors to a plan: which methods, datasets and jobs, and how long they will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config import Settings
from bench.dataset import Dataset
from bench.errors import UsageError
from bench.jobs import Job, Plan, configure, make_plan
from bench.keys import source_digest
from bench.registry import datasets as dataset_registry
from bench.registry import methods as method_registry
from bench.selectors import Selected, label, select
from bench.store import Store

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
) -> Plan:
    """Resolve selectors and parameters, make the datasets ready, and lay out the jobs."""
    registry = method_registry(settings.plugins)
    chosen = select(methods, registry.entries, method_tags(settings.plugins), noun="method")
    configured, left = configure(chosen, registry, settings, list(assign))
    stored = [
        store.dataset(dataset, source, shown, say)
        for dataset, source, shown in choose_datasets(datasets, settings)
    ]
    plan = make_plan(configured, stored, settings, store)
    plan.left += left
    for one in stored:
        for warning in one.facts["warnings"]:
            say(f"{one.label}: {warning}")
    return plan


def method_tags(plugins: tuple[str, ...]) -> Callable[[str], frozenset[str]]:
    """Return the function that gives a method's tags: family, cost, modalities."""
    registry = method_registry(plugins)

    def tags(name: str) -> frozenset[str]:
        cls = registry.entry(name).cls
        return frozenset() if cls is None else cls.modalities | {cls.family, cls.cost}

    return tags


def dataset_tags(plugins: tuple[str, ...]) -> Callable[[str], frozenset[str]]:
    """Return the function that gives a dataset's tags: modality, organism, own tags."""
    registry = dataset_registry(plugins)

    def tags(name: str) -> frozenset[str]:
        cls = registry.entry(name).cls
        if cls is None:
            return frozenset()
        return frozenset({cls.card.modality, cls.card.organism, *cls.card.tags} - {""})

    return tags


def choose_datasets(text: str, settings: Settings) -> list[tuple[Dataset, str, str]]:
    """Return (dataset, digest of its loader, display name) for each selected dataset.

    A selector that is a path loads that file; a name that is not registered is looked up in
    ``BENCH_DATA_DIR``. Raises ``UsageError``.
    """
    # The one place of the engine that names a module of datasets/: any file by its path.
    from bench.datasets.files import find_local, looks_like_data

    registry = dataset_registry(settings.plugins)

    def is_file(name: str) -> bool:
        if name in registry.entries:
            return False
        return "/" in name or looks_like_data(name) or find_local(name) is not None

    chosen = select(
        text, registry.entries, dataset_tags(settings.plugins), noun="dataset", is_path=is_file
    )
    found: list[tuple[Dataset, str, str]] = []
    for one in chosen:
        if is_file(one.name):
            found.append(_choose_file(one, settings))
            continue
        if registry.entry(one.name).unavailable and not one.explicit:
            continue
        dataset = registry.get(one.name).configured(one.values)
        source = source_digest(registry.entry(one.name).origin)
        found.append((dataset, source, label(one.name, one.values)))
    names = Counter(shown for _, _, shown in found)
    double = next((name for name, count in names.items() if count > 1), None)
    if double:
        raise UsageError(f"two datasets would be named '{double}'; rename one of the files.")
    return found


def _choose_file(one: Selected, settings: Settings) -> tuple[Dataset, str, str]:
    """Return the dataset of a path; what its brackets leave open comes from the settings.

    The display name shows what tells apart two views of one file, not how the file is laid out.
    """
    from bench.datasets.files import FileDataset, find_local

    keys = {"label_key": settings.label_key, "batch_key": settings.batch_key}
    given = {key: value for key, value in keys.items() if value} | one.values
    params = FileDataset.Params.build(given, owner=one.name)
    file = FileDataset.from_path(find_local(one.name) or Path(one.name).expanduser(), params)
    shown = {key: v for key, v in one.values.items() if key not in ("labels", "transpose")}
    return file, source_digest("bench.datasets.files"), label(file.name, shown)


def expected_seconds(todo: Sequence[Job], tracker: Tracker | None, settings: Settings) -> float:
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
    total = 0.0
    for job in todo:
        if (job.method, job.dataset) in exact:
            total += _median(exact[job.method, job.dataset])
        elif job.method in rates:
            total += _median(rates[job.method]) * job.facts["n_cells"]
        else:
            total += _COST_SECONDS[registry.get(job.method_name).cost]
    return total / min(settings.jobs, max(1, len(todo)))


def preview(plan: Plan, settings: Settings) -> tuple[list[dict[str, Any]], float]:
    """Return one row per method × dataset with how many jobs are done, and the seconds to go."""
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
    return list(rows.values()), expected_seconds(todo, tracker, settings)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
