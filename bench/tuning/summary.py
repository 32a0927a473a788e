"""The summary of a study, and its result files."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import plotly.io

from bench.plan.grid import tuned_label
from bench.plan.parameter_files import SearchOrigin, plain_name, write_parameter_file
from bench.scoring.holdout import ORACLE
from bench.scoring.metrics import metrics

from .winner import TuningGain, best_trial, gain_sentence, pareto_front, tuning_gain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from .study import Trial
    from .study_spec import StudySpec


@dataclass
class FinishedStudy:
    """A study that has ended, with its trials and figures."""

    spec: StudySpec
    run: str
    """Id of the study's run in MLflow."""
    trials: list[Trial]
    figures: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""
    """Reason for ending before the number of trials, if it did."""

    @property
    def best(self) -> Trial | None:
        """The trial with the best configuration."""
        return best_trial(self.trials, self.spec.options.objectives)

    @property
    def best_label(self) -> str:
        """Label of the best configuration in tables."""
        return tuned_label(self.spec.default.label)


def summarize(study: FinishedStudy, results: pd.DataFrame) -> dict[str, Any]:
    """Return the summary of a study as plain JSON types; ``results``: table of report jobs."""
    spec, options, best = study.spec, study.spec.options, study.best
    gains = _gains(study, results)
    return {
        "study": spec.name,
        "method": spec.default.label,
        "dataset": spec.dataset.label,
        "protocol": options.protocol,
        "watermark": ORACLE if options.protocol == "oracle" else "",
        "objectives": [objective.describe() for objective in options.objectives],
        "sampler": options.sampler,
        "pruner": options.pruner,
        "search_seed": options.search_seed,
        "report_seeds": list(spec.settings.seeds),
        "budget": {"trials": options.trials, "timeout": options.timeout},
        "trials": dict(Counter(trial.status for trial in study.trials)),
        "note": study.note,
        "winner": best.number if best else None,
        "values": _values(spec, best) if best else {},
        "changed": changed_parameters(spec, best) if best else {},
        "headline": headline_metric(spec),
        "gains": [_as_json(gain) for gain in gains],
        "statement": _statement(study, gains),
        "front": _front(study),
        "space": spec.space.describe(),
        "figures": study.figures,
    }


def _statement(study: FinishedStudy, gains: list[TuningGain]) -> str:
    """Return the result of a study in one sentence."""
    best, protocol = study.best, study.spec.options.protocol
    if best is None:
        reasons = sorted({trial.reason for trial in study.trials if trial.reason})
        return f"No trial gave a result ({protocol}): {'; '.join(reasons[:3])}"
    key = headline_metric(study.spec)
    return gain_sentence(
        next((gain for gain in gains if gain.key == key), None),
        is_default=best.number == study.trials[0].number,
        n_trials=len(study.trials),
        protocol=protocol,
    )


def headline_metric(spec: StudySpec) -> str:
    """Return the score key whose gain the statement reports.

    It is the first objective if that uses labels, else the ARI of k-means, under ``unsupervised``
    of Leiden.
    """
    first = spec.options.objectives[0]
    metric = metrics().get(first.metric or "")
    if metric is not None and metric.kind != "partition":
        return first.key
    return "leiden/ari" if spec.options.protocol == "unsupervised" else "kmeans/ari"


def changed_parameters(spec: StudySpec, trial: Trial) -> dict[str, list[Any]]:
    """Return name → [default, tuned value] of the parameters that differ."""
    base = spec.space.base
    return {k: [base[k], v] for k, v in trial.params.items() if v != base[k]}


def _gains(study: FinishedStudy, results: pd.DataFrame) -> list[TuningGain]:
    directions = {objective.key: objective.maximize for objective in study.spec.options.objectives}
    gains = []
    for key in dict.fromkeys(
        [headline_metric(study.spec), *directions, "kmeans/ari", "leiden/ari"]
    ):
        default, tuned = (
            _scores_by_seed(results, study, label, key)
            for label in (study.spec.default.label, study.best_label)
        )
        gain = tuning_gain(key, default, tuned, higher_is_better=directions.get(key, True))
        if gain is not None:
            gains.append(gain)
    return gains


def _scores_by_seed(
    results: pd.DataFrame, study: FinishedStudy, label: str, key: str
) -> dict[int, float]:
    if key not in results:
        return {}
    rows = results[
        (results["method"] == label)
        & (results["dataset"] == study.spec.dataset.label)
        & (results["status"] == "done")
    ].dropna(subset=key)
    return {int(seed): float(value) for seed, value in zip(rows["seed"], rows[key], strict=True)}


def _front(study: FinishedStudy) -> list[dict[str, Any]]:
    spec = study.spec
    if len(spec.options.objectives) < 2:
        return []
    return [
        {
            "trial": trial.number,
            "values": _values(spec, trial),
            "changed": changed_parameters(spec, trial),
        }
        for trial in pareto_front(study.trials, spec.options.objectives)
    ]


def _values(spec: StudySpec, trial: Trial) -> dict[str, float]:
    names = [one.name for one in spec.options.objectives]
    return dict(zip(names, trial.values, strict=True))


def _as_json(gain: TuningGain) -> dict[str, Any]:
    """Return plain JSON types; JSON has no NaN."""
    values = asdict(gain) | {"verdict": gain.verdict}
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


def write_study_files(study: FinishedStudy, summary: dict[str, Any]) -> list[Path]:
    """Write summary, best parameters, trials and figures into the study's folder."""
    folder, spec = study.spec.folder, study.spec
    paths = [folder / "study.json", folder / "trials.csv"]
    paths[0].write_text(json.dumps(summary, indent=1), encoding="utf-8")
    _write_trials(paths[1], spec, study.trials)
    if study.best is not None:
        paths.append(folder / "best.yaml")
        comment = f"study {spec.name}, trial {study.best.number}\n{summary['statement']}"
        if summary["watermark"]:
            comment += f"\n{summary['watermark']}"
        params = {spec.default.cls.name: study.best.params}
        write_parameter_file(paths[-1], params, _search_origin([study]), comment)
    if study.figures:
        paths.append(folder / "figures.html")
        _write_figures(paths[-1], summary)
    return paths


def write_best_parameters(studies: Sequence[FinishedStudy], folder: Path) -> list[Path]:
    """Write the best parameters of all methods on a dataset into one file; returns the files."""
    by_dataset: dict[tuple[str, str], list[FinishedStudy]] = {}
    for study in studies:
        if study.best is not None:
            key = study.spec.dataset.label, study.spec.options.protocol
            by_dataset.setdefault(key, []).append(study)
    paths = []
    for (dataset, protocol), own in by_dataset.items():
        paths.append(folder / f"best-{plain_name(dataset)}-{protocol}.yaml")
        params = {study.spec.default.cls.name: study.best.params for study in own if study.best}
        comment = f"the best of each search on {dataset}, protocol {protocol}"
        write_parameter_file(paths[-1], params, _search_origin(own), comment)
    return paths


def _search_origin(studies: Sequence[FinishedStudy]) -> SearchOrigin:
    """Return the search section of the file of best parameters of studies of one dataset."""
    spec = studies[0].spec
    return SearchOrigin.model_validate({
        "protocol": spec.options.protocol,
        "dataset": spec.dataset.label,
        "counts_digest": spec.dataset.counts_digest,
        "labels_digest": spec.dataset.labels_digest,
        "trials": {study.spec.default.cls.name: len(study.trials) for study in studies},
    })  # fmt: skip


def _write_trials(path: Path, spec: StudySpec, trials: Sequence[Trial]) -> None:
    """Write one row a trial: values of the objectives, seconds, searched parameters, reason."""
    names = [objective.name for objective in spec.options.objectives]
    searched = [dimension.name for dimension in spec.space.dimensions]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["trial", "status", *names, "seconds", *searched, "reason"])
        for trial in trials:
            values: list[Any] = list(trial.values) or [""] * len(names)
            params = [trial.params[name] for name in searched]
            writer.writerow(
                [trial.number, trial.status, *values, trial.seconds, *params, trial.reason]
            )


def _write_figures(path: Path, summary: dict[str, Any]) -> None:
    """Write the figures as one page that works offline."""
    parts = [f"<h1>{escape(summary['study'])}</h1><p>{escape(summary['statement'])}</p>"]
    if summary["watermark"]:
        parts.append(f"<p><strong>{escape(summary['watermark'])}</strong></p>")
    for number, figure in enumerate(summary["figures"]):
        drawing = plotly.io.to_html(
            plotly.io.from_json(figure["json"]), include_plotlyjs=number == 0, full_html=False
        )
        parts.append(f"<h2>{escape(figure['title'])}</h2>{drawing}")
    page = "\n".join(["<!doctype html><meta charset='utf-8'>", *parts])
    path.write_text(page, encoding="utf-8")
