"""Results of parameter searches, for the page and for Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..figures.drawing import Drawing
from ..figures.study_plots import study_figure
from ..tables.labels import MAIN_METRIC, label

Study = Mapping[str, Any]
"""The ``study.json`` of ``bench search``."""
_GAIN_COLUMNS = ["dataset", "method", "protocol", "metric", "default", "tuned", "gain", "seeds"]


@dataclass
class StudySection:
    """One search on the page."""

    title: str
    statement: str
    watermark: str
    facts: list[tuple[str, str]]
    changed: list[tuple[str, str, str]]
    """Parameter, default, tuned value."""
    front: list[tuple[str, str, str]]
    """Trial, values, differences from the default; empty with one objective."""
    drawings: list[Drawing]


def study_sections(studies: Sequence[Study]) -> list[StudySection]:
    """Return one section a search."""
    return [_study_section(number, study) for number, study in enumerate(studies)]


def _study_section(number: int, study: Study) -> StudySection:
    title = f"{study['method']} on {study['dataset']} ({study['protocol']})"
    changed = [
        (name, _value_text(default), _value_text(tuned))
        for name, (default, tuned) in study["changed"].items()
    ]
    drawings = []
    for figure in study["figures"]:
        alt = f"{figure['title']} of the study {title}; trials.csv holds the numbers"
        if html := study_figure(figure["json"], alt):
            key = f"study{number}-{figure['key']}"
            drawings.append(Drawing(key, figure["title"], alt, {"": html}))
    return StudySection(
        title=title,
        statement=study["statement"],
        watermark=study["watermark"],
        facts=_facts(study),
        changed=changed,
        front=[_front_row(trial) for trial in study["front"]],
        drawings=drawings,
    )


def _front_row(trial: Mapping[str, Any]) -> tuple[str, str, str]:
    values = ", ".join(f"{name} {value:.4g}" for name, value in trial["values"].items())
    changed = [f"{name}={_value_text(value)}" for name, (_, value) in trial["changed"].items()]
    return str(trial["trial"]), values, ", ".join(changed) or "the default"


def _facts(study: Study) -> list[tuple[str, str]]:
    counts = ", ".join(f"{n} {status}" for status, n in sorted(study["trials"].items()))
    seeds = ", ".join(map(str, study["report_seeds"]))
    return [
        ("protocol", study["protocol"]),
        ("objective", "; ".join(study["objectives"])),
        ("trials", counts + (f"; {study['note']}" if study["note"] else "")),
        ("sampler, pruner", f"{study['sampler']}, {study['pruner']}"),
        ("seeds", f"search {study['search_seed']}, report {seeds}"),
    ]


def _value_text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value) or "none"


def tuning_sentence(studies: Sequence[Study]) -> str:
    """Return what tuning gained in the main metric of each search, in one sentence."""
    if not studies:
        return ""
    texts = []
    for study in studies:
        gain = next((g for g in study["gains"] if g["key"] == study["headline"]), None)
        result = "no result"
        if gain is not None:
            value = _gain_text(gain["gain"], gain["half_width"])
            result = f"{value} in {label(gain['key'])}, {gain['verdict']}"
        protocol = f" ({study['protocol']}{' ⚠' if study['watermark'] else ''})"
        texts.append(f"{study['method']} on {study['dataset']}{protocol}: {result}")
    return f"Tuned against default parameters, on other seeds: {'; '.join(texts)}."


def gain_table(studies: Sequence[Study]) -> pd.DataFrame:
    """Return one row a search and metric: default, tuned, gain with its 95 % interval."""
    rows = [
        {
            "dataset": study["dataset"],
            "method": study["method"],
            "protocol": study["protocol"] + (" ⚠" if study["watermark"] else ""),
            "metric": label(gain["key"]),
            "default": gain["default"],
            "tuned": gain["tuned"],
            "gain": _gain_text(gain["gain"], gain["half_width"]),
            "seeds": str(gain["seeds"]),
        }
        for study in studies
        for gain in study["gains"]
    ]
    return pd.DataFrame(rows, columns=_GAIN_COLUMNS)


def _gain_text(gain: float, half_width: float | None) -> str:
    return f"{gain:+.3f}" + ("" if half_width is None else f" ± {half_width:.3f}")


def oracle_optimism(studies: Sequence[Study]) -> pd.DataFrame:
    """Return how much tuning on the scored labels adds, by dataset and method.

    That is oracle minus holdout in the main metric: ``tuned`` compares the reported scores (all
    cells against report cells), ``gain`` the gains over the default on the same cells, where it
    does not matter how easy the cells are. Empty unless both protocols were run.
    """
    gains: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for study in studies:
        for gain in study["gains"]:
            if gain["key"] == MAIN_METRIC:
                by_protocol = gains.setdefault((study["dataset"], study["method"]), {})
                by_protocol[study["protocol"]] = gain
    rows = []
    for (dataset, method), by_protocol in gains.items():
        if {"oracle", "holdout"} <= set(by_protocol):
            row: dict[str, Any] = {"dataset": dataset, "method": method}
            for name in ("holdout", "unsupervised", "oracle"):
                tuned = by_protocol[name]["tuned"] if name in by_protocol else None
                row[f"tuned, {name}"] = tuned
            for name in ("tuned", "gain"):
                difference = by_protocol["oracle"][name] - by_protocol["holdout"][name]
                row[f"oracle - holdout, {name}"] = difference
            rows.append(row)
    return pd.DataFrame(rows)


def optimism_sentence(optimism: pd.DataFrame) -> str:
    """Return the mean optimism in a sentence."""
    tuned, gain = (optimism[f"oracle - holdout, {name}"] for name in ("tuned", "gain"))
    return (
        f"Optimism of oracle in {label(MAIN_METRIC)}, mean over {len(optimism)} pairs of dataset "
        f"and method: {tuned.mean():+.3f} in the reported score, {gain.mean():+.3f} in the gain "
        f"over the default (from {gain.min():+.3f} to {gain.max():+.3f})."
    )


def study_sentences(studies: Sequence[Study]) -> list[str]:
    """Return the result of each search, and a warning about oracle numbers if there are any."""
    results = [
        f"{study['method']} on {study['dataset']}: {study['statement']}" for study in studies
    ]
    marks = dict.fromkeys(study["watermark"] for study in studies if study["watermark"])
    return [*results, *(f"⚠ {mark}" for mark in marks)]
