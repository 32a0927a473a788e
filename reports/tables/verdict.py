"""The first lines of a report: what to use, and what the numbers show."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.contract import MULTIOME

from . import label_free
from .advice import Advice, advise
from .claims import Standing, within_datasets
from .data_versions import version_counts
from .eligible import (
    FAILED,
    GUIDED,
    K_GIVEN,
    ORACLE,
    competing_by_dataset,
    told_groups,
    told_words,
    variants,
)
from .knowledge import best_of_text, telling_batches
from .labels import MAIN_METRIC, label
from .leaderboard import tidy
from .statistics import Interval, t_interval

if TYPE_CHECKING:
    import pandas as pd

BASELINES = ("pca", "pearson_pca", "lsi")
PAIRED_BASELINES = ("pca_lsi",)
QUICK_NOTE = (
    "The quick profile was used: few epochs, heavy methods with one seed. These numbers "
    "show that everything runs, not how good the methods are."
)
MIXING = "embedding/ilisi"
_HARDLY_MIXED = 0.1
_NAMED = 4
_TRUTH_LEAST = 0.99
_RANDOM_MOST = 0.05


@dataclass(frozen=True)
class Sentence:
    """A sentence with the dataset or the modality it is about, if any."""

    text: str
    about: str = ""
    detail: bool = False
    """It is about one dataset of several sentences."""


def verdict(results: pd.DataFrame, metric: str = MAIN_METRIC) -> list[Sentence]:
    """Return what to use, then one sentence a dataset; the first is what most readers want.

    Methods that were told more about the types than others have sentences of their own. Of data
    without labels the first sentence says only that.
    """
    table = tidy(results)
    unlabelled = [Sentence(text)] if (text := label_free.sentence(table)) else []
    table = table[~label_free.without_labels(table)]
    return unlabelled + _verdict_with_labels(table, metric) if len(table) else unlabelled


def _verdict_with_labels(table: pd.DataFrame, metric: str) -> list[Sentence]:
    """Return the sentences about the data with labels."""
    groups = told_groups(table)
    within = {told: within_datasets(table, metric, told) for told in groups}
    found = advice_by_group(table, metric)
    several = len({modality for modality, _ in found}) > 1
    sentences = []
    for (modality, told), advice in found.items():
        rows = table[table["modality"] == modality] if modality else table
        group = ", ".join(filter(None, (modality * several, _among(told))))
        sentences.append(_sentence(advice.text, group, rows))
    names = [str(name) for name in table["dataset"].unique() if name]
    for name, told in ((name, told) for name in names for told in groups):
        rows, standing = table[table["dataset"] == name], within[told].get(name)
        if standing is not None or (len(names) > 1 and told == groups[0]):
            about = ", ".join(filter(None, (name, _among(told))))
            sentence = _sentence(_of_dataset(rows, standing, metric), about, rows)
            sentences.append(replace(sentence, detail=True))
    return sentences + _mixing(table)


def _mixing(table: pd.DataFrame) -> list[Sentence]:
    """Return which method mixes the batches best, by dataset with batches."""
    if MIXING not in table:
        return []
    rows = competing_by_dataset(table)
    found = []
    for dataset, own in rows[rows[MIXING].notna()].groupby("dataset", sort=False):
        values = {str(m): t_interval(v) for m, v in own.groupby("method", sort=False)[MIXING]}
        best = max(values, key=lambda name: values[name].mean)
        most, name = values[best].mean, label(MIXING)
        text = f"{best} mixes them best: {name} {shown(values[best])}; 1 is fully mixed."
        if most < _HARDLY_MIXED:
            text = f"no method mixes them: {name} at most {most:.2f}, where 1 is fully mixed."
        found.append(Sentence(text, f"Batches of {dataset}"))
    return found


def advice_by_group(
    table: pd.DataFrame, metric: str = MAIN_METRIC
) -> dict[tuple[str, str], Advice]:
    """Return what to use by modality and what methods were told; the table is tidy."""
    modalities = [str(name) for name in table["modality"].unique() if name] or [""]
    within = {told: within_datasets(table, metric, told) for told in told_groups(table)}
    found = {}
    for modality in modalities:
        rows = table[table["modality"] == modality] if modality else table
        for told in told_groups(rows):
            own = within.get(told) or within_datasets(rows, metric, told)
            found[modality, told] = advise(
                rows, own, metric, told=told, n_modalities=len(modalities)
            )
    return found


def _among(told: str) -> str:
    return f"told {told_words(told)}" if told else ""


def _sentence(text: str, about: str, rows: pd.DataFrame) -> Sentence:
    """Return a sentence that says of each method it names if a search chose its parameters."""
    searched = rows[rows["n_trials"] != ""].groupby("method", sort=False)
    tuned = {str(name): best_of_text(own) for name, own in searched}
    chosen = [f" {n} is {best}." for n, best in tuned.items() if best and n in text]
    return Sentence(text + "".join(chosen), about)


def _baselines(rows: pd.DataFrame) -> set[str]:
    return set(rows.loc[rows["method_name"].isin(BASELINES + PAIRED_BASELINES), "method"])


def _of_dataset(rows: pd.DataFrame, standing: Standing | None, metric: str) -> str:
    """Return who is first on one dataset, who is tied, and how far the simple baseline is."""
    name = label(metric)
    if standing is None:
        return f"no method that may be ranked has a value of {name}."
    scores = {str(m): t_interval(v) for m, v in rows.groupby("method", sort=False)[metric]}
    first = standing.order[0]
    tied = standing.tied_for_first
    lead = f"{first} has the best mean {name}, {shown(scores[first])}"
    if standing.comparisons is not None and len(tied) > 1:
        others = [method for method in tied if method != first]
        listed = ", ".join(others) if len(others) <= _NAMED else f"{len(others)} others"
        lead += f"; not reliably better than {listed}"
    same = rows[rows["told"] == rows.loc[rows["method"] == first, "told"].iloc[0]]
    text = f"{lead}.{_baseline(same, standing, first)}"
    behind = [f"{m} ({n} failed)" for m, n in standing.failed.items()]
    if behind:
        text += f" Behind for failed seeds: {', '.join(behind)}."
    return text + _best_variant(same, scores, standing)


def _best_variant(rows: pd.DataFrame, scores: dict[str, Interval], standing: Standing) -> str:
    """Return that a further setting of a method is above the first one, if any is."""
    sign = 1 if standing.higher_is_better else -1
    best = standing.means[standing.order[0]]
    above = {m: sign * scores[m].mean for m in variants(rows) if scores[m].n}
    above = {m: mean for m, mean in above.items() if mean > sign * best}
    if not above:
        return ""
    name = max(above, key=lambda m: above[m])
    method = rows.loc[rows["method"] == name, "method_name"].iloc[0]
    number = rows.loc[rows["method_name"] == method, "method"].nunique()
    return f" {name} is above it as the best of {number} settings of {method}, so not ranked."


def _baseline(rows: pd.DataFrame, standing: Standing, first: str) -> str:
    """Return how the first method compares with the best simple baseline.

    Nothing where methods were told more about the types than any baseline.
    """
    if rows["told"].iloc[0]:
        return ""
    simple = _baselines(rows)
    if first in simple:
        return " It is a simple baseline."
    run = [method for method in standing.order if method in simple]
    if not run:
        expected = PAIRED_BASELINES if (rows["modality"] == MULTIOME).any() else BASELINES
        return f" No simple baseline ({', '.join(expected)}) was run beside it."
    base = run[0]
    delta = standing.means[first] - standing.means[base]
    which = f"best of {len(run)} baselines," if len(run) > 1 else "baseline"
    text = f" Against the {which} {base}: {delta:+.3f}"
    compared = standing.comparisons
    if compared is None or not {first, base} <= set(compared.methods):
        return f"{text}, without an interval."
    half = compared.interval(first, base)[1]
    if math.isnan(half):
        return f"{text}, without an interval."
    if not compared.differs(first, base):
        return f"{text}, not reliable."
    return f"{text} ({delta - half:+.3f} to {delta + half:+.3f}), reliable."


def shown(found: Interval) -> str:
    """Return ``0.712 ± 0.034 (3 seeds)``; without ± if there is one seed."""
    if math.isnan(found.half_width):
        return f"{found.mean:.3f} (one seed, no interval)"
    return f"{found.mean:.3f} ± {found.half_width:.3f} ({found.n} seeds)"


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


def warnings(results: pd.DataFrame, metric: str = MAIN_METRIC) -> list[str]:
    """Return what a reader must know before believing the numbers."""
    table = tidy(results)
    older = len(results) - len(table)
    table = label_free.without_halves(table)
    found = []
    if (table["profile"] == "quick").any():
        found.append(QUICK_NOTE)
    if (table["status"] == "done").any():
        seeds = table[table["status"] == "done"].groupby(["method", "dataset"])["seed"].nunique()
        found += _single(seeds)
    found += _protocols(table)
    if older:
        found.append(f"{older} older results of jobs that were run again are left out.")
    return (
        found
        + _batches(table)
        + _other_data(table)
        + _versions(table)
        + _odd_controls(table, metric)
    )


def _single(seeds: pd.Series) -> list[str]:
    """Return warnings about methods with one seed; ``seeds`` counts by method and dataset."""
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
    """Return a warning about datasets with results of several versions."""
    number = version_counts(table)
    if not number:
        return []
    which = ", ".join(f"{name} ({n})" for name, n in number.items())
    return [
        f"Results of several versions of the data are in the table: {which}. The newest has the "
        "plain name, and nothing is compared across versions; running the older ones again mends "
        "it."
    ]


def _batches(table: pd.DataFrame) -> list[str]:
    """Return on which datasets the batch tells the type, and who used it there."""
    found = []
    for dataset, value in telling_batches(table).items():
        rows = table[(table["dataset"] == dataset) & table["uses"].str.contains("batch")]
        found.append(
            f"On {dataset} the batch tells the type (Cramér's V {value:.2f}); types may have been "
            f"read from it by the methods that used it: {', '.join(rows['method'].unique())}."
        )
    return found


def _versions(table: pd.DataFrame) -> list[str]:
    """Return a warning about methods whose code changed between jobs."""
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
    """Return warnings about rows that do not compare with the others."""
    found = []
    if (table["protocol"] == "oracle").any():
        found.append(
            f"Rows marked{ORACLE} were tuned on the labels they are scored on: they may be too "
            "good, and are never ranked."
        )
    marks = [mark for mark in (K_GIVEN, GUIDED) if table["method"].str.endswith(mark).any()]
    told = {K_GIVEN: "the number of types", GUIDED: "marker genes, proteins or labels"}
    found += [
        f"Rows marked{mark} were told {told[mark]}: they are ranked among methods that were told "
        "the same, never with the others."
        for mark in marks
    ]
    shown = set(table["protocol"]) - {"", "oracle"}
    if "holdout" in shown and len(shown) > 1:
        found.append(
            "Rows under holdout are scored on the report cells (80 %), the others on all cells: "
            "they compare with rows of the same cells only. Where both have values, the kind with "
            "more methods is ranked and tested."
        )
    return found


def _odd_controls(table: pd.DataFrame, metric: str) -> list[str]:
    """Return warnings about controls with scores that point to a fault in harness or data."""
    found = []
    if metric == MAIN_METRIC and metric in table:
        for (method, dataset), rows in table.groupby(["method_name", "dataset"]):
            mean = rows[metric].mean()
            if method == "truth" and mean < _TRUTH_LEAST:
                found.append(f"The control truth reaches only {mean:.3f} on {dataset}.")
            if method == "random" and mean > _RANDOM_MOST:
                found.append(f"The control random reaches {mean:.3f} on {dataset}.")
    return found
