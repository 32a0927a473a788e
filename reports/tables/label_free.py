"""Scores of data without labels: a table for each dataset, and what each score can tell.

No score of them ranks methods: the rows are in the order of names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from bench.scoring.metrics.ari import ari

from .eligible import FAILED, NOT_RUN
from .knowledge import uses_text
from .labels import label
from .leaderboard import tidy

TEXTS = ("method", "dataset", "uses", "note")
"""Columns that hold no numbers."""
SEEDS, HALVES = "stability over seeds", "stability over halves"
_HALF = re.compile(r"^(.*) \(half [12]\)$")
_CLUSTERING = "leiden"
_COLUMNS = (
    "leiden/n_clusters", SEEDS, HALVES, "embedding/knn_preservation", "leiden/silhouette",
    "kmeans/silhouette", "embedding/ilisi", "embedding/kbet", "embedding/pcr_comparison",
    "held_out_loss", "seconds", "peak_memory_mb",
)  # fmt: skip
_MEANINGS = {
    SEEDS: "mean ARI between the Leiden clusters of two seeds. Low: they depend on chance. "
    "High: they can be found again, which wrong clusters can, too.",
    HALVES: "ARI between the Leiden clusters of fits on two random halves of the molecules. Low: "
    "the clusters follow the noise of counting. A method that gives few clusters has it easier.",
    "embedding/knn_preservation": "share of the 15 nearest cells in the counts that the embedding "
    "keeps. Low: the embedding has lost the data. High: only that it is like a PCA of all counts; "
    "a method that removes noise or batches must lose some.",
    "leiden/silhouette": "how compact and apart the clusters are on the embedding of the method "
    "itself. It is high where a method pulls clusters apart, be they right or wrong.",
    "kmeans/silhouette": "the same of k-means with the given number of clusters.",
    "embedding/ilisi": "mixing of the batches, as kBET and PCR comparison. High "
    "values come also from an embedding that mixes everything: read them beside the others.",
    "held_out_loss": "loss on cells that the method has not trained on, in its own units: it "
    "compares settings of one method, never two methods.",
    "seconds": "time and memory of one fit.",
}
_DIGITS = {"leiden/n_clusters": 1, "seconds": 1, "peak_memory_mb": 0}


def without_labels(table: pd.DataFrame) -> pd.Series:
    """Return the mask of the rows of data without labels, the halves of counts among them."""
    if "labels_digest" not in table:
        return pd.Series(data=False, index=table.index)
    ran = table["labels_digest"].eq("none")
    datasets = set(table.loc[ran, "dataset"])
    # A combination that was not run has no digest.
    return ran | (table["dataset"].isin(datasets) & table["labels_digest"].isna())


def without_halves(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of whole datasets."""
    halves = without_labels(table) & table["dataset"].str.fullmatch(_HALF)
    return table[~halves]


def sentence(table: pd.DataFrame) -> str:
    """Return that there are no labels, and what follows; empty if all data have labels."""
    names = without_halves(table[without_labels(table)])["dataset"].unique()
    if not len(names):
        return ""
    have = "has" if len(names) == 1 else "have"
    return (
        f"{', '.join(names)} {have} no labels: nothing shows how well the clusters match cell "
        "types, and no single score ranks the methods. Each column warns of one fault."
    )


def label_free_table(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each dataset without labels and method, in the order of names.

    Scores are means over seeds. Columns without any value are left out, except the note.
    """
    table = tidy(results)
    table = table[without_labels(table)]
    whole = without_halves(table)
    rows = []
    for (dataset, method), jobs in whole.groupby(["dataset", "method"]):
        halves = table[
            (table["method"] == method) & table["dataset"].isin(_half_names(str(dataset)))
        ]
        done = jobs[jobs["status"] == "done"]
        values = {SEEDS: _agreement(done), HALVES: _agreement(halves)}
        values |= {key: _mean(done, key) for key in _COLUMNS if key not in values}
        headings = {_heading(key): values[key] for key in _COLUMNS}
        rows.append(
            {"dataset": dataset, "method": method}
            | headings
            | {"uses": uses_text(jobs).replace("types", "clusters"), "note": _note(jobs, halves)}
        )
    found = pd.DataFrame(rows, columns=["dataset", "method", *map(_heading, _COLUMNS), "uses",
                                        "note"])  # fmt: skip
    empty = [name for name in found.columns[2:-2] if found[name].isna().all()]
    return found.drop(columns=empty)


def meanings(found: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what the columns of a table can tell: heading and text."""
    texts = {_heading(key): text for key, text in _MEANINGS.items()}
    return [(heading, text) for heading, text in texts.items() if heading in found]


def digits(heading: str) -> int:
    """Return the number of digits behind the point of a column."""
    return {_heading(key): number for key, number in _DIGITS.items()}.get(heading, 3)


def _heading(key: str) -> str:
    return key if key in (SEEDS, HALVES) else label(key)


def _half_names(dataset: str) -> list[str]:
    return [f"{dataset} (half {half})" for half in (1, 2)]


def _mean(jobs: pd.DataFrame, key: str) -> float:
    return float(jobs[key].mean()) if key in jobs else np.nan


def _agreement(jobs: pd.DataFrame) -> float:
    """Return the mean ARI between the Leiden clusters of each two jobs; NaN for a single one."""
    pairs = combinations(_clusters(jobs), 2)
    values = [ari(*(one[first.index.intersection(second.index)] for one in (first, second)))
              for first, second in pairs]  # fmt: skip
    return float(np.mean(values)) if values else np.nan


def _clusters(jobs: pd.DataFrame) -> Iterator[pd.Series]:
    """Yield the clusters of each job whose artifacts are on this machine."""
    for row in jobs[jobs["status"] == "done"].to_dict("records"):
        path = Path(str(row["artifacts"])) / "clusters.parquet"
        if path.is_file():
            yield pd.read_parquet(path, columns=[_CLUSTERING])[_CLUSTERING]


def _note(jobs: pd.DataFrame, halves: pd.DataFrame) -> str:
    """Return why jobs of a method have no scores; empty if all are done."""
    lacking = pd.concat([jobs, halves])
    lacking = lacking[lacking["status"].isin([*FAILED, *NOT_RUN])]
    return "; ".join(dict.fromkeys(f"{row.status}: {row.reason}" for row in lacking.itertuples()))
