"""Scores of methods on labelled datasets, from which advice is made.

The folder ``evidence`` beside this file holds two tables: ``results.csv``, a row for each dataset
and method, and ``datasets.csv``, the profile of each dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.contract import ATAC, MULTIOME, RNA
from bench.contract.precomputed import PRECOMPUTED
from bench.errors import UsageError
from bench.registry import methods as method_registry
from bench.reports.tables.data_versions import OLDER_MARK
from bench.reports.tables.eligible import CONTROL, NOT_RUN, told_text
from bench.reports.tables.leaderboard import tidy
from bench.settings import load_settings

from .data_profile import DataProfile, read_profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = Path(__file__).with_name("evidence")
BASELINES = {RNA: "pca", ATAC: "lsi", MULTIOME: "pca_lsi"}
"""The method of each modality that every advice is compared with."""
LABEL_FREE = ("leiden/silhouette",)
"""Scores that need no labels; higher is better."""
_ARI = "kmeans/ari"
_NEEDED = {
    "method", "method_name", "family", "dataset", "modality", "seed", "protocol", "profile",
    "status", "uses", _ARI, "seconds",
}  # fmt: skip


@dataclass(frozen=True)
class AdviceEvidence:
    """Results of the admissible methods on the datasets of one modality.

    Arrays have a row for each dataset and a column for each method.
    """

    modality: str
    profiles: tuple[DataProfile, ...]
    methods: tuple[str, ...]
    """The baseline comes first."""
    light: frozenset[str]
    """Methods that are cheap to fit."""
    ari: NDArray[np.float64]
    """Mean over seeds; NaN where a method was not run or a seed failed."""
    failed: NDArray[np.bool_]
    """Whether a seed failed."""
    seconds: NDArray[np.float64]
    """Median time of a fit."""
    scores: Mapping[str, NDArray[np.float64]]
    """Label-free scores by name, means over seeds."""

    @property
    def baseline(self) -> str:
        """The method that every advice is compared with."""
        return BASELINES[self.modality]

    def take(self, rows: Sequence[int]) -> AdviceEvidence:
        """Return the evidence of some datasets."""
        chosen = list(rows)
        return replace(
            self,
            profiles=tuple(self.profiles[row] for row in chosen),
            ari=self.ari[chosen],
            failed=self.failed[chosen],
            seconds=self.seconds[chosen],
            scores={name: values[chosen] for name, values in self.scores.items()},
        )

    def leave_out(self, row: int) -> AdviceEvidence:
        """Return the evidence of all other datasets."""
        return self.take([one for one in range(len(self.profiles)) if one != row])

    def without(self, profile: DataProfile, *, by_name: bool = True) -> AdviceEvidence:
        """Return the evidence without the cells of a dataset.

        These are known by size and depth and, of a dataset that was asked for by its name, by
        that.
        """
        return self.take(
            [
                row
                for row, one in enumerate(self.profiles)
                if not (by_name and shares_cells(one.dataset, profile.dataset))
                and not one.has_counts_of(profile)
            ]
        )


def shares_cells(one: str, other: str) -> bool:
    """Return whether names are equal, but for brackets and for further words of one of them."""
    short, long = sorted((name.partition("[")[0] for name in (one, other)), key=len)
    return long == short or long.startswith(f"{short}_")


def read_evidence(modality: str, folder: Path = FOLDER) -> AdviceEvidence:
    """Return the packaged evidence on the datasets of one modality."""
    results = pd.read_csv(folder / "results.csv", keep_default_na=False, na_values={
        name: [""] for name in ("ari", "seconds", *LABEL_FREE)
    })  # fmt: skip
    return make_evidence(results, pd.read_csv(folder / "datasets.csv"), modality)


def make_evidence(results: pd.DataFrame, datasets: pd.DataFrame, modality: str) -> AdviceEvidence:
    """Return the evidence on the datasets of one modality on which the baseline has a score.

    Left out are controls, embeddings of other programs, and methods that were told something
    about the types on any dataset. Of datasets that share their cells, such as
    ``mouse_bladder`` and ``mouse_bladder_2100``, the one with the shortest name stays.
    """
    rows = results[results["modality"] == modality]
    told = rows["uses"].map(lambda uses: bool(told_text([str(uses)])))
    unfit = rows.loc[told | rows["family"].isin([CONTROL, PRECOMPUTED]), "method"]
    rows = rows[~rows["method"].isin(unfit)].assign(
        ari=lambda table: table["ari"].where(table["failed"] == 0)
    )
    baseline = BASELINES[modality]
    scored = set(rows.loc[(rows["method"] == baseline) & rows["ari"].notna(), "dataset"])
    facts = datasets[datasets["modality"] == modality].to_dict("records")
    profiles = tuple(
        DataProfile(**{str(key): value for key, value in row.items()})
        for row in facts
        if row["dataset"] in scored
        and not any(
            name != row["dataset"]
            and len(name) < len(row["dataset"])
            and shares_cells(name, row["dataset"])
            for name in scored
        )
    )
    rows = rows[rows["dataset"].isin([one.dataset for one in profiles])]
    names = sorted(rows["method"].unique(), key=lambda name: (name != baseline, name))

    def array(column: str) -> NDArray[np.float64]:
        table = rows.pivot(index="dataset", columns="method", values=column)
        table = table.reindex(index=[one.dataset for one in profiles], columns=names)
        values: NDArray[np.float64] = table.to_numpy(dtype=float)
        return values

    return AdviceEvidence(
        modality=modality,
        profiles=profiles,
        methods=tuple(names),
        light=frozenset(rows.loc[rows["cost"] == "light", "method"]),
        ari=array("ari"),
        failed=np.nan_to_num(array("failed")) > 0,
        seconds=array("seconds"),
        scores={
            name: array(name) for name in LABEL_FREE if name in rows and rows[name].notna().any()
        },
    )


def write_evidence(results: pd.DataFrame, folder: Path = FOLDER) -> None:
    """Write both tables from a table of finished jobs.

    ``results`` are those of ``bench.load_results(..., columns="all")``. The datasets are read
    from the cache, or loaded. Raises ``UsageError`` if columns are missing.
    """
    scores = result_rows(results)
    settings = load_settings({})
    names = sorted(scores["dataset"].unique())
    facts = [asdict(replace(read_profile(name, settings), dataset=name)) for name in names]
    folder.mkdir(parents=True, exist_ok=True)
    scores.to_csv(folder / "results.csv", index=False, float_format="%.4g")
    columns = [field.name for field in fields(DataProfile)]
    pd.DataFrame(facts, columns=columns).to_csv(folder / "datasets.csv", index=False)


def result_rows(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each labelled dataset and method with its default settings.

    Scores are means over the finished seeds. Of data that changed the newest count.
    """
    missing = sorted(_NEEDED - set(results))
    if missing:
        raise UsageError(
            f"the table of results has no columns {', '.join(missing)}; load it with "
            "columns='all'.",
            code="missing_column",
        )
    plain = results["method"].eq(results["method_name"])
    for column in ("protocol", "profile"):
        plain &= results[column].eq("default")
    if "labels_digest" in results:
        plain &= results["labels_digest"].ne("none")
    jobs = _newest(results[plain & ~results["status"].isin(NOT_RUN)])
    rows = []
    for (dataset, method), own in jobs.groupby(["dataset", "method_name"]):
        done = own[own["status"] == "done"]
        rows.append(
            {
                "dataset": dataset,
                "modality": own["modality"].iloc[0],
                "method": method,
                "family": own["family"].iloc[0],
                "cost": _cost(str(method)),
                "uses": ",".join(sorted({n for t in own["uses"] for n in t.split(",") if n})),
                "ari": done[_ARI].mean(),
                "seeds": len(done),
                "failed": len(own) - len(done),
                "seconds": done["seconds"].median(),
                **{name: done[name].mean() for name in LABEL_FREE if name in done},
            }
        )
    return pd.DataFrame(rows)


def _newest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the newest result of each job on the newest data."""
    found = tidy(table)
    found = found[~found["dataset"].str.contains(OLDER_MARK, regex=False)]
    if "started" in found:
        found = found.sort_values("started", kind="stable", na_position="first")
    return found.drop_duplicates(["dataset", "method_name", "seed"], keep="last")


def _cost(method: str) -> str:
    """Return the declared cost of a method; ``heavy`` if it is not registered."""
    entry = method_registry().entries.get(method)
    return "heavy" if entry is None or entry.cls is None else entry.cls.cost
