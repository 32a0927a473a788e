"""What searches came to, for the page and for Markdown; every number with its protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..figures.drawing import Drawing
from ..tables.labels import MAIN, label


@dataclass
class Panel:
    """One study on the page."""

    name: str
    title: str
    statement: str
    watermark: str
    facts: list[tuple[str, str]]
    changed: list[tuple[str, str, str]]
    """Parameter, default, tuned."""
    front: list[tuple[str, str, str]]
    """Trial, values, what differs from the default; empty with one objective."""
    drawings: list[Drawing]


def panels(studies: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Return one panel a study; ``studies`` are the summaries of ``bench search``."""
    return [_panel(number, study) for number, study in enumerate(studies)]


def _panel(number: int, study: Mapping[str, Any]) -> Panel:
    title = f"{study['method']} on {study['dataset']} ({study['protocol']})"
    return Panel(
        name=study["study"],
        title=title,
        statement=study["statement"],
        watermark=study["watermark"],
        facts=_facts(study),
        changed=[(k, _value(old), _value(new)) for k, (old, new) in study["changed"].items()],
        front=[
            (
                str(one["trial"]),
                ", ".join(f"{k} {v:.4g}" for k, v in one["values"].items()),
                ", ".join(f"{k}={_value(new)}" for k, (_, new) in one["changed"].items())
                or "the default",
            )
            for one in study["front"]
        ],
        drawings=[
            Drawing(
                f"study{number}-{one['key']}", one["title"],
                f"{one['title']} of the study {title}; trials.csv holds the numbers.",
                one["json"].replace("<", "\\u003c").replace(">", "\\u003e"), one["height"],
            )
            for one in study["figures"]
        ],
    )  # fmt: skip


def _facts(study: Mapping[str, Any]) -> list[tuple[str, str]]:
    counts = ", ".join(f"{n} {status}" for status, n in sorted(study["trials"].items()))
    seeds = ", ".join(map(str, study["report_seeds"]))
    facts = [
        ("protocol", study["protocol"]),
        ("objective", "; ".join(study["objectives"])),
        ("trials", counts + (f"; {study['note']}" if study["note"] else "")),
        ("sampler, pruner", f"{study['sampler']}, {study['pruner']}"),
        ("seeds", f"search {study['search_seed']}, report {seeds}"),
    ]
    return facts


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value) or "none"


def table(studies: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row a study and metric: default, tuned, gain with its 95 % interval."""
    rows = []
    for study in studies:
        for one in study["gains"]:
            rows.append(
                {
                    "dataset": study["dataset"],
                    "method": study["method"],
                    "protocol": study["protocol"] + (" ⚠" if study["watermark"] else ""),
                    "metric": label(one["key"]),
                    "default": one["default"],
                    "tuned": one["tuned"],
                    "gain": _with_sign(one["gain"], one["half_width"]),
                    "seeds": str(one["seeds"]),
                }
            )
    columns = ["dataset", "method", "protocol", "metric", "default", "tuned", "gain", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def _with_sign(gain: float, half: float | None) -> str:
    return f"{gain:+.3f}" + ("" if half is None else f" ± {half:.3f}")


def optimism(studies: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return what tuning on the scored labels adds: oracle minus holdout, by dataset and method.

    ``tuned``: the reported score of the tuned configuration (all cells against report cells);
    ``gain``: its gain over the default on the same cells, which does not depend on what cells are
    easier. Of the ARI of k-means; empty unless both protocols were run.
    """
    found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for study in studies:
        for one in study["gains"]:
            if one["key"] == MAIN:
                pair = found.setdefault((study["dataset"], study["method"]), {})
                pair[study["protocol"]] = one
    rows = []
    for (dataset, method), by in found.items():
        if {"oracle", "holdout"} <= set(by):
            row: dict[str, Any] = {"dataset": dataset, "method": method}
            for name in ("holdout", "unsupervised", "oracle"):
                row[f"tuned, {name}"] = by[name]["tuned"] if name in by else None
            for name in ("tuned", "gain"):
                row[f"oracle - holdout, {name}"] = by["oracle"][name] - by["holdout"][name]
            rows.append(row)
    return pd.DataFrame(rows)


def optimism_text(table: pd.DataFrame) -> str:
    """Return the mean optimism in a sentence."""
    tuned, gain = (table[f"oracle - holdout, {name}"] for name in ("tuned", "gain"))
    return (
        f"Optimism of oracle in {label(MAIN)}, mean over {len(table)} pairs of dataset and "
        f"method: {tuned.mean():+.3f} in the reported score, {gain.mean():+.3f} in the gain over "
        f"the default (from {gain.min():+.3f} to {gain.max():+.3f})."
    )


def sentences(studies: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what came of each search, and the warning about oracle numbers if there are any."""
    found = [f"{one['method']} on {one['dataset']}: {one['statement']}" for one in studies]
    marks = dict.fromkeys(one["watermark"] for one in studies if one["watermark"])
    return [*found, *(f"⚠ {mark}" for mark in marks)]
