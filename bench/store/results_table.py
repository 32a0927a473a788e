"""Finished jobs as one table."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.selectors import split_selectors
from bench.settings import Settings, load_settings
from bench.store.mlflow_store import Tracker

if TYPE_CHECKING:
    from bench.plan.job import Plan

logger = logging.getLogger(__name__)


def load_results(results: str | Path = "results", **options: Any) -> pd.DataFrame:
    """Return all finished jobs of a results folder, one row a job.

    ``options`` are further settings, such as ``experiment`` or ``tracking_uri``. Columns: keys,
    method, family, dataset, modality, seed, protocol, profile, status, reason, device, threads,
    ``seconds``, ``cpu_seconds``, ``peak_memory_mb`` (MiB above the loaded libraries),
    ``n_parameters``, ``coverage`` and one column a metric, ``kmeans/ari`` and so on; missing
    values are NaN. ``counts_digest`` and ``labels_digest`` identify the dataset's content,
    ``source`` the method's code. ``artifacts`` is the local folder with ``embedding.parquet`` and
    ``clusters.parquet``. Raises ``UsageError`` if there is no store.
    """
    settings: Settings = load_settings({"results": Path(results), **options})
    if not settings.tracking_uri and not settings.database.is_file():
        raise UsageError(
            f"{settings.results}: no results there (no {settings.database.name}); give the folder "
            "that 'bench run --results' was given."
        )
    return frame(Tracker(settings))


def frame(tracker: Tracker, plan: Plan | None = None) -> pd.DataFrame:
    """Return the table of all finished jobs, or of a plan's jobs and left-out combinations.

    With a plan, display names and profile are those of the plan: the same fit may have been
    committed under another name, ``vae`` and ``vae[n_latent=10]`` say.
    """
    rows = tracker.rows()
    if plan is not None:
        stored = {row["score_key"]: row for row in rows}
        rows = []
        for job in plan.jobs:
            if job.score_key in stored:
                shown = {"method": job.method, "dataset": job.dataset, "profile": job.profile}
                rows.append(stored[job.score_key] | shown)
        for left in plan.left:
            if "all" not in (left.method, left.dataset):
                shown = {"method_name": left.method.partition("[")[0], **asdict(left)}
                rows.append(shown)
    # A run that was interrupted before its first result has these columns, too.
    table = pd.DataFrame(rows, columns=None if rows else ["method", "dataset", "seed", "status"])
    if "started" in table:
        table["started"] = pd.to_datetime(table["started"], unit="ms", utc=True)
    for column in ("seconds", "cpu_seconds", "peak_memory_mb", "n_parameters", "coverage"):
        if len(table) and column not in table:
            table[column] = float("nan")
    return table


def searches(settings: Settings, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the summaries of the searches behind the tuned configurations of a table.

    A search that a newer one of the same method, dataset and protocol replaced is left out.
    """
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    files = list((settings.results / "studies").glob("*/study.json"))
    for path in sorted(files, key=lambda path: path.stat().st_mtime):
        one = json.loads(path.read_text())
        rows = table[(table["method"] == one["method"]) & (table["dataset"] == one["dataset"])]
        if (rows["protocol"] == one["protocol"]).any():
            found[one["dataset"], one["method"], one["protocol"]] = one
    return [found[key] for key in sorted(found)]


def narrow(
    table: pd.DataFrame,
    methods: str | None,
    datasets: str | None,
    seeds: Collection[int] | None = None,
) -> pd.DataFrame:
    """Keep rows whose method and dataset match comma-separated names or globs, and of some seeds.

    A name in full is exact: ``vae`` is not ``vae[preset=faithful]``, ``vae*`` both. ``say`` gets a
    line that names what matches nothing. Raises ``UsageError`` if nothing is left.
    """
    absent, hint = [], ""
    for column, text in (("method", methods), ("dataset", datasets)):
        if text is not None and len(table):
            values = {str(value) for value in table[column]}
            hits = {part: _matching(part, values) for part in split_selectors(text)}
            absent += [part for part, found in hits.items() if not found]
            if absent and not any(hits.values()):
                hint = f" '{absent[-1]}'.{did_you_mean(absent[-1], sorted(values))}"
            table = table[table[column].isin(set().union(*hits.values()))]
    if seeds is not None and len(table):
        table = table[table["seed"].isin(list(seeds))]
    if table.empty:
        hint = hint or "; 'bench report' without -m and -d shows all."
        raise UsageError(f"no finished job matches{hint}")
    if absent:
        logger.info(f"no finished job matches: {', '.join(absent)}")
    return table


def _matching(part: str, values: set[str]) -> set[str]:
    """Return the values that a name or glob stands for; a bracket is no set of characters."""
    pattern = "*" if part == "all" else part.replace("[", "[[]")
    return {value for value in values if fnmatchcase(value, pattern)}
