"""The first lines of a report: what the numbers say, in plain words."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.contract import MULTIOME

from .data_versions import current, several
from .eligible import FAILED, GUIDED, ORACLE, competing, competing_by_dataset
from .labels import MAIN, higher_is_better, label
from .leaderboard import complete_block, tidy
from .statistics import LEVEL, Interval, difference, t_interval, what_ranks_show

if TYPE_CHECKING:
    import pandas as pd

BASELINES = ("pca", "lsi")
PAIRED_BASELINES = ("pca_lsi",)
_TRUTH_LEAST = 0.99
_RANDOM_MOST = 0.05


@dataclass(frozen=True)
class Sentence:
    """A sentence with the dataset or the modality it is about, if any."""

    text: str
    about: str = ""


def verdict(results: pd.DataFrame, metric: str = MAIN) -> list[Sentence]:
    """Return who won how often, one sentence a dataset, and what ranks over datasets can show."""
    table = tidy(results)
    sentences = [
        Sentence(_of_dataset(rows, metric), str(name))
        for name, rows in table.groupby("dataset", sort=False)
        if name
    ]
    if len(sentences) > 1:
        sentences.insert(0, Sentence(_overall(table, metric)))
    for modality in [name for name in table["modality"].unique() if name] or [""]:
        rows = table[table["modality"] == modality] if modality else table
        block = complete_block(rows, metric)
        several = table["modality"].replace("", None).nunique() > 1
        text = what_ranks_show(block)
        sentences.append(Sentence(text, str(modality) if several else ""))
    return sentences


def _overall(table: pd.DataFrame, metric: str) -> str:
    """Return how often each method is best and how often a baseline is clearly beaten."""
    sign = -1 if higher_is_better(metric, table) is False else 1
    wins: Counter[str] = Counter()
    clear = compared = 0
    fair = competing_by_dataset(table)
    for name in current(table["dataset"].unique()):
        rows = fair[fair["dataset"] == name]
        found = _intervals(rows, metric)
        if not found:
            continue
        best = max(found, key=lambda method: sign * found[method].mean)
        wins[best] += 1
        bases = [name for name in _baselines(rows) if name in found]
        if bases:
            compared += 1
            base = max(bases, key=lambda method: sign * found[method].mean)
            delta, half = difference(found[best], found[base])
            clear += best not in bases and sign * delta > half
    if not wins:
        return f"No method has a value of {label(metric)} on any dataset."
    number = sum(wins.values())
    who = ", ".join(f"{name} on {count}" for name, count in wins.most_common())
    text = f"Best by mean {label(metric)} on {number} datasets: {who}."
    if compared:
        text += (
            f" The best method beats the simple baseline by more than seeds explain on {clear} "
            f"of {compared}."
        )
    return text


def _baselines(rows: pd.DataFrame) -> set[str]:
    return set(rows.loc[rows["method_name"].isin(BASELINES + PAIRED_BASELINES), "method"])


def _of_dataset(rows: pd.DataFrame, metric: str) -> str:
    found = _intervals(competing(rows), metric)
    name = label(metric)
    if not found and _intervals(rows, metric):
        return f"no method that may be ranked has a value of {name}."
    if not found:
        return f"no method has a value of {name}."
    sign = -1 if higher_is_better(metric, rows) is False else 1
    ordered = sorted(found, key=lambda method: -sign * found[method].mean)
    best, others = ordered[0], ordered[1:]
    extreme = "lowest" if sign < 0 else "highest"
    text = f"{best} has the {extreme} mean {name}, {shown(found[best])}"
    simple = _baselines(rows)
    baselines = [name for name in ordered if name in simple]
    if not baselines:
        expected = PAIRED_BASELINES if (rows["modality"] == MULTIOME).any() else BASELINES
        return f"{text}. No simple baseline ({' or '.join(expected)}) was run beside it."
    if best in baselines:
        rest = [method for method in others if method not in baselines]
        if not rest:
            return f"{text}; only baselines have a value."
        compared = _compare(found[best], found[rest[0]], sign)
        return f"{text}: no method beats this simple baseline. Next is {rest[0]}, {compared}."
    base = baselines[0]
    compared = _compare(found[base], found[best], sign)
    return f"{text}. The baseline {base} reaches {shown(found[base])}: {best} is {compared}."


def _compare(reference: Interval, other: Interval, sign: int) -> str:
    """Return how far ``other`` is from the reference, and whether seeds could explain it."""
    delta, half = difference(other, reference)
    far = f"{abs(delta):.3f} {'above' if delta > 0 else 'below'} it"
    if delta == 0:
        return "level with it"
    if math.isnan(half):
        return f"{far} (one seed: no interval)"
    ends = f"{delta - half:+.3f} to {delta + half:+.3f}"
    interval = f"{LEVEL * 100:.0f} % interval of the difference {ends}"
    if abs(delta) <= half:
        return f"{far}, which seeds alone could explain ({interval})"
    return f"{far}, more than seeds explain ({interval})"


def shown(found: Interval) -> str:
    """Return ``0.712 ± 0.034 (3 seeds)``; without ± if there is one seed."""
    if math.isnan(found.half_width):
        return f"{found.mean:.3f} (one seed, no interval)"
    return f"{found.mean:.3f} ± {found.half_width:.3f} ({found.n} seeds)"


def _intervals(rows: pd.DataFrame, metric: str) -> dict[str, Interval]:
    if metric not in rows:
        return {}
    found = {str(m): t_interval(v) for m, v in rows.groupby("method", sort=False)[metric]}
    return {method: interval for method, interval in found.items() if interval.n}


def counts(results: pd.DataFrame) -> str:
    """Return how the jobs ended, in one line."""
    table = tidy(results)
    ends = table["status"].value_counts()
    done, failed = int(ends.get("done", 0)), int(ends.reindex(FAILED).fillna(0).sum())
    parts = [f"{done} job{'s' * (done != 1)} done", f"{failed} failed"]
    which = [f"{int(ends[name])} {name}" for name in FAILED if name in ends]
    if failed and which != [f"{failed} failed"]:
        parts[1] += f" ({', '.join(which)})"
    left = [f"{int(n)} {name}" for name, n in ends.items() if name not in ("done", *FAILED)]
    return ", ".join(parts + left) + "."


def warnings(results: pd.DataFrame, metric: str = MAIN) -> list[str]:
    """Return what a reader must know before believing the numbers."""
    table = tidy(results)
    found = []
    if (table["profile"] == "quick").any():
        found.append(
            "The quick profile was used: few epochs, heavy methods with one seed. These numbers "
            "show that everything runs, not how good the methods are."
        )
    if (table["status"] == "done").any():
        seeds = table[table["status"] == "done"].groupby(["method", "dataset"])["seed"].nunique()
        found += _single(seeds)
    found += _protocols(table)
    if len(results) > len(table):
        older = len(results) - len(table)
        found.append(f"{older} older results of jobs that were run again are left out.")
    return found + _other_data(table) + _versions(table) + _odd_controls(table, metric)


def _single(seeds: pd.Series) -> list[str]:
    """Return who has one seed, from the number of seeds by method and dataset."""
    alone = seeds[seeds < 2]
    more = set(seeds[seeds > 1].index.get_level_values("method"))
    found = []
    everywhere = sorted(set(alone.index.get_level_values("method")) - more)
    if everywhere:
        found.append(f"One seed only, so without an interval: {', '.join(everywhere)}.")
    for dataset, own in alone.groupby(level="dataset"):
        names = sorted(set(own.index.get_level_values("method")) & more)
        if names:
            found.append(f"One seed only on {dataset}: {', '.join(names)}.")
    return found


def _other_data(table: pd.DataFrame) -> list[str]:
    """Return of which datasets there are results of several versions."""
    number = several(table)
    if not number:
        return []
    which = ", ".join(f"{name} ({n})" for name, n in number.items())
    return [
        f"Results of several versions of the data are in the table: {which}. The newest has the "
        "plain name, and nothing is compared across versions; running the older ones again mends "
        "it."
    ]


def _versions(table: pd.DataFrame) -> list[str]:
    """Return which methods were changed between the jobs that are shown."""
    if "source" not in table:
        return []
    done = table[(table["status"] == "done") & table["source"].fillna("").ne("")]
    number = done.groupby("method_name")["source"].nunique()
    mixed = sorted(map(str, number.index[number > 1]))
    if not mixed:
        return []
    return [
        f"Some jobs were run with an older version of the code than others: {', '.join(mixed)}. "
        "Run the same commands again: only what is outdated is run."
    ]


def _protocols(table: pd.DataFrame) -> list[str]:
    """Return which numbers must not be read beside each other."""
    found = []
    if table["method"].str.endswith(ORACLE).any():
        found.append(
            f"Rows marked{ORACLE} were tuned on the labels they are scored on: they may be too "
            "good, and are never ranked."
        )
    if table["method"].str.endswith(GUIDED).any():
        found.append(
            f"Rows marked{GUIDED} were told about types (marker genes, proteins or labels): they "
            "are never ranked with methods that were not."
        )
    shown = set(table["protocol"]) - {"", "oracle"}
    if "holdout" in shown and len(shown) > 1:
        found.append(
            "Rows under holdout are scored on the report cells (80 %), the others on all cells: "
            "they compare with rows of the same cells only. Where both have values, the kind with "
            "more methods is ranked and tested."
        )
    return found


def _odd_controls(table: pd.DataFrame, metric: str) -> list[str]:
    """Return controls that are not where they must be: then the harness or the data are odd."""
    found = []
    if metric == MAIN and metric in table:
        for (method, dataset), rows in table.groupby(["method_name", "dataset"]):
            mean = rows[metric].mean()
            if method == "truth" and mean < _TRUTH_LEAST:
                found.append(f"The control truth reaches only {mean:.3f} on {dataset}.")
            if method == "random" and mean > _RANDOM_MOST:
                found.append(f"The control random reaches {mean:.3f} on {dataset}.")
    return found
