"""What a study came to: one plain dictionary, and the files that carry it."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.io

from bench.plan.parameter_files import write_parameter_file
from bench.scoring.holdout import ORACLE
from bench.scoring.metrics import metrics
from bench.tuning.study import Trial
from bench.tuning.study_spec import Spec
from bench.tuning.winner import Gain, best, gain, pareto, statement

if TYPE_CHECKING:
    import pandas as pd

FILE = "study.json"


@dataclass
class Tuned:
    """A study after its trials."""

    spec: Spec
    run: str
    """Of the study in MLflow."""
    trials: list[Trial]
    figures: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""
    """Why it ended before its number of trials."""

    @property
    def winner(self) -> Trial | None:
        """The trial whose configuration is refitted."""
        return best(self.trials, self.spec.options.objectives)

    @property
    def default_label(self) -> str:
        """Display name of the default configuration in tables."""
        return self.spec.one.label

    @property
    def label(self) -> str:
        """Display name of the tuned configuration in tables."""
        return f"{self.spec.one.label}·tuned"


def summarize(tuned: Tuned, results: pd.DataFrame) -> dict[str, Any]:
    """Return what a study came to, as plain JSON types; ``results`` holds the report jobs."""
    spec, options, winner = tuned.spec, tuned.spec.options, tuned.winner
    found = _gains(tuned, results)
    head = headline(spec)
    is_default = winner is not None and winner.number == tuned.trials[0].number
    counts = Counter(trial.status for trial in tuned.trials)
    if winner is None:
        reasons = sorted({trial.reason for trial in tuned.trials if trial.reason})
        text = f"No trial gave a result ({options.protocol}): {'; '.join(reasons[:3])}"
    else:
        main = next((one for one in found if one.key == head), None)
        text = statement(
            main, is_default=is_default, n_trials=len(tuned.trials), protocol=options.protocol
        )
    return {
        "study": spec.name,
        "method": spec.one.label,
        "dataset": spec.dataset.label,
        "protocol": options.protocol,
        "watermark": ORACLE if options.protocol == "oracle" else "",
        "objectives": [one.describe() for one in options.objectives],
        "sampler": options.sampler,
        "pruner": options.pruner,
        "search_seed": options.seed,
        "report_seeds": list(spec.settings.seeds),
        "budget": {"trials": options.trials, "timeout": options.timeout},
        "trials": dict(counts),
        "note": tuned.note,
        "winner": winner.number if winner else None,
        "values": _values(spec, winner) if winner else {},
        "changed": changed(spec, winner) if winner else {},
        "headline": head,
        "gains": [_json(one) for one in found],
        "statement": text,
        "front": _front(tuned),
        "space": spec.space.describe(),
        "figures": tuned.figures,
    }


def headline(spec: Spec) -> str:
    """Return the metric that the result is stated in.

    The first objective if it compares with labels; else ARI, of Leiden where k is not known.
    """
    first = spec.options.objectives[0]
    metric = metrics().get(first.metric or "")
    if metric is not None and metric.kind != "partition":
        return first.key
    return "leiden/ari" if spec.options.protocol == "unsupervised" else "kmeans/ari"


def changed(spec: Spec, trial: Trial) -> dict[str, list[Any]]:
    """Return default and tuned value of the parameters that differ."""
    base = spec.space.base
    return {k: [base[k], v] for k, v in trial.params.items() if v != base[k]}


def _gains(tuned: Tuned, results: pd.DataFrame) -> list[Gain]:
    objectives = tuned.spec.options.objectives
    keys = [headline(tuned.spec), *(one.key for one in objectives), "kmeans/ari", "leiden/ari"]
    found = []
    for key in dict.fromkeys(keys):
        one = next((one for one in objectives if one.key == key), None)
        higher = one.maximize if one else True
        default, best_found = (
            _by_seed(results, tuned, name, key) for name in (tuned.default_label, tuned.label)
        )
        result = gain(key, higher, default, best_found)
        if result is not None:
            found.append(result)
    return found


def _by_seed(results: pd.DataFrame, tuned: Tuned, label: str, key: str) -> dict[int, float]:
    if key not in results:
        return {}
    rows = results[
        (results["method"] == label)
        & (results["dataset"] == tuned.spec.dataset.label)
        & (results["status"] == "done")
    ]
    pairs = zip(rows["seed"], rows[key], strict=True)
    return {int(seed): float(value) for seed, value in pairs if value == value}


def _front(tuned: Tuned) -> list[dict[str, Any]]:
    objectives = tuned.spec.options.objectives
    if len(objectives) < 2:
        return []
    return [
        {"trial": t.number, "values": _values(tuned.spec, t), "changed": changed(tuned.spec, t)}
        for t in pareto(tuned.trials, objectives)
    ]


def _values(spec: Spec, trial: Trial) -> dict[str, float]:
    names = [one.name for one in spec.options.objectives]
    return dict(zip(names, trial.values, strict=True))


def _json(one: Gain) -> dict[str, Any]:
    """Return plain JSON types; JSON has no NaN."""
    values = asdict(one) | {"verdict": one.verdict}
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


def write_files(tuned: Tuned, summary: dict[str, Any]) -> list[Path]:
    """Write summary, best parameters, trials and figures into the study's folder."""
    folder = tuned.spec.folder
    paths = [folder / FILE, folder / "trials.csv"]
    paths[0].write_text(json.dumps(summary, indent=1), encoding="utf-8")
    _write_trials(paths[1], tuned.spec, tuned.trials)
    if tuned.winner is not None:
        paths.append(folder / "best.yaml")
        comment = f"study {tuned.spec.name}, trial {tuned.winner.number}\n{summary['statement']}"
        if summary["watermark"]:
            comment += f"\n{summary['watermark']}"
        write_parameter_file(paths[-1], {tuned.spec.one.cls.name: tuned.winner.params}, comment)
    if tuned.figures:
        paths.append(folder / "figures.html")
        _write_figures(paths[-1], summary)
    return paths


def write_best(studies: Sequence[Tuned], folder: Path) -> list[Path]:
    """Write the winners of all methods on a dataset into one file each; returns them."""
    together: dict[tuple[str, str], dict[str, Any]] = {}
    for one in studies:
        if one.winner is not None:
            key = (one.spec.dataset.label, one.spec.options.protocol)
            together.setdefault(key, {})[one.spec.one.cls.name] = one.winner.params
    paths = []
    for (dataset, protocol), params in together.items():
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in dataset)
        paths.append(folder / f"best-{name}-{protocol}.yaml")
        comment = f"the best of each search on {dataset}, protocol {protocol}"
        write_parameter_file(paths[-1], params, comment)
    return paths


def _write_trials(path: Path, spec: Spec, trials: Sequence[Trial]) -> None:
    names = [one.name for one in spec.options.objectives]
    searched = [dimension.name for dimension in spec.space.dimensions]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["trial", "status", *names, "seconds", *searched, "reason"])
        for t in trials:
            values: list[Any] = list(t.values) or [""] * len(names)
            params = [t.params[name] for name in searched]
            writer.writerow([t.number, t.status, *values, t.seconds, *params, t.reason])


def _write_figures(path: Path, summary: dict[str, Any]) -> None:
    """Write one page that works offline."""
    parts = [f"<h1>{escape(summary['study'])}</h1><p>{escape(summary['statement'])}</p>"]
    parts += [f"<p><strong>{escape(summary['watermark'])}</strong></p>"] * bool(
        summary["watermark"]
    )
    for number, one in enumerate(summary["figures"]):
        figure = plotly.io.from_json(one["json"])
        drawn = plotly.io.to_html(figure, include_plotlyjs=number == 0, full_html=False)
        parts.append(f"<h2>{escape(one['title'])}</h2>{drawn}")
    page = "\n".join(["<!doctype html><meta charset='utf-8'>", *parts])
    path.write_text(page, encoding="utf-8")
