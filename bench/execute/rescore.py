"""More metrics on finished fits: nothing is fitted, the runs of the store get the new values.

A fit is scored as it lies in the store, also when its method's source has changed since: what was
computed then is what the number is about, and the run says from which source it came.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import MULTIOME
from bench.digests import source_digest
from bench.errors import BenchError, UsageError
from bench.execute.limited_process import Limits, run_limited, warm_up
from bench.execute.local_executor import SCORE_SECONDS
from bench.messages import did_you_mean
from bench.plan.job import dataset_folder, score_key
from bench.registry import methods as registry
from bench.scoring.metrics import Metric, metrics, stamp
from bench.scoring.unseen_cells import FOLDER as PAIRED
from bench.selectors import split_selectors
from bench.settings import Settings, load_settings
from bench.store.result import Result
from bench.store.results_table import frame, narrow
from bench.store.run_tags import read_json

if TYPE_CHECKING:
    from rich.console import Console

    from bench.execute.limited_process import Outcome
    from bench.store.mlflow_store import Tracker

_FILES = ("embedding.parquet", "cells.npy", "labels.parquet")


@dataclass
class RescoreSummary:
    """What scoring again came to."""

    fits: int = 0
    """Finished fits that were asked for."""
    current: int = 0
    """Of these, how many had everything in the present versions."""
    added: Counter[str] = field(default_factory=Counter)
    """Score → number of fits that got it."""
    changed: Counter[str] = field(default_factory=Counter)
    """Method whose source is not that of the fit any more → number of fits."""
    missing: Counter[str] = field(default_factory=Counter)
    """Score that is not defined, with the reason → number of fits."""
    problems: list[str] = field(default_factory=list)
    """Fits that could not be scored, and why."""

    @property
    def exit_code(self) -> int:
        """3 if a fit could not be scored, else 0."""
        return 3 if self.problems else 0


def score(
    methods: str | None = None,
    datasets: str | None = None,
    chosen: str | None = None,
    *,
    config: Path | None = None,
    console: Console,
    **flags: Any,
) -> RescoreSummary:
    """Compute metrics that finished fits lack, or have in an older version.

    ``methods`` and ``datasets`` are names or globs of what is in the store, ``chosen`` names or
    globs of metrics (default: all, those of plugins among them). Raises ``UsageError`` if nothing
    matches.
    """
    from bench.store.mlflow_store import Tracker

    settings = load_settings(flags, config)
    wanted = choose_metrics(chosen, settings.plugins)
    if not settings.tracking_uri and not settings.database.is_file():
        raise UsageError(f"{settings.results}: no results there; run 'bench run' first.")
    tracker = Tracker(settings)
    table = narrow(frame(tracker), methods, datasets)
    rows = [
        {str(name): value for name, value in row.items()}
        for row in table[table["status"] == "done"].to_dict("records")
    ]
    return add_scores(rows, wanted, settings, tracker, console)


def choose_metrics(text: str | None, plugins: tuple[str, ...]) -> dict[str, Metric]:
    """Return the metrics that names or globs stand for, ``kmeans/ari`` being ``ari``."""
    known = metrics(plugins)
    if text is None or text.strip() == "all":
        return known
    found: dict[str, Metric] = {}
    for part in split_selectors(text):
        name = part.rpartition("/")[2]
        hits = {one: metric for one, metric in known.items() if fnmatchcase(one, name)}
        if not hits:
            raise UsageError(f"no metric named '{name}'.{did_you_mean(name, list(known))}")
        found |= hits
    if not found:
        raise UsageError("--metrics is empty; leave it out for all.")
    return found


def add_scores(
    rows: Iterable[dict[str, Any]],
    wanted: dict[str, Metric],
    settings: Settings,
    tracker: Tracker,
    console: Console,
) -> RescoreSummary:
    """Compute what finished jobs lack and write it to their runs."""
    told = RescoreSummary()
    todo = []
    for row in rows:
        told.fits += 1
        stamps = read_json(row["stamps"])
        here = _applicable(wanted, row)
        lacking = [name for name, one in here.items() if stamps.get(name) != stamp(one)]
        if not lacking:
            told.current += 1
            continue
        try:
            todo.append((row, _stored(row, lacking, settings)))
        except BenchError as error:
            told.problems.append(f"{_name(row)}: {error}")
    if todo:
        _score_all(todo, settings, tracker, told, console)
    return told


def _score_all(
    todo: list[tuple[dict[str, Any], Result]],
    settings: Settings,
    tracker: Tracker,
    told: RescoreSummary,
    console: Console,
) -> None:
    """Score in limited processes, several at a time; write each as it ends."""
    warm_up(settings.threads)
    cancelled = threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="bench-score-") as scratch,
        ThreadPoolExecutor(settings.jobs, thread_name_prefix="score") as pool,
    ):
        futures = {
            pool.submit(_score, row, result, settings, Path(scratch), cancelled): (row, result)
            for row, result in todo
        }
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                row, result = futures[future]
                line = _take(row, result, future.result(), Path(scratch), tracker, told, settings)
                console.print(
                    f"[{number}/{len(todo)}] {_name(row)}  {line}", markup=False, highlight=False
                )
        except BaseException:
            cancelled.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _stored(row: dict[str, Any], lacking: list[str], settings: Settings) -> Result:
    """Return the stored fit as a result without scores, its job set to what is lacking."""
    folder = row["artifacts"]
    if not folder or not (Path(folder) / "embedding.parquet").is_file():
        raise UsageError("its embedding is not on this machine; score it where it was fitted.")
    job = Result.read(Path(folder)).job
    place = str(dataset_folder(job, settings))
    return Result(replace(job, dataset_folder=place, metrics=tuple(lacking)), "done")


def _score(
    row: dict[str, Any],
    result: Result,
    settings: Settings,
    scratch: Path,
    cancelled: threading.Event,
) -> Outcome:
    folder = scratch / row["run_id"]
    (folder / "artifacts").mkdir(parents=True)
    for name in _FILES:
        if (Path(row["artifacts"]) / name).is_file():
            shutil.copy(Path(row["artifacts"]) / name, folder / "artifacts")
    if (Path(row["artifacts"]) / PAIRED).is_dir():
        shutil.copytree(Path(row["artifacts"]) / PAIRED, folder / "artifacts" / PAIRED)
    payload = {
        "job": result.job.as_dict(), "cache": str(settings.cache_dir), "folder": str(folder),
        "log": str(folder / "log.txt"), "threads": settings.threads,
        "plugins": list(settings.plugins),
    }  # fmt: skip
    limits = Limits(max(SCORE_SECONDS, settings.timeout), settings.memory)
    return run_limited("score", payload, limits, cancelled=cancelled)


def _take(
    row: dict[str, Any],
    result: Result,
    ended: Outcome,
    scratch: Path,
    tracker: Tracker,
    told: RescoreSummary,
    settings: Settings,
) -> str:
    """Write what a score process returned; returns what to say about it."""
    if ended.status != "done":
        told.problems.append(f"{_name(row)}: {ended.status}: {ended.reason}")
        return f"{ended.status}: {ended.reason}"
    value = ended.value
    result.metrics, result.missing = value["metrics"], value["missing"]
    result.stamps = value["stamps"]
    source = _source_now(result, settings.plugins)
    if source != result.job.facts["source"]:
        told.changed[result.job.method] += 1
    result.job = replace(result.job, score_key=_key(row, result))
    note = {
        "date": date.today().isoformat(), "metrics": ", ".join(result.stamps),
        "source of the fit": result.job.facts["source"], "source then": source,
    }  # fmt: skip
    tracker.add_scores(row["run_id"], result, scratch / row["run_id"] / "artifacts", note)
    told.added.update(result.metrics.keys())
    told.missing.update(f"{key}: {reason}" for key, reason in result.missing.items())
    return f"{len(result.metrics)} scores added"


def _key(row: dict[str, Any], result: Result) -> str:
    """Return the score key of the run: the present one once all metrics are in its version.

    Then 'bench run' takes the run for done, as long as the method is the same.
    """
    stamps = read_json(row["stamps"]) | result.stamps
    wanted = _applicable(metrics(), row)
    if any(stamps.get(name) != stamp(metric) for name, metric in wanted.items()):
        return str(row["score_key"])
    return score_key(replace(result.job, metrics=None), result.job.fit_key)


def _applicable(wanted: dict[str, Metric], row: dict[str, Any]) -> dict[str, Metric]:
    """Return the metrics that a dataset can have.

    Those of a rare type only if it names one, those of paired data only if it has both parts.
    """
    there = {"rare": bool(row["rare_type"]), "paired": row["modality"] == MULTIOME}
    return {name: one for name, one in wanted.items() if there.get(one.kind, True)}


def _source_now(result: Result, plugins: tuple[str, ...]) -> str:
    """Return the digest of the method's present source, or why there is none."""
    try:
        return source_digest(registry(plugins).entry(result.job.method_name).origin)
    except (BenchError, OSError):
        return "not registered"


def _name(row: dict[str, Any]) -> str:
    return f"{row['method']} · {row['dataset']} · seed {int(row['seed'])}"
