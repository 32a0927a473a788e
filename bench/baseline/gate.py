"""Write, update and check a baseline: run missing jobs, then compare."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from bench.baseline.entries import (
    baseline_datasets,
    compare_costs,
    describe_changes,
    job_scores,
    make_entries,
)
from bench.baseline.environment import (
    describe_differences,
    environment_key,
    fingerprint,
)
from bench.data.cache.data_cache import DataCache
from bench.data.resolve import resolve_datasets
from bench.errors import BenchError, UsageError
from bench.execute.dataset_reading import open_cache
from bench.execute.run import run
from bench.messages import did_you_mean
from bench.plan.build import method_tags
from bench.plan.device import resolve_device
from bench.plan.methods import configure_methods
from bench.registry import methods as registry
from bench.scoring.metrics import metrics
from bench.selectors import select_names, split_selectors
from bench.settings import Settings, load_settings

from .baseline_file import (
    FORMAT,
    Baseline,
    BaselineDataset,
    GateSettings,
    UpdateReason,
    read_baseline,
    save_baseline,
)
from .gate_store import with_gate_store
from .verdicts import CurrentRun, GateFinding, compare_run, direction, exit_code

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from bench.execute.outcome import RunOutcome

CONTROLS = ("random", "truth")
METRICS = "ari,nmi"


@dataclass
class GateCheck:
    """The findings of a check."""

    findings: list[GateFinding]
    environment: dict[str, str]
    elsewhere: str = ""
    """Differences from the environment of most entries; empty if there are none."""
    costs: list[dict[str, Any]] = field(default_factory=list)
    """Seconds and memory, in the baseline and now, by method and dataset; never compared."""
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """Exit code: 130 if interrupted, 1 for a regression, 3 if incomplete, else 0."""
        return 130 if self.interrupted else exit_code(self.findings)


@dataclass
class BaselineUpdate:
    """The result of writing or updating a baseline."""

    baseline: Baseline | None
    """``None`` if the run was interrupted; no file is then written."""
    left_out: list[str] = field(default_factory=list)
    """One line for each method and dataset without an entry, with the reason."""
    changes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Exit code: 130 if interrupted, 3 if a combination has no entry, else 0."""
        return 130 if self.baseline is None else 3 if self.left_out else 0


def write_baseline(
    methods: str,
    datasets: str,
    out: Path,
    *,
    metric_names: str = METRICS,
    assign: Sequence[str] = (),
    config: Path | None = None,
    console: Console,
    **flags: Any,
) -> BaselineUpdate:
    """Run the jobs that have no results yet and write all results as a baseline.

    The controls ``random`` and ``truth`` are always among the methods. ``metric_names`` are
    separated by commas: ``ari`` scores the k-means clusters, ``leiden/ari`` those of Leiden.
    Raises ``UsageError`` if the file exists already.
    """
    if out.exists():
        raise UsageError(
            f"{out} exists: 'bench baseline update {out}' replaces entries with a reason; or "
            "remove the file first.",
            code="file_exists",
        )
    settings = with_gate_store(load_settings(flags, config))
    keys = score_keys(metric_names, settings.plugins)
    gate_settings = GateSettings(
        seeds=settings.seeds, profile=settings.profile, threads=settings.threads,
        device=resolve_device(settings.device), label_key=settings.label_key,
        batch_key=settings.batch_key, plugins=settings.plugins,
    )  # fmt: skip
    outcome, environment = _run(with_controls(methods), datasets, settings, console, assign)
    if outcome.interrupted:
        return BaselineUpdate(None)
    data = baseline_datasets(outcome, _dataset_selectors(datasets, settings))
    entries, left_out = make_entries(outcome, keys, environment_key(environment), settings)
    if not entries:
        raise UsageError(
            f"{out} is not written, no job gave results: {'; '.join(left_out)}", code="no_results"
        )
    baseline = Baseline(
        format=FORMAT, settings=gate_settings, metrics=keys,
        datasets={entry.dataset: data[entry.dataset] for entry in entries},
        environments={environment_key(environment): environment}, entries=tuple(entries),
    )  # fmt: skip
    save_baseline(baseline, out)
    return BaselineUpdate(baseline, left_out)


def update_baseline(
    path: Path, only: str, reason: str, *, config: Path | None = None, console: Console,
    **flags: Any,
) -> BaselineUpdate:  # fmt: skip
    """Run some methods again and replace their entries; the reason is recorded in the file.

    ``only``: names or globs of the baseline's methods, or new methods. Seeds, threads and device
    are those of the file. Raises ``UsageError`` for an empty reason, or for a glob that matches
    nothing.
    """
    if not reason.strip():
        raise UsageError(
            '--reason is empty; write why the results may change: --reason "…".',
            code="missing_value",
        )
    old = read_baseline(path)
    parts = split_selectors(only)
    names = tuple(dict.fromkeys(name for part in parts for name in _matching_methods(old, part)))
    settings = _gate_settings(old, flags, config)
    selectors = {label: data.select for label, data in old.datasets.items()}
    outcome, environment = _run(",".join(names), ",".join(selectors.values()), settings, console)
    if outcome.interrupted:
        return BaselineUpdate(None)
    fresh, left_out = make_entries(outcome, old.metrics, environment_key(environment), settings)
    if not fresh:
        raise UsageError(
            f"{path} is unchanged, no job gave results: {'; '.join(left_out)}", code="no_results"
        )
    data = baseline_datasets(outcome, selectors)
    _require_same_data(path, old, data, names)
    old_entries = {(entry.method, entry.dataset): entry for entry in old.entries}
    changes = [line for entry in fresh for line in describe_changes(old_entries, entry)]
    entries = old_entries | {(entry.method, entry.dataset): entry for entry in fresh}
    environments = old.environments | {environment_key(environment): environment}
    used = {entry.environment for entry in entries.values()}
    note = UpdateReason(
        date=date.today().isoformat(),
        methods=names,
        reason=reason.strip(),
        changes=tuple(changes),
    )
    updates = {
        "entries": tuple(entries.values()),
        "datasets": old.datasets | data,
        "environments": {key: facts for key, facts in environments.items() if key in used},
        "reasons": (*old.reasons, note),
    }
    baseline = old.model_copy(update=updates)
    save_baseline(baseline, path)
    return BaselineUpdate(baseline, left_out, changes)


def check_baseline(
    path: Path, *, config: Path | None = None, console: Console, **flags: Any
) -> GateCheck:
    """Run missing jobs in this environment and compare all results with the baseline.

    A method or dataset that cannot be used is a finding, not an error.
    """
    baseline = read_baseline(path)
    settings = _gate_settings(baseline, flags, config)
    environment = fingerprint(settings.threads, resolve_device(settings.device))
    unavailable = _unavailable(baseline, settings, console)
    methods = [name for name in baseline.methods if name not in unavailable]
    selectors = {
        label: data.select for label, data in baseline.datasets.items() if label not in unavailable
    }
    current = CurrentRun(environment_key(environment), settings.seeds, {}, {}, unavailable)
    if methods and selectors:
        names = ",".join(methods), ",".join(selectors.values())
        outcome, environment = _run(*names, settings, console)
        if outcome.interrupted:
            return GateCheck([], environment, interrupted=True)
        current = replace(
            current,
            jobs=job_scores(outcome),
            data=baseline_datasets(outcome, selectors),
            excluded={(one.method, one.dataset): one.reason for one in outcome.plan.excluded},
        )
    usual = Counter(entry.environment for entry in baseline.entries).most_common(1)[0][0]
    elsewhere = describe_differences(baseline.environments[usual], environment)
    findings = compare_run(baseline, current)
    return GateCheck(findings, environment, elsewhere, compare_costs(baseline, current))


_KEY_PREFIXES = {
    "clustering": "kmeans", "partition": "kmeans", "paired": "paired", "predicted": "predicted"
}  # fmt: skip
"""First part of a score's key, by kind of metric; ``embedding`` for other kinds."""


def score_keys(text: str, plugins: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the keys of the scores in ``text``; ``ari`` means ``kmeans/ari``.

    Raises ``UsageError`` for an unknown metric, and for one without a direction.
    """
    keys, registered = [], metrics(plugins)
    for part in split_selectors(text):
        prefix, _, name = part.rpartition("/")
        metric = registered.get(name)
        if metric is None:
            raise UsageError(
                f"no metric named '{name}'.{did_you_mean(name, list(registered))}",
                code="unknown_name",
            )
        if not direction(metric):
            raise UsageError(
                f"metric '{name}' has no direction (better or worse), so it cannot be checked.",
                code="no_direction",
            )
        keys.append(f"{prefix or _KEY_PREFIXES.get(metric.kind, 'embedding')}/{name}")
    if not keys:
        raise UsageError("--metrics is empty; name at least one: ari.", code="missing_value")
    return tuple(dict.fromkeys(keys))


def with_controls(methods: str) -> str:
    """Return the selector with both controls added, which cannot be excluded."""
    selectors = split_selectors(methods)
    parts = [part for part in selectors if part.removeprefix("not:") not in CONTROLS]
    if all(part.startswith("not:") for part in selectors):
        parts.insert(0, "all")
    return ",".join([*parts, *CONTROLS])


def _gate_settings(baseline: Baseline, flags: dict[str, Any], config: Path | None) -> Settings:
    """Return the baseline's settings, overridden by flags."""
    fixed = baseline.settings.model_dump()
    plugins = dict.fromkeys((*fixed.pop("plugins"), *flags.pop("plugins", ())))
    return with_gate_store(load_settings({**fixed, **flags, "plugins": tuple(plugins)}, config))


def _run(
    methods: str, datasets: str, settings: Settings, console: Console,
    assign: Sequence[str] = (),
) -> tuple[RunOutcome, dict[str, str]]:  # fmt: skip
    flags = settings.model_dump()
    outcome = run(methods, datasets, assign=assign, report=False, console=console, **flags)
    return outcome, fingerprint(settings.threads, resolve_device(settings.device))


def _dataset_selectors(text: str, settings: Settings) -> dict[str, str]:
    """Return the selector of each dataset by its display name."""
    resolved, _ = resolve_datasets(text, settings, DataCache(settings.cache_dir))
    return {dataset.label: dataset.selector for dataset in resolved}


def _unavailable(baseline: Baseline, settings: Settings, console: Console) -> dict[str, str]:
    """Return the methods and datasets that cannot be used here, with the reason."""
    cache, registered = open_cache(settings), registry(settings.plugins)
    reasons: dict[str, str] = {}
    for label, data in baseline.datasets.items():
        try:
            for one in resolve_datasets(data.select, settings, cache)[0]:
                cache.load_dataset(one.dataset, one.source, one.label)
        except BenchError as error:
            reasons[label] = str(error)
    for name in baseline.methods:
        try:
            selected = select_names(
                name, registered.entries, method_tags(settings.plugins), noun="method"
            )
            configure_methods(selected, registered, settings, [])
        except BenchError as error:
            reasons[name] = str(error)
    for name, reason in reasons.items():
        console.print(f"{name}: {reason}", markup=False, highlight=False)
    return reasons


def _matching_methods(old: Baseline, part: str) -> list[str]:
    """Return the baseline's methods that match a name or glob, else the name as a new method."""
    names = [
        name
        for name in old.methods
        if part in ("all", name) or fnmatchcase(name, part) or name.partition("[")[0] == part
    ]
    if not names and any(char in part for char in "*?"):
        raise UsageError(
            f"--only {part} matches none of {', '.join(old.methods)}.", code="unknown_name"
        )
    return names or [part]


def _require_same_data(
    path: Path, old: Baseline, data: dict[str, BaselineDataset], names: Sequence[str]
) -> None:
    """Raise ``UsageError`` if data of entries that are not updated have changed."""
    changed = [label for label, facts in data.items() if old.datasets[label] != facts]
    if changed and set(old.methods) - set(names):
        raise UsageError(
            f"{path}: the data of {', '.join(changed)} changed since it was written; update every "
            "method with --only all.",
            code="wrong_data",
        )
