"""How much of a lead is selection: configurations and epochs chosen with and without labels.

    python benchmarks/selection.py [--results FOLDER] [--out FILE.md] [--quick]

Each method is searched under three protocols, which choose among the same random configurations:
``holdout`` (labels of a fifth of the cells, reported on the others), ``unsupervised`` (silhouette
of Leiden clusters) and ``oracle`` (all labels). Winner and default are reported with other seeds.

For networks the epoch is chosen by ARI, too, among six numbers of epochs up to that of the
profile. Each is a fit of its own with ``max_epochs`` and the same seed. No schedule depends on
``max_epochs``: the step size is constant, the KL warm-up counts updates, the pretraining of
``stacked_ae`` has epochs of its own, and early stopping has a patience in epochs. So a shorter fit
is the beginning of the longer one. But the weights that it returns are those of the lowest loss on
held-out cells until then (of ``vae``: after its warm-up, if that has ended), so the state after n
epochs only while the loss falls. Choosing among all states could gain more than is reported here.

Finished fits in the results folder are not made again; under the three protocols the trials are
the same fits.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

import bench
from _figures import write_page
from bench.registry import methods
from bench.reports.tables.statistics import t_interval

METHODS = "pca,svd,ica,spectral,nmf,lsnmf,ae,vae"
DATASETS = "cellbench_5cl,zheng_sorted,teaseq,cellbench_3cl_batches,leukemia,schep_celllines"
PROTOCOLS = ("holdout", "unsupervised", "oracle")
BY_EPOCH, BY_HALF = "epoch by ARI", "epoch by ARI of half"
WAYS = {
    "holdout": "Configuration chosen by labels of a fifth of the cells, reported on the others: "
    "what tuning with few labels gains.",
    "unsupervised": "Configuration chosen by the silhouette of Leiden clusters, without labels: "
    "what can be had where there are none.",
    "oracle": "Configuration chosen by the labels it is reported on, with another seed: its "
    "excess over `holdout` is that of more labels, and optimism.",
    BY_EPOCH: "Epoch chosen by the ARI that is reported, same seed: a gain that needs the answer, "
    "and that cannot be negative.",
    BY_HALF: "Epoch chosen by the ARI of a random half of the cells, reported on the other half: "
    "what is left of that gain on cells that did not choose.",
}
ARI = "kmeans/ari"
_SHARES = (1 / 12, 1 / 6, 1 / 3, 1 / 2, 3 / 4, 1.0)
_PER_FIT, _PER_EPOCH = 0.6, 0.13
"""Seconds of the processor with about 1,200 cells: of process and scores, of a network's epoch."""


def searched(options: argparse.Namespace, protocol: str) -> list[dict[str, Any]]:
    """Return mean ARI and gain over the default of the chosen configurations of a protocol."""
    outcome = bench.search(
        options.methods, options.datasets, protocol=protocol, trials=options.trials,
        sampler="random", seeds=tuple(range(options.seeds)), profile=options.profile,
        results=options.results, jobs=options.jobs, fit_timeout=600.0, report=False, umap=False,
    )  # fmt: skip
    found = []
    for study in outcome.studies:
        gain = next((one for one in study["gains"] if one["key"] == ARI), None)
        if gain is not None:
            row = {"dataset": study["dataset"], "method": study["method"], "way": protocol}
            found.append(row | {"ari": gain["tuned"], "gain": gain["gain"]})
            found.append(row | {"way": f"default, {protocol}", "ari": gain["default"]})
    return found


def network_epochs(options: argparse.Namespace) -> dict[str, list[int]]:
    """Return the numbers of epochs to choose from by network."""
    found = {}
    for name in options.methods.split(","):
        params = methods().get(name).Params
        if "max_epochs" in params.model_fields and "validation" in params.model_fields:
            of_profile = getattr(params, "presets", {}).get(options.profile, {})
            most = of_profile.get("max_epochs", params.model_fields["max_epochs"].default)
            found[name] = sorted({max(1, round(share * most)) for share in _SHARES})
    return found


def by_epoch(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return mean ARI and gain over the last epoch of the epochs chosen by ARI."""
    epochs = network_epochs(options)
    names = {f"{name}[max_epochs={n}]": (name, n) for name in epochs for n in epochs[name]}
    if not names:
        return []
    outcome = bench.run(
        list(names), options.datasets, seeds=tuple(range(options.seeds)),
        profile=options.profile, results=options.results, jobs=options.jobs, timeout=600.0,
        report=False, umap=False,
    )  # fmt: skip
    table = outcome.load_results(columns="all")
    table = table[(table["status"] == "done") & table["method"].isin(list(names))]
    table = table.assign(epochs=[names[one][1] for one in table["method"]])
    table["method"] = [names[one][0] for one in table["method"]]
    found = []
    for (dataset, method), fits in table.groupby(["dataset", "method"]):
        chosen = [choose(rows, int(str(seed))) for seed, rows in fits.groupby("seed")]
        ari, gain, half, half_gain = np.mean(chosen, axis=0)
        row = {"dataset": dataset, "method": method}
        found.append(row | {"way": BY_EPOCH, "ari": ari, "gain": gain})
        found.append(row | {"way": BY_HALF, "ari": half, "gain": half_gain})
    return found


def choose(fits: pd.DataFrame, seed: int) -> tuple[float, float, float, float]:
    """Return the ARI of the best epoch and its gain over the last, then both of half the cells.

    The cells are halved at random. The epoch chosen on each half is reported on the other.
    """
    fits = fits.sort_values("epochs")
    clusters = [pd.read_parquet(Path(one) / "clusters.parquet") for one in fits["artifacts"]]
    cells = clusters[0].index
    types = clusters[0]["type"].to_numpy()
    labels = [one.loc[cells, "kmeans"].to_numpy() for one in clusters]
    first = np.random.default_rng(seed).permutation(len(cells)) < len(cells) // 2
    aris = np.array([
        [adjusted_rand_score(types[mask], found[mask]) for mask in (first, ~first)]
        for found in labels
    ])  # fmt: skip
    chosen = [aris[aris[:, half].argmax(), 1 - half] for half in (0, 1)]
    last = [aris[-1, 1 - half] for half in (0, 1)]
    whole = fits[ARI].to_numpy(dtype=float)
    half_ari = float(np.mean(chosen))
    best = float(whole.max())
    return best, best - float(whole[-1]), half_ari, half_ari - float(np.mean(last))


def page(found: pd.DataFrame, options: argparse.Namespace, flags: str) -> str:
    """Return the page: a table of methods × ways, and what each difference means."""
    defaults = found[found["way"] == "default, oracle"]
    lines = ["# How much of a lead is selection", ""]
    lines += [
        "ARI of k-means (k from truth), mean over datasets "
        f"({options.datasets.replace(',', ', ')}) and {options.seeds} seeds, profile "
        f"`{options.profile}`. In brackets the difference to the default on the same cells, with "
        f"its 95 % t-interval over datasets. {options.trials} random configurations a search, the "
        "default among them. The last row is the mean over methods, of epochs over networks.",
        "",
        f"Made by `python benchmarks/selection.py{flags}`.",
        "",
        f"| method | default | {' | '.join(WAYS)} |",
        "|---|---:|" + "---:|" * len(WAYS),
    ]
    for method in options.methods.split(","):
        own = defaults.loc[defaults["method"] == method, "ari"]
        cells = [f"{own.mean():.3f}" if len(own) else "–"]
        rows = found[found["method"] == method]
        cells += [_cell(rows[rows["way"] == way], with_ari=True) for way in WAYS]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    means = found.groupby(["dataset", "way"], as_index=False)["gain"].mean()
    cells = [_cell(means[means["way"] == way], with_ari=False) for way in WAYS]
    lines += [f"| mean difference | | {' | '.join(cells)} |", ""]
    lines += [f"* {way}: {text}" for way, text in WAYS.items()]
    ranked = defaults.pivot_table(index="dataset", columns="method", values="ari").to_numpy()
    if ranked.shape[1] > 1:
        first_two = np.sort(ranked, axis=1)[:, -2:]
        lead = t_interval(first_two[:, 1] - first_two[:, 0])
        lines.append(
            f"* For scale: by default the best method leads the second by {lead.mean:.3f}, mean "
            "over datasets."
        )
    return "\n".join(lines) + "\n"


def _cell(rows: pd.DataFrame, *, with_ari: bool) -> str:
    """Return mean ARI and difference with its interval over datasets."""
    if rows.empty:
        return "–"
    gain = t_interval(rows["gain"])
    width = "" if np.isnan(gain.half_width) else f" ± {gain.half_width:.3f}"
    difference = f"{gain.mean:+.3f}{width}"
    return f"{rows['ari'].mean():.3f} ({difference})" if with_ari else difference


def estimate(options: argparse.Namespace) -> str:
    """Return the number of fits and the minutes of the processor, if nothing is stored."""
    epochs = network_epochs(options)
    n_methods = len(options.methods.split(","))
    # The default is a trial; the three protocols share trials, not winners.
    each = options.trials + options.seeds * (1 + len(PROTOCOLS))
    fits = n_methods * each + sum(options.seeds * (len(one) - 1) for one in epochs.values())
    passes = sum(each * one[-1] + options.seeds * sum(one[:-1]) for one in epochs.values())
    n_datasets = len(options.datasets.split(","))
    # All protocols score the fits that they share by themselves.
    scores = n_methods * (len(PROTOCOLS) - 1) * (options.trials + options.seeds)
    seconds = n_datasets * (_PER_FIT * (fits + scores) + _PER_EPOCH * passes)
    return f"at most {n_datasets * fits} fits, about {seconds / 60:.0f} minutes of the processor"


def main() -> None:
    """Run all searches and write or print the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--datasets", default=DATASETS)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("results/selection"))
    parser.add_argument("--out", type=Path, help="default: standard output")
    parser.add_argument("--quick", action="store_true", help="a small case, to try it")
    options = parser.parse_args()
    changed = [
        f" --{name} {getattr(options, name)}"
        for name in ("methods", "datasets", "trials", "seeds", "profile")
        if getattr(options, name) != parser.get_default(name)
    ]
    if options.quick:
        changed = [" --quick"]
        options.methods, options.datasets, options.trials, options.seeds = (
            "pca,ae",
            "sim_rna",
            3,
            2,
        )
    print(estimate(options), flush=True)
    found = [row for protocol in PROTOCOLS for row in searched(options, protocol)]
    text = page(pd.DataFrame(found + by_epoch(options)), options, "".join(changed))
    write_page(text, options.out)


if __name__ == "__main__":
    main()
