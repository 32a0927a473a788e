"""The table of finished jobs."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.scoring.aggregates import aggregate_scores
from bench.selectors import expand_grids, split_selectors
from bench.settings import Settings, load_settings

from .result_store import ResultStore, require_results
from .run_tags import read_json

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bench.plan.job import Plan

logger = logging.getLogger(__name__)


_IDENTITY = ("method", "dataset", "seed", "protocol", "status")
_FEW = (
    "kmeans/ari", "kmeans/nmi", "leiden/ari", "leiden/nmi", "embedding/silhouette_types",
    "embedding/ilisi", "scib/total", "paired/match_auroc", "paired/translation_auroc_genes",
    "seconds", "peak_memory_mb",
)  # fmt: skip
_MEASURES = ("seconds", "cpu_seconds", "peak_memory_mb")


def load_results(
    results: str | Path = "results",
    *,
    long: bool = False,
    columns: str | Sequence[str] | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Return the finished jobs of a results folder as a table.

    Parameters
    ----------
    results
        The folder given to ``bench run --results``.
    long
        One row a job and score with the columns ``score`` and ``value``, instead of one row a job.
    columns
        Names of columns, or ``"all"``: every score, keys, digests, notes and the folder
        ``artifacts`` with ``embedding.parquet`` and ``clusters.parquet``. Default: the usual
        scores, seconds and memory (MiB above the loaded libraries); of a long table all scores.
    settings
        Further settings, such as ``experiment`` or ``tracking_uri``.

    Returns
    -------
    DataFrame
        ``method``, ``dataset``, ``seed``, ``protocol`` (of a search; only where there are several)
        and ``status``, then the scores, ``kmeans/ari`` and so on: NaN where one is undefined.

    Raises
    ------
    UsageError
        If there is no store, or no column of a name.
    """
    loaded: Settings = load_settings({"results": Path(results), **settings})
    require_results(loaded)
    with closing(ResultStore(loaded)) as store:
        table = results_frame(store)
    return choose_columns(table, long=long, columns=columns)


def choose_columns(
    table: pd.DataFrame, *, long: bool = False, columns: str | Sequence[str] | None = None
) -> pd.DataFrame:
    """Return some columns of a table of jobs, or its scores one below the other."""
    names = [name for name in _IDENTITY if name in table]
    if "protocol" in names and table["protocol"].nunique() < 2:
        names.remove("protocol")
    scores = [str(name) for name in table if "/" in str(name)]
    if columns == "all":
        chosen = [str(name) for name in table]
    elif columns is None:
        usual = [*scores, *_MEASURES] if long else _FEW
        chosen = [name for name in usual if name in table and (long or table[name].notna().any())]
    else:
        chosen = [columns] if isinstance(columns, str) else list(columns)
        unknown = next((name for name in chosen if name not in table), None)
        if unknown is not None:
            hint = did_you_mean(unknown, [str(name) for name in table.columns])
            raise UsageError(f"columns: no column '{unknown}'.{hint}", code="unknown_name")
    if not long:
        return table[list(dict.fromkeys(chosen if columns == "all" else [*names, *chosen]))]
    values = [name for name in chosen if name in scores or name in _MEASURES]
    rows = table[names + values].melt(id_vars=names, var_name="score", value_name="value")
    return rows.dropna(subset="value").reset_index(drop=True)


def results_frame(store: ResultStore, plan: Plan | None = None) -> pd.DataFrame:
    """Return the table of all finished jobs, or of a plan's jobs and excluded combinations.

    With a plan, display names and profile are those of the plan: the same fit may have been
    committed under another name, as ``vae`` and ``vae[n_latent=10]``.
    """
    if plan is None:
        rows = [_with_aggregates(row) for row in store.rows()]
    else:
        found = store.rows(score_keys={job.score_key for job in plan.jobs})
        stored = {row["score_key"]: _with_aggregates(row) for row in found}
        rows = []
        for job in plan.jobs:
            if job.score_key in stored:
                names = {"method": job.method, "dataset": job.dataset, "profile": job.profile}
                rows.append(stored[job.score_key] | names)
        for exclusion in plan.excluded:
            if "all" not in (exclusion.method, exclusion.dataset):
                method_name = exclusion.method.partition("[")[0]
                rows.append({"method_name": method_name, **asdict(exclusion)})
    return _table(rows)


def selected_results(
    store: ResultStore,
    methods: str | None,
    datasets: str | None,
    seeds: Collection[int] | None = None,
) -> pd.DataFrame:
    """Return the table of some finished jobs, as :func:`filter_results` chooses them.

    Only these jobs are read. Raises ``UsageError`` if there is none.
    """
    names = pd.DataFrame(store.names(), columns=["run_id", "method", "dataset", "seed"])
    chosen = filter_results(names, methods, datasets, seeds)["run_id"]
    return _table([_with_aggregates(row) for row in store.rows(run_ids=chosen)])


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    # A run that was interrupted before its first result has these columns, too.
    table = pd.DataFrame(rows, columns=None if rows else ["method", "dataset", "seed", "status"])
    if "started" in table:
        table["started"] = pd.to_datetime(table["started"], unit="ms", utc=True)
    for column in ("seconds", "cpu_seconds", "peak_memory_mb", "n_parameters", "coverage"):
        if len(table) and column not in table:
            table[column] = float("nan")
    return table


def _with_aggregates(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the means of its scores, and the reasons of those it lacks.

    Data without labels have no such means.
    """
    if row["status"] != "done" or row["labels_digest"] == "none":
        return row
    scores = {name: value for name, value in row.items() if "/" in name}
    missing = read_json(row["missing"])
    values, reasons = aggregate_scores(scores, missing)
    return row | values | {"missing": json.dumps(missing | reasons)}


def finished_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of jobs that are done, each as a dictionary by column."""
    rows = table[table["status"] == "done"].to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def search_summaries(settings: Settings, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the summaries of the searches that gave the tuned configurations of a table.

    Of several searches of a method, dataset and protocol the newest is returned.
    """
    summaries: dict[tuple[str, str, str], dict[str, Any]] = {}
    files = list((settings.results / "studies").glob("*/study.json"))
    for path in sorted(files, key=lambda path: path.stat().st_mtime):
        summary = json.loads(path.read_text())
        key = summary["dataset"], summary["method"], summary["protocol"]
        same = table[(table["method"] == key[1]) & (table["dataset"] == key[0])]
        if (same["protocol"] == key[2]).any():
            summaries[key] = summary
    return [summaries[key] for key in sorted(summaries)]


def filter_results(
    table: pd.DataFrame,
    methods: str | None,
    datasets: str | None,
    seeds: Collection[int] | None = None,
) -> pd.DataFrame:
    """Return the rows of some methods, datasets and seeds.

    Names and globs are separated by commas. A name in full is exact: ``vae`` does not match
    ``vae[preset=faithful]``, ``vae*`` matches both. Logs which of them match nothing. Raises
    ``UsageError`` if no row is left.
    """
    unmatched, hint = [], ""
    methods = None if methods is None else expand_grids(methods)
    for column, text in (("method", methods), ("dataset", datasets)):
        if text is not None and len(table):
            values = {str(value) for value in table[column]}
            matches = {part: _matching(part, values) for part in split_selectors(text)}
            unmatched += [part for part, names in matches.items() if not names]
            if unmatched and not any(matches.values()):
                hint = f" '{unmatched[-1]}'.{did_you_mean(unmatched[-1], sorted(values))}"
            table = table[table[column].isin(set().union(*matches.values()))]
    if seeds is not None and len(table):
        table = table[table["seed"].isin(list(seeds))]
    if table.empty:
        hint = hint or "; 'bench report' without -m and -d shows all."
        raise UsageError(f"no finished job matches{hint}", code="no_match")
    if unmatched:
        logger.warning(f"no finished job matches: {', '.join(unmatched)}")
    return table


def _matching(part: str, values: set[str]) -> set[str]:
    """Return the values that a name or glob stands for; a bracket is no set of characters."""
    pattern = "*" if part == "all" else part.replace("[", "[[]")
    return {value for value in values if fnmatchcase(value, pattern)}
