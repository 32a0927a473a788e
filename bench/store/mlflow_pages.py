"""What the pages of MLflow show of a store: tables of scores, and saved views of its runs.

A saved view is a tag of the experiment. MLflow lists it under *Saved views* above the runs, and
opens it by the address ``?viewStateShareKey=NAME`` (read from MLflow 3.17).
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from bench.scoring.score_names import MAIN_SCORE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .result import Result

SCORES_FILE = "scores.json"
"""Artifact of a job with its scores as a table."""
VIEW_TAG = "mlflow.sharedViewState."
"""Start of the name of a view's tag; the name of the view follows."""
JOBS_VIEW = "jobs"
_TRAINING = "workflowType=machine_learning"
"""Without it MLflow 3.17 shows what it has for traces of language models."""
JOBS_FILTER = "tags.kind = 'job' and tags.family != 'control'"
_CREATED = 1_767_225_600_000
"""Milliseconds since the epoch that MLflow shows as the time of a view."""
_SCORES = (
    "kmeans/ari", "kmeans/nmi", "leiden/ari", "leiden/nmi", "seconds", "peak_memory_mb",
)  # fmt: skip
_NAMES = ("method", "dataset", "seed", "protocol")
_WIDTHS = {"method": 160, "dataset": 160, "seed": 60, "reason": 500, "study": 160, "host": 160}
"""Of columns, in pixels."""


def _columns(tags: Sequence[str], metrics: Sequence[str] = _SCORES) -> dict[str, Any]:
    """Return the columns of a view, tags before metrics, as MLflow names them."""
    widths = {f"tags.`{name}`": _WIDTHS.get(name, 90) for name in tags}
    widths |= {f"metrics.`{name}`": 100 for name in metrics}
    return {"selectedColumns": [*widths], "columnOrder": [*widths], "columnWidths": widths}


_BY_SCORE = {"orderByKey": f"metrics.`{MAIN_SCORE}`", "orderByAsc": False}
# MLflow folds runs under their sessions where they are in the order of time.
_BY_NAME = {"orderByKey": "tags.`mlflow.runName`", "orderByAsc": True}
_VIEWS: dict[str, tuple[str, dict[str, Any]]] = {
    JOBS_VIEW: (
        "Jobs by ARI, without controls",
        {
            "searchFilter": JOBS_FILTER,
            **_columns(_NAMES),
            **_BY_SCORE,
        },
    ),
    "means": (
        "Means of the seeds, by method and dataset",
        {
            "searchFilter": "tags.kind = 'job' and tags.status = 'done'",
            **_columns(()),
            "groupBy": {
                "aggregateFunction": "average",
                "groupByKeys": [
                    {"mode": "tag", "groupByData": name}
                    for name in ("dataset", "method", "protocol")
                ],
            },
            **_BY_SCORE,
        },
    ),
    "controls": (
        "Controls",
        {
            "searchFilter": "tags.kind = 'job' and tags.family = 'control'",
            **_columns(_NAMES),
            **_BY_SCORE,
        },
    ),
    "failed": (
        "Jobs that failed, with the reason",
        {
            "searchFilter": "tags.kind = 'job' and attributes.status = 'FAILED'",
            **_columns((*_NAMES, "status", "reason"), ()),
            **_BY_NAME,
        },
    ),
    "sessions": (
        "Sessions, with their reports",
        {
            "searchFilter": "tags.kind = 'session'",
            **_columns(("profile", "host"), ("jobs/done", "jobs/failed")),
        },
    ),
    "trials": (
        "Trials of searches",
        {
            "searchFilter": "tags.kind = 'trial'",
            **_columns(("trial", "study")),
            **_BY_SCORE,
        },
    ),
    "tree": ("All runs as a tree", _columns(("kind", "status"))),
}  # fmt: skip


def view_tags() -> dict[str, str]:
    """Return the saved views as tags of an experiment."""
    tags = {}
    for key, (name, state) in _VIEWS.items():
        content = {"name": name, "createdAt": _CREATED, "state": json.dumps(state)}
        tags[VIEW_TAG + key] = json.dumps(content)
    return tags


def view_address(experiment_id: str | int, view: str = JOBS_VIEW) -> str:
    """Return the address of a saved view behind that of the server."""
    return f"#/experiments/{experiment_id}/runs?{_TRAINING}&viewStateShareKey={view}"


def run_address(experiment_id: str | int, run_id: str) -> str:
    """Return the address of a run behind that of the server."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{_TRAINING}"


def table_tag(files: Sequence[str]) -> dict[str, str]:
    """Return the tag by which MLflow shows artifacts as tables."""
    return {"mlflow.loggedArtifacts": json.dumps([{"path": f, "type": "table"} for f in files])}


def table_text(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Return rows with equal keys as MLflow reads a table."""
    columns = list(rows[0]) if rows else []
    return json.dumps({"columns": columns, "data": [[row[c] for c in columns] for row in rows]})


def score_rows(result: Result) -> list[dict[str, Any]]:
    """Return the scores and measures of a job, one a row, and why one is missing."""
    values = result.metrics | result.measures
    rows = [
        {"score": name, "value": round(float(value), 4), "missing": ""}
        for name, value in sorted(values.items(), key=lambda one: (one[0] != MAIN_SCORE, one[0]))
        if math.isfinite(value) and name not in result.missing
    ]
    return rows + [{"score": k, "value": None, "missing": v} for k, v in result.missing.items()]
