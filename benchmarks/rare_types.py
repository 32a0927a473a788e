"""The rare-population task as a page in Markdown: curves, controls, guided against its twin.

    python benchmarks/rare_types.py results/sakura docs/results/sakura.md

Everything is read from the store. Replicates are plantings (``plant_seed``) and seeds of the fit;
intervals are 95 % t-intervals over them, those of a difference over pairs of equal replicate.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from sklearn.metrics import silhouette_score

from bench.reports.tables.labels import label
from bench.reports.tables.statistics import t_interval
from bench.selectors import parse_selector
from bench.selectors import selector_label as written
from bench.store.results_table import load_results

if TYPE_CHECKING:
    from collections.abc import Iterable

AP = ("embedding/rare_ap", "embedding/rare_ap_held_out")
MORE = (
    "embedding/rare_auroc", "embedding/rare_purity", "embedding/rare_purity_held_out",
    "embedding/isolated_f1", "embedding/isolated_f1_held_out", "kmeans/ari",
)  # fmt: skip
WHOLE = ("kmeans/ari", "kmeans/nmi", "leiden/ari", "embedding/knn_purity", "embedding/ilisi")
BATCH = "silhouette of batches"
_CELLS = 5000
_JOB = ("method", "dataset", "profile", "protocol", "seed")


def page(results: pd.DataFrame) -> str:
    """Return the page of all finished jobs of a results table (``bench.load_results``)."""
    done = _oldest_first(results[results["status"] == "done"])
    rare = tasks(done)
    parts = ["# Guided methods: rare populations, confounders, proteins", _ABOUT]
    for task, rows in rare.groupby(["set", "rare_type"], sort=True):
        name, kind = (str(part) for part in task)
        parts += [f"## {name}: {kind} made rare", *_curves(rows), *_all_scores(rows)]
        parts += _differences(rows)
    whole = done[done["rare_type"].fillna("") == ""]
    job = [name for name in _JOB if name in whole]
    whole = whole.drop_duplicates(job, keep="last")
    for dataset, rows in whole.groupby("dataset", sort=True):
        parts += [f"## {dataset!s}", _whole(rows)]
    return "\n\n".join(parts) + "\n"


_ABOUT = (
    "Mean ± half of a 95 % t-interval over plantings and seeds; a dash where a score is missing. "
    "AP: average precision of the share of rare cells among the 15 nearest others; *held out*: "
    "of cells that the fit has not seen, by the vote of training cells. A useless embedding has "
    "an AP of about the prevalence. `guide=random`: other genes of like expression stand for the "
    "markers; `guide=shuffled`: the markers are copies whose values were dealt to other cells. "
    "Markers are of the literature; they name the type, so rows with markers and rows without "
    "are different tasks."
)


def tasks(results: pd.DataFrame) -> pd.DataFrame:
    """Return the jobs of rare-population tasks with the task's parameters as columns.

    ``set``, ``rare_type``, ``prevalence`` (NaN: as it is), ``plant``, and ``shown``: the method,
    with what the task does to its markers. Of several results of one job the newest stays.
    """
    found = []
    for row in _oldest_first(results).to_dict("records"):
        one = parse_selector(str(row["dataset"]))
        values, guided = one.values, "markers" in str(row["uses"]).split(",")
        altered = values.get("guide", "true") != "true"
        if not row.get("rare_type") or "rare_type" not in values or (altered and not guided):
            continue  # a method that does not use the markers has no part in their control
        how = {key: value for key, value in values.items() if key in _GUIDE}
        own = {key: value for key, value in values.items() if key not in _TASK}
        found.append(
            row
            | {
                "set": written(one.name, own),
                "prevalence": float(values.get("prevalence", "nan")),
                "plant": int(values.get("plant_seed", 0)),
                "shown": str(row["method"]) + (f" · {_text(how)}" if guided and how else ""),
                "guided": guided,
                "control": altered,
            }
        )
    keys = ["set", "rare_type", "prevalence", "plant", "seed", "shown"]
    table = pd.DataFrame(found, columns=None if found else [*keys, "guided", "control"])
    # Unguided fits are shared by tasks of other signatures.
    return table.drop_duplicates(keys, keep="last")


def _oldest_first(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows by the time they were started, if the table has it."""
    if "started" not in results:
        return results
    return results.sort_values("started", kind="stable", na_position="first")


_GUIDE = ("signatures", "guide")
_TASK = ("rare_type", "prevalence", "plant_seed", "train", "guide", "signatures")


def _text(values: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())


def _curves(rows: pd.DataFrame) -> list[str]:
    """Return a table of the AP by prevalence for all cells, and one for held-out cells."""
    levels = sorted(rows["prevalence"].unique())
    parts = []
    for metric in AP:
        if metric not in rows or not rows[metric].notna().any():
            continue
        lines = [["method", *(_share(level) for level in levels)]]
        for method, own in _ordered(rows, metric):
            lines.append([method, *(_mean(_at(own, level)[metric]) for level in levels)])
        parts += [f"{label(metric)}, by prevalence:", _table(lines)]
    return parts


def _at(rows: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return the rows of a prevalence, NaN being one."""
    return rows[rows["prevalence"].isna() if math.isnan(level) else rows["prevalence"] == level]


def _all_scores(rows: pd.DataFrame) -> list[str]:
    """Return the table of the other scores at the prevalence with most jobs."""
    level = rows["prevalence"].value_counts(dropna=False, sort=True).index[0]
    own = _at(rows, float(level))
    metrics = [name for name in MORE if name in own and own[name].notna().any()]
    lines = [["method", *(label(name) for name in metrics)]]
    for method, cells in _ordered(own, AP[0]):
        lines.append([method, *(_mean(cells[name]) for name in metrics)])
    return [f"Other scores at {_share(level)}:", _table(lines)]


def _differences(rows: pd.DataFrame) -> list[str]:
    """Return the table of guided minus every comparable method, paired by planting and seed."""
    lines = [["method", "against", "prevalence", *(label(name) for name in AP), "pairs"]]
    for method, other in _comparable(rows):
        for level in sorted(rows["prevalence"].unique()):
            gaps = [_gaps(_at(rows, level), name, method, other) for name in AP]
            if any(map(len, gaps)):
                pairs = str(max(map(len, gaps)))
                lines.append([method, other, _share(level), *map(_interval, gaps), pairs])
    if len(lines) == 1:
        return []
    told = "Difference, guided minus other; **bold**: the 95 % interval excludes zero."
    return [told, _table(lines)]


def _comparable(rows: pd.DataFrame) -> Iterable[tuple[str, str]]:
    """Return pairs of a guided method and another of the same parameters, guidance apart."""
    fair = rows[rows["guided"] & ~rows["control"] & (rows["family"] != "control")]
    names = rows.drop_duplicates("shown").set_index("shown")["method"].astype(str).to_dict()
    values = {str(shown): parse_selector(method).values for shown, method in names.items()}
    for mine in map(str, fair["shown"].unique()):
        wanted = {key: v for key, v in values[mine].items() if not key.startswith("guide_")}
        yield from ((mine, other) for other in values if other != mine and values[other] == wanted)


def _gaps(cells: pd.DataFrame, metric: str, method: str, other: str) -> pd.Series:
    """Return the differences of a metric at equal planting and seed; empty without pairs."""
    if metric not in cells:
        return pd.Series(dtype=float)
    table = cells.pivot_table(metric, ["plant", "seed"], "shown")
    if not {method, other} <= set(table):
        return pd.Series(dtype=float)
    return (table[method] - table[other]).dropna()


def _whole(rows: pd.DataFrame) -> str:
    """Return the table of a dataset without a rare type, with the silhouette of its batches."""
    rows = rows.assign(**{BATCH: [_batch_silhouette(folder) for folder in rows["artifacts"]]})
    metrics = [name for name in (*WHOLE, BATCH) if name in rows and rows[name].notna().any()]
    lines = [["method", *(name if name == BATCH else label(name) for name in metrics), "seeds"]]
    for method, cells in rows.groupby("method", sort=True):
        shown = [_mean(cells[name]) for name in metrics]
        lines.append([str(method), *shown, str(cells["seed"].nunique())])
    return _table(lines)


def _batch_silhouette(folder: str | None) -> float:
    """Return the mean silhouette of the batches on a stored embedding; NaN without batches.

    Near zero or below where batches mix; Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7. Above
    5,000 cells of a seeded sample of that size.
    """
    if not folder or not (Path(folder) / "clusters.parquet").is_file():
        return math.nan
    cells = pd.read_parquet(Path(folder) / "clusters.parquet")
    if "batch" not in cells or cells["batch"].nunique() < 2:
        return math.nan
    points = pd.read_parquet(Path(folder) / "embedding.parquet").to_numpy()
    size = _CELLS if len(points) > _CELLS else None
    return float(silhouette_score(points, cells["batch"], sample_size=size, random_state=0))


def _ordered(rows: pd.DataFrame, metric: str) -> Iterable[tuple[str, pd.DataFrame]]:
    """Return methods with their rows, the highest mean first."""
    groups = {str(method): own for method, own in rows.groupby("shown")}
    means = {
        method: own[metric].mean() if metric in own else 0.0 for method, own in groups.items()
    }
    order = sorted(groups, key=lambda m: -means[m] if means[m] == means[m] else math.inf)
    return ((method, groups[method]) for method in order)


def _share(level: float) -> str:
    return "as it is" if math.isnan(level) else f"{100 * level:g} %"


def _mean(values: pd.Series) -> str:
    found = t_interval(values)
    if not found.n:
        return "–"
    return f"{found.mean:.3f}" + (f" ± {found.half_width:.3f}" if found.n > 1 else "")


def _interval(gaps: pd.Series) -> str:
    found = t_interval(gaps)
    if not found.n:
        return "–"
    if found.n == 1:
        return f"{found.mean:+.3f}"
    low, high = found.mean - found.half_width, found.mean + found.half_width
    text = f"{found.mean:+.3f} ({low:+.3f} to {high:+.3f})"
    return f"**{text}**" if low > 0 or high < 0 else text


def _table(lines: list[list[str]]) -> str:
    head, *body = lines
    rule = ["---", *(["---:"] * (len(head) - 1))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *body))


def main(arguments: list[str]) -> int:
    """Write the page; returns the exit code."""
    if len(arguments) != 2:
        print("expected: python benchmarks/rare_types.py RESULTS_FOLDER FILE.md", file=sys.stderr)
        return 2
    target = Path(arguments[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(load_results(arguments[0], columns="all")), encoding="utf-8")
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
