"""Write, update and check a baseline: run what is missing, then compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.baseline.entries import changes, costs, known_data, make_entries, seen_jobs
from bench.baseline.environment import differences, fingerprint, key, store_name
from bench.data.cache.data_cache import DataCache
from bench.data.resolve import resolve_datasets
from bench.errors import BenchError, UsageError
from bench.execute.driver import run
from bench.messages import did_you_mean
from bench.plan.build import method_tags
from bench.plan.device import resolve_device
from bench.plan.methods import configure_methods
from bench.registry import methods as registry
from bench.scoring.metrics import metrics
from bench.selectors import select_names, split_selectors
from bench.settings import Settings, load_settings

from .baseline_file import FORMAT, Baseline, Data, GateSettings, Reason, read, write
from .verdicts import Finding, Now, Seen, compare, direction, exit_code

if TYPE_CHECKING:
    from rich.console import Console

    from bench.execute.outcome import RunOutcome

CONTROLS = ("random", "truth")
METRICS = "ari,nmi"


@dataclass
class Check:
    """What a check came to."""

    findings: list[Finding]
    environment: dict[str, str]
    elsewhere: str = ""
    """What differs from the environment of most of the baseline; empty if nothing does."""
    costs: list[dict[str, Any]] = field(default_factory=list)
    """Seconds and memory, before and now, by method and dataset; never compared."""
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """130 interrupted, 1 a regression, 3 incomplete, else 0."""
        return 130 if self.interrupted else exit_code(self.findings)


@dataclass
class Written:
    """What writing or updating came to."""

    baseline: Baseline | None
    """``None`` if the run was interrupted: then nothing is written."""
    left_out: list[str] = field(default_factory=list)
    """What has no entry, and why, in lines."""
    changes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """130 interrupted, 3 if something is left out, else 0."""
        return 130 if self.baseline is None else 3 if self.left_out else 0


def write_baseline(
    methods: str,
    datasets: str,
    out: Path,
    *,
    chosen: str = METRICS,
    assign: Sequence[str] = (),
    config: Path | None = None,
    console: Console,
    **flags: Any,
) -> Written:
    """Run what is missing and write the results as a baseline; both controls are added.

    ``chosen`` names metrics, ``ari`` (k-means) or ``leiden/ari``. Raises ``UsageError`` if the
    file exists already.
    """
    if out.exists():
        raise UsageError(
            f"{out} exists: 'bench baseline update {out}' replaces entries with a reason; or "
            "remove the file first."
        )
    settings = _local(load_settings(flags, config))
    keys = metric_keys(chosen, settings.plugins)
    fixed = GateSettings(
        seeds=settings.seeds, profile=settings.profile, threads=settings.threads,
        device=resolve_device(settings.device), label_key=settings.label_key,
        batch_key=settings.batch_key, plugins=settings.plugins,
    )  # fmt: skip
    outcome, environment = _run(_with_controls(methods), datasets, settings, console, assign)
    if outcome.interrupted:
        return Written(None)
    data = known_data(outcome, _dataset_selectors(datasets, settings))
    entries, left_out = make_entries(outcome, keys, key(environment), settings)
    if not entries:
        raise UsageError(f"{out} is not written, no job gave results: {'; '.join(left_out)}")
    baseline = Baseline(
        format=FORMAT, settings=fixed, metrics=keys,
        datasets={entry.dataset: data[entry.dataset] for entry in entries},
        environments={key(environment): environment}, entries=tuple(entries),
    )  # fmt: skip
    write(baseline, out)
    return Written(baseline, left_out)


def update_baseline(
    path: Path, only: str, reason: str, *, config: Path | None = None, console: Console,
    **flags: Any,
) -> Written:  # fmt: skip
    """Run some methods again and replace their entries; the reason stays in the file.

    ``only`` holds names or globs of the baseline's methods, or methods that it does not have
    yet; seeds, threads and device stay those of the file. Raises ``UsageError`` for an empty
    reason or a method that matches nothing.
    """
    if not reason.strip():
        raise UsageError('--reason is empty; say why the results may change: --reason "…".')
    old = read(path)
    names = tuple(dict.fromkeys(name for part in split_selectors(only) for name in _matching(old, part)))
    settings = _gate_settings(old, flags, config)
    selectors = {label: data.select for label, data in old.datasets.items()}
    outcome, environment = _run(
        ",".join(names), ",".join(selectors.values()), settings, console
    )  # fmt: skip
    if outcome.interrupted:
        return Written(None)
    fresh, left_out = make_entries(outcome, old.metrics, key(environment), settings)
    if not fresh:
        raise UsageError(f"{path} is as it was, no job gave results: {'; '.join(left_out)}")
    data = known_data(outcome, selectors)
    _same_data(path, old, data, names)
    replaced = {(entry.method, entry.dataset): entry for entry in fresh}
    known = {(entry.method, entry.dataset): entry for entry in old.entries}
    entries = [replaced.get(place, entry) for place, entry in known.items()]
    entries += [entry for place, entry in replaced.items() if place not in known]
    lines = [line for place, one in replaced.items() for line in changes(known, place, one)]
    used = {entry.environment for entry in entries}
    places = old.environments | {key(environment): environment}
    note = Reason(
        date=date.today().isoformat(), methods=names, reason=reason.strip(),
        changes=tuple(lines),
    )  # fmt: skip
    baseline = old.model_copy(
        update={
            "entries": tuple(entries),
            "datasets": old.datasets | data,
            "environments": {name: place for name, place in places.items() if name in used},
            "reasons": (*old.reasons, note),
        }
    )
    write(baseline, path)
    return Written(baseline, left_out, lines)


def check_baseline(
    path: Path, *, config: Path | None = None, console: Console, **flags: Any
) -> Check:
    """Run what is missing in this environment and compare it with the baseline.

    A method or dataset that cannot be used is a finding, not an error.
    """
    baseline = read(path)
    settings = _gate_settings(baseline, flags, config)
    environment = fingerprint(settings.threads, resolve_device(settings.device))
    gone = _gone(baseline, settings, console)
    methods = [name for name in baseline.methods if name not in gone]
    selectors = {d: data.select for d, data in baseline.datasets.items() if d not in gone}
    jobs: dict[tuple[str, str, str, int], Seen] = {}
    present: dict[str, Data] = {}
    left: dict[tuple[str, str], str] = {}
    if methods and selectors:
        outcome, environment = _run(
            ",".join(methods), ",".join(selectors.values()), settings, console
        )  # fmt: skip
        if outcome.interrupted:
            return Check([], environment, interrupted=True)
        jobs = seen_jobs(outcome)
        present = known_data(outcome, selectors)
        left = {(one.method, one.dataset): one.reason for one in outcome.plan.excluded}
    now = Now(key(environment), settings.seeds, jobs, present, gone, left)
    home = Counter(entry.environment for entry in baseline.entries).most_common(1)[0][0]
    elsewhere = differences(baseline.environments[home], environment)
    return Check(compare(baseline, now), environment, elsewhere, costs(baseline, now))


_PLACES = {"clustering": "kmeans", "partition": "kmeans", "paired": "paired"}
"""First part of the keys of a kind of metric, where it is not ``embedding``."""


def metric_keys(text: str, plugins: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the keys of scores that ``text`` names: ``ari`` is ``kmeans/ari``.

    Raises ``UsageError`` for an unknown metric or one that has no better or worse.
    """
    keys, registered = [], metrics(plugins)
    for part in split_selectors(text):
        place, _, name = part.rpartition("/")
        known = registered.get(name)
        if known is None:
            raise UsageError(f"no metric named '{name}'.{did_you_mean(name, list(registered))}")
        if not direction(known):
            raise UsageError(f"metric '{name}' has no better or worse: it cannot be guarded.")
        default = _PLACES.get(known.kind, "embedding")
        keys.append(f"{place or default}/{name}")
    if not keys:
        raise UsageError("--metrics is empty; name at least one, 'ari' say.")
    return tuple(dict.fromkeys(keys))


def _with_controls(methods: str) -> str:
    """Return the selector with both controls, which cannot be excluded."""
    given = split_selectors(methods)
    parts = [part for part in given if part.removeprefix("not:") not in CONTROLS]
    if all(part.startswith("not:") for part in given):
        parts.insert(0, "all")
    return ",".join([*parts, *CONTROLS])


def _local(settings: Settings) -> Settings:
    """Return the settings with the gate's own store: one for each environment, on this machine."""
    environment = fingerprint(settings.threads, resolve_device(settings.device))
    folder = settings.results / store_name(environment)
    return settings.model_copy(update={"results": folder, "tracking_uri": ""})


def _gate_settings(baseline: Baseline, flags: dict[str, Any], config: Path | None) -> Settings:
    """Return the baseline's settings, with flags over them."""
    kept = baseline.settings.model_dump()
    plugins = dict.fromkeys((*kept.pop("plugins"), *flags.pop("plugins", ())))
    return _local(load_settings({**kept, **flags, "plugins": tuple(plugins)}, config))


def _run(
    methods: str, datasets: str, settings: Settings, console: Console,
    assign: Sequence[str] = (),
) -> tuple[RunOutcome, dict[str, str]]:  # fmt: skip
    outcome = run(
        methods, datasets, assign=assign, report=False, console=console, **settings.model_dump()
    )  # fmt: skip
    return outcome, fingerprint(settings.threads, resolve_device(settings.device))


def _dataset_selectors(text: str, settings: Settings) -> dict[str, str]:
    """Return how to select each dataset again, by its display name."""
    found, _ = resolve_datasets(text, settings, DataCache(settings.cache_dir), lambda line: None)
    return {one.label: one.selector for one in found}


def _gone(baseline: Baseline, settings: Settings, console: Console) -> dict[str, str]:
    """Return the methods and datasets that cannot be used here, with the reason."""
    store, known = DataCache(settings.cache_dir), registry(settings.plugins)
    gone: dict[str, str] = {}
    for label, data in baseline.datasets.items():
        try:
            for one in resolve_datasets(data.select, settings, store, lambda line: None)[0]:
                store.load_dataset(one.dataset, one.source, one.label)
        except BenchError as error:
            gone[label] = str(error)
    for name in baseline.methods:
        try:
            chosen = select_names(name, known.entries, method_tags(settings.plugins), noun="method")
            configure_methods(chosen, known, settings, [])
        except BenchError as error:
            gone[name] = str(error)
    for name, reason in gone.items():
        console.print(f"{name}: {reason}", markup=False, highlight=False)
    return gone


def _matching(old: Baseline, part: str) -> list[str]:
    """Return the baseline's methods that a name or glob matches, or the name of a new one."""
    found = [
        name
        for name in old.methods
        if part in ("all", name) or fnmatchcase(name, part) or name.partition("[")[0] == part
    ]
    if not found and any(char in part for char in "*?"):
        raise UsageError(f"--only {part} matches none of {', '.join(old.methods)}.")
    return found or [part]


def _same_data(path: Path, old: Baseline, data: dict[str, Data], names: Sequence[str]) -> None:
    """Raise if entries that stay would stand beside other data than theirs."""
    other = [label for label, one in data.items() if old.datasets[label] != one]
    if other and set(old.methods) - set(names):
        raise UsageError(
            f"{path}: the data of {', '.join(other)} changed since it was written; update every "
            "method with --only all."
        )
