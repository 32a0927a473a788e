"""Tables of results, importable without a plotting library.

Missing values stay missing and carry a reason; nothing is filled with zero.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pandas as pd

from bench.contract.precomputed import PRECOMPUTED

from .claims import failed_seeds, over_datasets, rank_ranges, within_datasets
from .data_versions import OLDER_MARK, newest_name_of_content, newest_names, version_names
from .eligible import (
    CONTROL,
    FAILED,
    NOT_RUN,
    competing,
    exclusion_reasons,
    told_groups,
    told_words,
)
from .knowledge import best_of_text, uses_text
from .labels import (
    MAIN_METRIC,
    MEASURES,
    higher_is_better,
    is_own_clustering,
    json_texts,
    label,
    metric_columns,
)
from .method_names import fill_gaps, told_by_method, with_guidance, with_profile, with_protocol
from .statistics import mean_of_means, ranks_by_dataset, t_interval

_TEXT = (
    "method", "method_name", "family", "dataset", "modality", "profile", "protocol", "status",
    "reason", "log_tail", "score_key", "uses", "missing", "notes", "artifacts", "n_trials",
    "files",
)  # fmt: skip
_JOB = ("method", "dataset", "profile", "protocol", "seed")
_COSTS = ["seconds", "cpu_seconds", "peak_memory_mb"]


def tidy(results: pd.DataFrame) -> pd.DataFrame:
    """Return the results with all columns a report reads, each job once.

    Of several results of one job (method, dataset, profile, protocol, seed) the newest stays.
    Where a method was run under several profiles, its name says which; under the protocol of a
    search it always does. Copies of a dataset have one name. Of different data of one name the
    newest keeps it, what is of older data gets another one (``dataset_name`` has the plain one),
    so that nothing is compared across. A table that is tidy already, or a part of one, is returned
    as it is.
    """
    if results.attrs.get("tidy"):
        return results

    table = results.reset_index(drop=True).copy()
    for column in _TEXT:
        values = table[column] if column in table else pd.Series("", index=table.index)
        table[column] = values.astype(object).where(values.notna(), "").map(str)
    named = table["method_name"] != ""
    table["method_name"] = table["method_name"].where(named, table["method"].str.split("[").str[0])
    for column in ("seed", "batch_types_v", *MEASURES):
        values = table[column] if column in table else pd.Series(math.nan, index=table.index)
        table[column] = pd.to_numeric(values, errors="coerce")
    if "started" in table:
        table = table.sort_values("started", kind="stable", na_position="first")
    table["dataset"] = newest_name_of_content(table)
    if "dataset_name" not in table:
        table["dataset_name"] = table["dataset"]
    table["dataset"] = version_names(table)
    table = table.drop_duplicates(list(_JOB), keep="last").sort_index()
    table["family"] = fill_gaps(table, "family", "method_name")
    table.loc[table["family"] == PRECOMPUTED, _COSTS] = math.nan  # of reading, not of fitting
    table["modality"] = fill_gaps(table, "modality", "dataset")
    table["method"] = with_profile(table)
    pairs = zip(table["method"], table["protocol"], strict=True)
    table["method"] = [with_protocol(method, protocol) for method, protocol in pairs]
    table["told"] = told_by_method(table)
    table["method"] = with_guidance(table)
    table = table.reset_index(drop=True)
    table.attrs["tidy"] = True
    return table


def scores_long(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row per job and metric; ``value`` is NaN where ``reason`` says why.

    A method's own clusterings have rows only where that method made them.
    """
    table = tidy(results)
    shared = [key for key in metric_columns(table) if not is_own_clustering(key)]
    own = [key for key in metric_columns(table) if is_own_clustering(key)]
    rows: list[dict[str, Any]] = []
    for record in table.to_dict("records"):
        job = {str(name): value for name, value in record.items()}
        missing = json_texts(job["missing"])
        kept = [key for key in own if key in missing or not _nan(job.get(key))]
        for key in [*shared, *kept, *MEASURES]:
            value = job.get(key)
            rows.append(
                {column: job[column] for column in _LONG}
                | {"metric": key, "value": _number(value)}
                | {"reason": _why(job, key, missing) if _nan(value) else ""}
            )
    columns = [*_LONG, "metric", "value", "reason"]
    return pd.DataFrame(rows, columns=columns)


_LONG = (
    "method", "method_name", "family", "uses", "dataset", "modality", "profile", "protocol",
    "seed", "status", "score_key",
)  # fmt: skip


def _nan(value: Any) -> bool:
    return value is None or value != value


def _number(value: Any) -> float:
    return math.nan if _nan(value) else float(value)


def _why(job: dict[str, Any], key: str, missing: dict[str, str]) -> str:
    """Return why a job has no value of a metric."""
    if job["status"] != "done":
        return f"{job['status']}: {job['reason']}".rstrip(": ")
    return missing.get(key, "not recorded")


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Return mean, std, n seeds and 95 % t-interval half width per method, dataset and metric.

    ``half_width`` is NaN with one seed, ``mean`` with none; ``reason`` says why values lack.
    """
    table = tidy(results)
    long = scores_long(table)
    uses = {job: uses_text(part) for job, part in table.groupby(["method", "dataset"])}
    rows = []
    keys = ["method", "family", "dataset", "metric"]
    for names, part in long.groupby(keys, sort=False):
        # A failed job may have run for some time; that is not what a fit takes.
        found = t_interval(part.loc[part["status"] == "done", "value"])
        reasons = sorted({reason for reason in part["reason"] if reason})
        rows.append(
            dict(zip(keys, names, strict=True))
            | {"uses": uses[names[0], names[2]]}
            | {"mean": found.mean, "std": found.std, "n": found.n}
            | {"half_width": found.half_width, "reason": "; ".join(reasons)}
        )
    columns = [*keys, "uses", "mean", "std", "n", "half_width", "reason"]
    return pd.DataFrame(rows, columns=columns)


def dataset_means(results: pd.DataFrame, metric: str = MAIN_METRIC) -> pd.DataFrame:
    """Return methods × datasets of seed means; NaN where no seed has a value."""
    table = tidy(results)
    if metric not in table:
        table = table.assign(**{metric: math.nan})
    means = table.pivot_table(metric, "method", "dataset", "mean", dropna=False, observed=False)
    methods, datasets = table["method"].unique(), table["dataset"].unique()
    return means.reindex(index=methods, columns=datasets)


def complete_block(
    results: pd.DataFrame, metric: str = MAIN_METRIC, told: str = ""
) -> pd.DataFrame:
    """Return methods × datasets of means that ranks are made of: no control, no gap.

    The methods are those that were ``told`` the same (:func:`.eligible.competing`). The datasets
    are those on which any of them has a value; a method that lacks one of them is left out, since
    its rank would rest on easier or harder data than that of the others. Older data of a dataset
    count only where there are no newer ones.
    """
    table = tidy(results)
    methods = competing(table, told)["method"].unique()
    means = dataset_means(table, metric).reindex(index=methods)
    means = means[newest_names(means.columns)]
    means = means.dropna(axis=1, how="all")
    return means.dropna(axis=0) if means.shape[1] else means.iloc[:0]


def leaderboard(
    results: pd.DataFrame, metric: str = MAIN_METRIC, *, ties: bool = True
) -> pd.DataFrame:
    """Return one row a method, best first; with several modalities one row a method and modality.

    With several protocols a column names that of each method.

    The mean is that over datasets of the mean over seeds; ``± 95 %`` is the half width of its
    t-interval over seeds (NaN with one seed). ``rank`` orders the mean ranks over complete blocks,
    among methods that were told the same about the types; those told nothing come first. On a
    dataset a method ranks behind those that finished a seed it failed. ``rank 95 %`` is an
    interval over draws of datasets. Methods that share a letter in ``tied`` do not reliably differ
    (:mod:`.claims`; empty where nothing can be claimed, or without ``ties``). A method that lacks
    a dataset on which others have a value has neither mean nor rank, and ``note`` says why.
    Controls come last and are never ranked.
    """
    table = tidy(results)
    groups = [name for name in table["modality"].unique() if name] or [""]
    parts = []
    for group in groups:
        rows = (
            table[table["modality"].isin([group, ""])] if len(groups) == 1 else _of(table, group)
        )
        part = _board(rows, metric, ties=ties)
        if len(groups) > 1:
            part.insert(0, "data", group)
        parts.append(part)
    found = pd.concat(parts, ignore_index=True)
    protocols = table[table["protocol"] != ""].groupby("method")["protocol"].first()
    if protocols.nunique() > 1:
        place = list(found.columns).index("note")
        found.insert(place, "protocol", found["method"].map(protocols).fillna(""))
    return found


def with_brackets(board: pd.DataFrame, metric: str = MAIN_METRIC, digits: int = 3) -> pd.DataFrame:
    """Return a leaderboard as text; a mean over fewer seeds than were run stands in brackets."""
    text = as_text(board, digits)
    name = label(metric)
    failed = board["failed jobs"].gt(0) & board[name].notna()
    text[name] = text[name].where(~failed, "(" + text[name] + ")")
    return text


def _of(table: pd.DataFrame, modality: str) -> pd.DataFrame:
    """Return the rows of one modality without methods made for another one only."""
    rows = table[table["modality"] == modality]
    ran = set(rows.loc[~rows["status"].isin(NOT_RUN), "method"])
    elsewhere = set(table.loc[~table["status"].isin(NOT_RUN), "method"]) - ran
    return rows[~rows["method"].isin(elsewhere)]


def _board(table: pd.DataFrame, metric: str, *, ties: bool) -> pd.DataFrame:
    groups = told_groups(table)
    ranks = [_group_ranks(table, metric, told, ties=ties) for told in groups]
    standing = pd.concat([part.ranks for part in ranks])
    datasets = newest_names(name for name in table["dataset"].unique() if name)
    valued = table.loc[table[metric].notna(), "dataset"] if metric in table else pd.Series([])
    anywhere = [str(name) for name in valued.unique() if name in datasets]
    expected = {told: part.datasets or anywhere for told, part in zip(groups, ranks, strict=True)}
    rows = []
    for method, part in table.groupby("method", sort=False):
        own = expected.get(part["told"].iloc[0], expected[groups[0]])
        rows.append(_board_row(str(method), part, metric, standing, own, datasets))
    board = pd.DataFrame(rows, columns=[*_BOARD[:2], label(metric), *_BOARD[2:]])
    excluded = board["method"].map(exclusion_reasons(table))
    board["note"] = board["note"].where(excluded.isna(), excluded)
    for column in ("rank", "rank 95 %", "tied"):
        board[column] = board["method"].map(standing[column])
    board["rank"] = board["rank"].astype("Int64")
    board[["rank 95 %", "tied"]] = board[["rank 95 %", "tied"]].fillna("")
    return _sorted_board(board, table, metric)


def _sorted_board(board: pd.DataFrame, table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the rows by group of knowledge, then by rank; without a rank by mean."""
    told = board["method"].map(table.groupby("method")["told"].first())
    groups = [*told_groups(table), *sorted(told.unique())]
    down = 1 if higher_is_better(metric, table) is False else -1
    order = board.assign(
        _control=board["family"] == CONTROL, _group=told.map(groups.index),
        _mean=board[label(metric)] * down,
    )  # fmt: skip
    by = ["_control", "_group", "mean rank", "_mean", "method"]
    order = order.sort_values(by, na_position="last")
    return order.drop(columns=["_control", "_group", "_mean"]).reset_index(drop=True)


class _GroupRanks(NamedTuple):
    """The ranks of the methods that were told the same."""

    ranks: pd.DataFrame
    """Columns ``mean rank``, ``rank``, ``rank 95 %`` and ``tied`` by method."""
    datasets: list[str]


def _group_ranks(table: pd.DataFrame, metric: str, told: str, *, ties: bool) -> _GroupRanks:
    block = complete_block(table, metric, told)
    places = pd.DataFrame()
    better = higher_is_better(metric, table)
    if len(block) and better is not None:
        failures = failed_seeds(competing(table, told))
        places = ranks_by_dataset(block, failures, higher_is_better=better)
    means = places.mean(axis=1).astype(float)
    tied = _letters(table, block, metric, told) if ties else {}
    columns = {
        "mean rank": means, "rank": means.rank(method="min"),
        "rank 95 %": pd.Series(rank_ranges(places), dtype=object),
        "tied": pd.Series(tied, dtype=object),
    }  # fmt: skip
    return _GroupRanks(pd.DataFrame(columns), [str(name) for name in block.columns])


_BOARD = (
    "rank", "method", "± 95 %", "tied", "mean rank", "rank 95 %", "datasets", "failed jobs",
    "median time (s)", "peak memory (MiB)", "uses", "family", "note",
)  # fmt: skip


def _letters(table: pd.DataFrame, block: pd.DataFrame, metric: str, told: str) -> dict[str, str]:
    """Return the letters of the methods: over datasets, or within the only one."""
    if block.shape[1] == 1:
        standing = within_datasets(table, metric, told).get(str(block.columns[0]))
        return standing.letters if standing is not None else {}
    return over_datasets(table, block, metric, told=told).letters if len(block) else {}


def _board_row(
    method: str,
    rows: pd.DataFrame,
    metric: str,
    standing: pd.DataFrame,
    expected: list[str],
    datasets: list[str],
) -> dict[str, Any]:
    own = rows[rows["dataset"].isin(["", *datasets])]
    values = own[metric] if metric in own else own["seconds"] * math.nan
    parts = {str(d): t_interval(v) for d, v in values.groupby(own["dataset"], sort=False)}
    having = [name for name, part in parts.items() if part.n]
    # A mean over fewer datasets than that of others would rest on easier or harder ones.
    whole = set(expected) <= set(having)
    mean, half = mean_of_means([parts[name] for name in expected if whole])
    family = rows["family"].iloc[0]
    rank = float(standing["mean rank"].get(method, math.nan))
    done = own[own["status"] == "done"]
    return {
        "method": method,
        "family": family,
        label(metric): mean,
        "± 95 %": half,
        "mean rank": rank,
        "datasets": f"{len(having)} of {len(datasets)}",
        "failed jobs": int(own["status"].isin(FAILED).sum()),
        "median time (s)": done["seconds"].dropna().median(),
        "peak memory (MiB)": done["peak_memory_mb"].dropna().max(),
        "uses": uses_text(rows),
        "note": _note(method, rows, family, rank, expected, having, metric),
    }


def _note(
    method: str,
    rows: pd.DataFrame,
    family: str,
    rank: float,
    expected: list[str],
    having: list[str],
    metric: str,
) -> str:
    """Return why a method has no mean or rank, or that they rest on fewer seeds; else empty."""
    mine = newest_names(rows["dataset"].unique())
    lacking = [name for name in (expected or mine) if name not in having]
    if family == CONTROL:
        return "never ranked" + (f"; lacks {', '.join(lacking)}" if lacking else "")
    if family == PRECOMPUTED:
        return "precomputed, not ranked: what it cost and was trained on is not known"
    if (rows["protocol"] == "oracle").any():
        return _joined("not ranked: tuned on the labels it is scored on", best_of_text(rows))
    if not math.isnan(rank):
        own = rows[rows["dataset"].isin(mine)]
        failed = int(own["status"].isin(FAILED).sum())
        told = rows["told"].iloc[0]
        return _joined(
            f"ranked among methods told {told_words(told)}" * bool(told), best_of_text(rows),
            f"without {failed} of {len(own)} jobs, which failed" * bool(failed),
        )  # fmt: skip
    if not lacking:
        return "not ranked: the metric has no better or worse"
    reasons: dict[str, list[str]] = {}
    for name in lacking:
        why = _first_reason(rows, name, metric)
        reasons.setdefault(why, []).append(name)
    whys = "; ".join(f"{why} ({', '.join(on)})" for why, on in reasons.items())
    return f"no mean, not ranked: {whys}"


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


def _first_reason(rows: pd.DataFrame, dataset: str, metric: str) -> str:
    """Return why a method has no value on a dataset."""
    own = rows[rows["dataset"] == dataset]
    if own.empty:
        older = rows["dataset"].str.startswith(dataset + OLDER_MARK).any()
        return "run on older data only" if older else "not run"
    job = {str(key): value for key, value in own.iloc[0].items()}
    return _why(job, metric, json_texts(job["missing"]))


def as_text(table: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Return a table as strings: rounded, ``–`` where a value is missing."""

    def one(value: Any) -> str:
        if value is None or value is pd.NA or value != value:
            return "–"
        return f"{value:z.{digits}f}" if isinstance(value, float) else str(value)

    return table.astype(object).map(one)
