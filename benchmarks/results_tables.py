"""The tables of docs/results and the evidence of ``bench ask``, from the store of results.

    python benchmarks/results_tables.py [--results results/all] [--out docs/results/tables.md]

With ``--out`` the packaged evidence is written, too.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import bench
import results
from _boards import (
    ARI,
    CONTROLS,
    CORRECTIONS,
    LEIDEN,
    SAME_CELLS,
    difference_text,
    distinct,
    leaderboards,
    markdown_rows,
    method_board,
    number_text,
    seed_means,
    spread_text,
)
from _figures import write_page
from bench.advice.evaluation import LEAST_SETS, evaluate_rules
from bench.advice.evidence import FOLDER, read_evidence, write_evidence
from bench.reports.page.published_section import published_pairs
from bench.reports.tables.eligible import told_text
from bench.reports.tables.statistics import t_interval

if TYPE_CHECKING:
    from bench.advice.evidence import AdviceEvidence

BASELINES = {"rna": "pca", "atac": "lsi", "multiome": "pca_lsi"}
NAMES = {"rna": "RNA", "atac": "Chromatin", "multiome": "Paired RNA and chromatin"}
BATCH_SETS = ("cellbench_3cl_batches", "baron_mouse", "kang_donors")
BATCH = {
    ARI: "ARI", "embedding/ilisi": "iLISI", "embedding/kbet": "kBET",
    "embedding/graph_connectivity": "graph connectivity",
}  # fmt: skip
UNSEEN = {
    "paired/match_auroc": "matching, AUROC", "paired/match_auroc_hard": "within a type",
    "paired/retrieval_top10": "retrieval, top 10",
    "paired/translation_auroc_genes": "detected genes, AUROC",
}  # fmt: skip
_BY_GRAPHS = ("zheng_sorted", "teaseq", "baron_mouse", "mouse_bladder")
SEEN = {
    "vae": ("baron_mouse", "pbmc3k", "human_kidney", "pbmc_10x4k", "mouse_bladder"),
    "sakura": ("pbmc3k",), "sccrossrec": ("scicar_a549",), "scimta": _BY_GRAPHS,
    "scmgca": _BY_GRAPHS, "sctag": _BY_GRAPHS,
}  # fmt: skip
"""Datasets that were seen before a default of a method was chosen (docs/results/defaults.md)."""
CERTAIN = ("cellbench_5cl", "cellbench_3cl_batches", "zheng_sorted")
"""Datasets of RNA whose labels come from sorting or genotypes, not from clusters."""
FROM_CLUSTERS = ("pbmc3k", "pbmc_10x4k", "citeseq_pbmc", "citeseq_cbmc", "mouse_bladder")
THIN = "[thin=0.1]"


def main() -> None:
    """Write or print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results/all"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--names", action="store_true", help="print the datasets of the tables")
    options = parser.parse_args()
    if options.names:
        print(",".join(main_sets()))
        return
    table = bench.load_results(options.results, columns="all")
    apart = table["dataset"].isin(choosing_sets()) | table["dataset"].str.endswith(THIN)
    with tempfile.TemporaryDirectory() as scratch:
        folder = FOLDER if options.out else Path(scratch)
        write_evidence(table[~apart], folder)
        page = tables(table, read_evidence("rna", folder))
    write_page(page, options.out)


def main_sets() -> list[str]:
    """Return the datasets that count in means: cells of their own, no default chosen on them."""
    names = dict.fromkeys(name for group in results.groups() for name in group.datasets)
    apart = {*choosing_sets(), *SAME_CELLS}
    return [name for name in names if name not in apart and not name.endswith(THIN)]


def choosing_sets() -> set[str]:
    """Return the datasets on which defaults were chosen."""
    return {name for group in results.groups() if group.choosing for name in group.datasets}


def tables(table: pd.DataFrame, evidence: AdviceEvidence) -> str:
    """Return the page."""
    jobs = table[table["status"] != "skipped"].copy()
    # A failed fit found nothing.
    jobs.loc[jobs["status"] != "done", [ARI, LEIDEN, "kmeans/nmi"]] = 0.0
    jobs[ARI] = jobs[ARI].round(12)  # equal clusterings differ in the last digits
    thin, choosing = jobs["dataset"].str.endswith(THIN), jobs["dataset"].isin(choosing_sets())
    main_rows = jobs[~thin & ~choosing]
    lines = [_HEAD, *_counts(jobs)]
    for modality, name in NAMES.items():
        rows = main_rows[main_rows["modality"] == modality]
        if rows.empty:
            continue
        lines += _section(name, *leaderboards(rows, BASELINES[modality]))
        lines += [f"### {name}, by dataset", "", _by_dataset(rows), ""]
    lines += _section("Tasks on unseen cells", _TASKS, _unseen_cells(main_rows))
    lines += _section("Choosing sets", _CHOOSING, _by_dataset(jobs[choosing]))
    lines += _section("Batches", *_batches(main_rows))
    lines += _section("Rare types", _RARE, _rare(main_rows))
    lines += _section("Depth", _DEPTH, _depth(jobs))
    lines += _section("k-means beside Leiden", _K, _known_k(main_rows))
    lines += _section("Labels that come from clusters", _LABELS, _label_origin(main_rows))
    lines += _section("Published figures beside ours", _PUBLISHED, _published(main_rows))
    lines += _section("Rules that choose a method", _RULES, _rules(evidence))
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, *parts: str) -> list[str]:
    lines = [f"## {title}", ""]
    for part in parts:
        lines += [part, ""]
    return lines


def _counts(jobs: pd.DataFrame) -> list[str]:
    states = jobs["status"].value_counts()
    seeds = jobs.groupby(["method", "dataset"])["seed"].nunique().value_counts().sort_index()
    lines = [
        f"Jobs: {', '.join(f'{count:,} {state}' for state, count in states.items())}. Pairs of "
        "method and dataset by their number of seeds: "
        f"{', '.join(f'{count} with {n}' for n, count in seeds.items())}.",
        "",
    ]
    for row in jobs[jobs["status"] != "done"].to_dict("records"):
        reason = " ".join(str(row["reason"]).split())[:160]
        lines.append(
            f"* `{row['method']}` on `{row['dataset']}`, seed {row['seed']}: {row['status']}, "
            f"{reason}"
        )
    return [*lines, ""]


def _by_dataset(rows: pd.DataFrame) -> str:
    """Return the ARI of each method on each dataset; methods that ran on most come first."""
    if rows.empty:
        return "None."
    means = seed_means(rows, ARI)
    order = pd.DataFrame({"sets": means.notna().sum(axis=1), "mean": means.mean(axis=1)})
    names = order.sort_values(["sets", "mean"], ascending=False, kind="stable").index
    scores = means.to_dict("index")
    found = []
    for method in map(str, names):
        row = {"method": f"`{method}`"}
        for name, value in scores[method].items():
            seen = name in SEEN.get(method, ()) and not math.isnan(value)
            row[str(name)] = number_text(value) + ("†" if seen else "")
        found.append(row)
    return markdown_rows(found)


def _unseen_cells(rows: pd.DataFrame) -> str:
    """Return the scores of tasks on unseen paired cells, of methods that can do them."""
    found = []
    for (dataset, method), own in rows.groupby(["dataset", "method"]):
        values = {title: own[key].mean() for key, title in UNSEEN.items() if key in own}
        if any(not math.isnan(value) for value in values.values()):
            scores = {title: number_text(value) for title, value in values.items()}
            found.append({"dataset": f"`{dataset}`", "method": f"`{method}`", **scores})
    return markdown_rows(found)


def _batches(rows: pd.DataFrame) -> list[str]:
    """Return scores on the sets with batches, and the gain of the corrections of pca."""
    sets = [name for name in BATCH_SETS if name in set(rows["dataset"])]
    methods = (
        "pca", *CORRECTIONS, "scvi", "linear_scvi", "scmgca", "scmgca[batches=corrected]",
        "scimta", "scimta[batches=corrected]", "vae", "nmf",
    )  # fmt: skip
    found = []
    for name in sets:
        for method in methods:
            own = rows[(rows["dataset"] == name) & (rows["method"] == method)]
            if len(own):
                scores = {title: number_text(own[key].mean()) for key, title in BATCH.items()}
                found.append({"dataset": f"`{name}`", "method": f"`{method}`", **scores})
    return [_BATCHES, markdown_rows(found), method_board(rows, ("pca", *CORRECTIONS), "pca", sets)]


def _rare(rows: pd.DataFrame) -> str:
    """Return the F1 of rare types beside the ARI, as mean over the sets that have rare types."""
    sets = distinct(rows).dropna(subset=["kmeans/rare_f1"])
    found = []
    for modality, there in sets.groupby("modality"):
        n_sets = there["dataset"].nunique()
        for method, own in there.groupby("method"):
            if own["dataset"].nunique() == n_sets and method not in CONTROLS:
                mean = own.groupby("dataset")[["kmeans/rare_f1", "leiden/rare_f1", ARI]].mean()
                found.append((str(modality), str(method), n_sets, *mean.mean()))
    found.sort(key=lambda row: (row[0], -row[3]))
    names = ("data", "method", "sets", "F1 of rare types, k-means", "Leiden", "ARI")
    texts = [(m, f"`{n}`", str(k), *map(number_text, scores)) for m, n, k, *scores in found]
    return markdown_rows([dict(zip(names, row, strict=True)) for row in texts])


def _depth(rows: pd.DataFrame) -> str:
    """Return the ARI with all and with a tenth of the molecules."""
    thin = rows[rows["dataset"].str.endswith(THIN)]
    found = []
    for method in dict.fromkeys(thin["method"]):
        losses, row = [], {"method": f"`{method}`"}
        for name in dict.fromkeys(thin["dataset"]):
            whole = name.removesuffix(THIN)
            less = thin[(thin["method"] == method) & (thin["dataset"] == name)][ARI].mean()
            all_ = rows[(rows["method"] == method) & (rows["dataset"] == whole)][ARI].mean()
            losses.append(less - all_)
            row[whole] = f"{number_text(all_)} → {number_text(less)}"
        found.append({**row, "change": difference_text(t_interval(losses))})
    return markdown_rows(found)


def _known_k(rows: pd.DataFrame) -> str:
    """Return k-means with the true number of types against Leiden, by method."""
    found = []
    for modality, there in distinct(rows).groupby("modality"):
        for method, own in there.groupby("method"):
            means = own.groupby("dataset")[[ARI, LEIDEN, "leiden/n_clusters", "n_types"]].mean()
            told = told_text(own["uses"])
            if method in (*CONTROLS, *CORRECTIONS) or told or len(means) < 3:
                continue
            gap = t_interval(means[ARI] - means[LEIDEN])
            factor = (means["leiden/n_clusters"] / means["n_types"]).median()
            found.append({
                "data": str(modality), "method": f"`{method}`", "sets": str(len(means)),
                "k-means": number_text(means[ARI].mean()),
                "Leiden": number_text(means[LEIDEN].mean()),
                "difference": difference_text(gap), "clusters per type": f"{factor:.1f}",
            })  # fmt: skip
    return markdown_rows(found)


def _label_origin(rows: pd.DataFrame) -> str:
    """Return the lead over the baseline on sets with certain labels and on clustered ones."""
    found = []
    for method in dict.fromkeys(rows["method"]):
        if method in (*CONTROLS, *CORRECTIONS, *BASELINES.values()):
            continue
        row: dict[str, object] = {"method": f"`{method}`"}
        for title, names in (("sorted or known", CERTAIN), ("from clusters", FROM_CLUSTERS)):
            there = rows[rows["dataset"].isin(names) & (rows["modality"] == "rna")]
            means = seed_means(there, ARI)
            both = method in means.index and "pca" in means.index
            lead = (means.loc[method] - means.loc["pca"]).dropna() if both else []
            row[f"minus pca, {title}"] = difference_text(t_interval(lead)) if len(lead) > 1 else ""
            row[f"sets, {title}"] = str(len(lead))
        found.append(row)
    kept = [row for row in found if all(value != "" for value in row.values())]
    return markdown_rows(kept)


def _published(rows: pd.DataFrame) -> str:
    """Return the published ARI beside ours; reasons against a comparison are footnotes."""
    pairs = [one for one in published_pairs(rows) if one["metric"] == "ari"]
    if not pairs:
        return "None."
    pairs.sort(key=lambda one: (one["not_comparable"] != "", one["dataset"], one["method"]))
    reasons = list(dict.fromkeys(one["not_comparable"] for one in pairs if one["not_comparable"]))
    shown = [_published_row(one, reasons) for one in pairs]
    notes = [f"{number}. {text}." for number, text in enumerate(reasons, 1)]
    if notes:
        notes = ["", "Not comparable:", "", *notes]
    return "\n".join([markdown_rows(shown), *notes])


def _published_row(pair: dict[str, Any], reasons: list[str]) -> dict[str, str]:
    alike = not pair["not_comparable"]
    return {
        "dataset": f"`{pair['dataset']}`",
        "method": pair["method"],
        "clustering": pair["clustering"],
        "source": pair["source"].split(",")[0].replace(_MEASURED, "measured"),
        "published": spread_text(pair["published"], pair["deviation"]),
        "ours": spread_text(pair["ours"], pair["half_width"]),
        "difference": f"{pair['ours'] - pair['published']:+.3f}" if alike else "",
        "remark": "" if alike else str(reasons.index(pair["not_comparable"]) + 1),
    }


def _rules(evidence: AdviceEvidence) -> str:
    """Return the errors of the rules of ``bench ask``."""
    if len(evidence.profiles) < LEAST_SETS:
        return "Too few datasets."
    errors = evaluate_rules(evidence)
    found = []
    for one in (*errors.rules, errors.choice):
        row = {
            "rule": one.rule,
            "within 0.03 of the best": f"{one.n_close} of {one.n_sets}",
            "mean regret": number_text(one.mean_regret),
        }
        if one.rule != "baseline":
            row["minus pca"] = f"{one.gain:+.3f}"
            row["95 %"] = f"{one.gain_low:+.3f} to {one.gain_high:+.3f}"
        found.append(row)
    return markdown_rows(found)


_MEASURED = "measured by the makers of this harness with the authors' code"
_HEAD = """# Result tables

Made by `make results`. A score is the mean over seeds on a dataset, then over datasets; a failed
fit counts as 0. ARI and NMI are of k-means with the true number of types unless Leiden is named;
the silhouette is that of the true types on the method's own embedding. *told*: what a method was
told about the types. *minus pca*: mean difference over datasets with its 95 % interval. *better,
worse*: datasets on which seeds do not explain the difference (Welch's test, 5 %), of those with
several seeds of both. †: the dataset was [seen before a default was chosen](defaults.md).
Seconds are those of a fit on one thread, as mean over datasets, beside other processes.
"""
_TASKS = (
    "Paired cells that the fit has not seen "
    "([what is asked](../paired.md#tasks-on-unseen-cells)). `detection_rate` is the control."
)
_CHOOSING = "Defaults were chosen on these sets: no test of a default. ARI of k-means."
_BATCHES = (
    "iLISI and kBET: 1 if batches are mixed, 0 if not. `pca_harmony`, `combat`, `scanorama`, "
    "`scvi`, `linear_scvi` and `batches=corrected` were told the batches. The second table has "
    "the corrections beside `pca` on these sets."
)
_RARE = (
    "Types with less than 5 % of the cells: F1 of the cluster that fits each best, mean over "
    "types, then over the sets that have such types."
)
_DEPTH = "ARI of k-means with all molecules and with a tenth of them, drawn at random."
_K = (
    "k-means is given the true number of types, Leiden (resolution 1) is not. *Clusters per "
    "type*: Leiden's clusters by the number of types, median over sets. Without methods that were "
    "told the types."
)
_LABELS = (
    f"Lead over `pca` where labels are from sorting or genotypes "
    f"({', '.join(f'`{n}`' for n in CERTAIN)}) and where they come from clusters of the same "
    f"counts ({', '.join(f'`{n}`' for n in FROM_CLUSTERS)})."
)
_RULES = (
    "What [`bench ask`](../ask.md) goes by, on RNA: each set is left out in turn. *Regret*: ARI "
    "of the best method there minus that of the advised one. The last row chooses the rule, too, "
    "on the other sets."
)
_PUBLISHED = (
    "ARI. A difference stands where both were made alike: same cells and types, the same "
    "clustering, nobody trained or chosen by labels. ±: standard deviation there, 95 % over seeds "
    "here. *Measured*: by us, with the authors' code or scikit-learn, outside of this harness."
)


if __name__ == "__main__":
    main()
