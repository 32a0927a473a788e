"""Compute further metrics of finished fits; nothing is fitted.

The stored fit is scored, also if the source of its method has changed since. Its run records both
sources.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.contract import MULTIOME
from bench.digests import source_digest
from bench.errors import BenchError, UsageError
from bench.messages import did_you_mean
from bench.plan.job import Job, dataset_folder, score_key
from bench.registry import methods as registry
from bench.scoring.metrics import Metric, metric_stamp, metrics
from bench.selectors import split_selectors
from bench.settings import Settings, load_settings
from bench.store.result import Result
from bench.store.result_store import require_results
from bench.store.results_table import finished_rows, selected_results
from bench.store.run_tags import read_json
from bench.store.spool import Spool

from .local_executor import LocalExecutor
from .progress_bar import ProgressDisplay

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.store.mlflow_store import Tracker

_NOT_REGISTERED = "not registered"
"""Source of a method whose plugin is not given."""


@dataclass
class RescoreSummary:
    """Counts of fits rescored, skipped and failed."""

    fits: int = 0
    """Number of selected finished fits."""
    current: int = 0
    """Number of them that had all scores in the present versions."""
    added: Counter[str] = field(default_factory=Counter)
    """Score → number of fits to which it was added."""
    changed: Counter[str] = field(default_factory=Counter)
    """Method with a changed source → number of fits; without methods of plugins not given."""
    missing: Counter[str] = field(default_factory=Counter)
    """Undefined score with its reason → number of fits."""
    problems: list[str] = field(default_factory=list)
    """Fits that could not be scored, with the reason."""

    @property
    def exit_code(self) -> int:
        """3 if a fit could not be scored, else 0."""
        return 3 if self.problems else 0


def rescore_fits(
    methods: str | None = None,
    datasets: str | None = None,
    chosen: str | None = None,
    *,
    config: Path | None = None,
    console: Console | None = None,
    **flags: Any,
) -> RescoreSummary:
    """Compute metrics that finished fits lack, or have in an older version.

    Parameters
    ----------
    methods, datasets
        Names or globs of stored methods and datasets, separated by commas; default: all.
    chosen
        Names or globs of metrics; default: all, also of plugins.
    config
        File of settings, such as ``bench.toml``.
    console
        Where progress is shown; default: standard error.
    flags
        Fields of :class:`bench.settings.Settings`.

    Returns
    -------
    RescoreSummary
        Counts of fits rescored, skipped and failed.

    Raises
    ------
    UsageError
        If no metric or no finished job matches, or if there is no store.
    """
    settings = load_settings(flags, config)
    selected = choose_metrics(chosen, settings.plugins)
    from bench.store.mlflow_store import Tracker  # MLflow is slow to import

    require_results(settings)
    tracker = Tracker(settings)
    rows = finished_rows(selected_results(tracker, methods, datasets))
    return add_scores(rows, selected, settings, tracker, console or Console(stderr=True))


def choose_metrics(text: str | None, plugins: tuple[str, ...]) -> dict[str, Metric]:
    """Return the metrics that names or globs match; ``kmeans/ari`` is read as ``ari``."""
    available = metrics(plugins)
    if text is None or text.strip() == "all":
        return available
    chosen: dict[str, Metric] = {}
    for part in split_selectors(text):
        name = part.rpartition("/")[2]
        matches = {key: metric for key, metric in available.items() if fnmatchcase(key, name)}
        if not matches:
            hint = did_you_mean(name, list(available))
            raise UsageError(f"no metric named '{name}'.{hint}", code="unknown_name")
        chosen |= matches
    if not chosen:
        raise UsageError("--metrics is empty; leave it out for all.", code="empty_selection")
    return chosen


def add_scores(
    rows: Iterable[dict[str, Any]],
    chosen: dict[str, Metric],
    settings: Settings,
    tracker: Tracker,
    console: Console,
) -> RescoreSummary:
    """Compute the chosen metrics that finished jobs lack and write them to their runs.

    ``rows`` are rows of the table of results.
    """
    summary = RescoreSummary()
    todo: dict[str, tuple[Job, dict[str, Any]]] = {}
    for row in rows:
        summary.fits += 1
        stamps = read_json(row["stamps"])
        lacking = [
            name for name, metric in _applicable(chosen, row).items()
            if stamps.get(name) != metric_stamp(metric)
        ]  # fmt: skip
        if not lacking:
            summary.current += 1
            continue
        try:
            job = _scoring_job(row, lacking, settings)
            todo[job.score_key] = job, row
        except BenchError as error:
            summary.problems.append(f"{_name(row)}: {error}")
    if todo:
        _score_jobs(todo, summary, settings, tracker, console)
    return summary


def _score_jobs(
    todo: dict[str, tuple[Job, dict[str, Any]]],
    summary: RescoreSummary,
    settings: Settings,
    tracker: Tracker,
    console: Console,
) -> None:
    """Score fits with the executor; scores are written as each job ends."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-score-") as scratch,
        ProgressDisplay(console, len(todo), describe=_describe) as display,
        LocalExecutor(
            settings.jobs, settings.threads, settings.cache_dir, Spool(Path(scratch)),
            plugins=settings.plugins,
        ) as executor,
    ):  # fmt: skip
        for job, row in todo.values():
            executor.submit_scoring(job, Path(row["artifacts"]))
        for job, folder in executor.as_completed():
            assert folder is not None
            result = Result.read(folder)
            if result.status == "done":
                row = todo[job.score_key][1]
                _add_to_run(row, result, folder / "artifacts", summary, settings, tracker)
            else:
                summary.problems.append(f"{job.name}: {result.status}: {result.reason}")
            display.show_end(job, result)
            shutil.rmtree(folder)


def _scoring_job(row: dict[str, Any], lacking: list[str], settings: Settings) -> Job:
    """Return the job of a stored fit with the metrics to compute and the present limits.

    Its score key is provisionally the id of the run; :func:`_present_key` sets it after scoring.
    """
    folder = row["artifacts"]
    if not folder or not (Path(folder) / "embedding.parquet").is_file():
        raise UsageError(
            "its embedding is not on this machine; score it where it was fitted.",
            code="no_artifacts",
        )
    job = Result.read(Path(folder)).job
    return replace(
        job,
        dataset_folder=str(dataset_folder(job, settings)),
        metrics=tuple(lacking),
        score_key=row["run_id"],
        timeout=settings.timeout,
        memory=settings.memory,
        threads=settings.threads,
    )


def _add_to_run(
    row: dict[str, Any],
    result: Result,
    artifacts: Path,
    summary: RescoreSummary,
    settings: Settings,
    tracker: Tracker,
) -> None:
    """Write new scores to the run of a fit and count them."""
    source = _present_source(result.job, settings.plugins)
    fitted_source = result.job.facts["source"]
    if source not in (fitted_source, _NOT_REGISTERED):
        summary.changed[result.job.method] += 1
    result.job = replace(result.job, score_key=_present_key(row, result))
    note = {
        "date": date.today().isoformat(), "metrics": ", ".join(result.stamps),
        "source of the fit": fitted_source, "source then": source,
    }  # fmt: skip
    tracker.add_scores(row["run_id"], result, artifacts, note)
    summary.added.update(result.metrics.keys())
    summary.missing.update(f"{key}: {reason}" for key, reason in result.missing.items())


def _present_key(row: dict[str, Any], result: Result) -> str:
    """Return the score key of a run: the present one once all its metrics are up to date.

    ``bench run`` then skips the job as done, unless the method has changed.
    """
    stamps = read_json(row["stamps"]) | result.stamps
    expected = _applicable(metrics(), row)
    if any(stamps.get(name) != metric_stamp(metric) for name, metric in expected.items()):
        return str(row["score_key"])
    return score_key(replace(result.job, metrics=None), result.job.fit_key)


def _applicable(chosen: dict[str, Metric], row: dict[str, Any]) -> dict[str, Metric]:
    """Return the metrics that the dataset of a row can have.

    Metrics of a rare type need such a type, metrics of paired data both parts, metrics of
    predicted inputs held-out cells and a guided method. Metrics of the counts are for data without
    labels.
    """
    applies = {
        "rare": bool(row["rare_type"]), "paired": row["modality"] == MULTIOME,
        "counts": row["labels_digest"] == "none",
        "predicted": bool({"labels", "proteins"} & {*str(row["uses"]).split(",")})
        and row["train_digest"] != "none",
    }  # fmt: skip
    return {name: metric for name, metric in chosen.items() if applies.get(metric.kind, True)}


def _present_source(job: Job, plugins: tuple[str, ...]) -> str:
    """Return the digest of the method's present source, or ``not registered``."""
    try:
        entry = registry(plugins).entry(job.method_name)
        return source_digest(entry.origin, getattr(entry.cls, "files", ()))
    except (BenchError, OSError):
        return _NOT_REGISTERED


def _describe(result: Result) -> str:
    return f"{len(result.metrics)} scores added"


def _name(row: dict[str, Any]) -> str:
    return f"{row['method']} · {row['dataset']} · seed {int(row['seed'])}"
