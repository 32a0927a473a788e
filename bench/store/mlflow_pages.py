"""What the pages of MLflow show of a store: tables of scores, and saved views of its runs.

A saved view is a tag of the experiment. MLflow lists it under *Saved views* above the runs, and
opens it by the address ``?viewStateShareKey=NAME`` (read from MLflow 3.17).
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .result import Result

SCORES_FILE = "scores.json"
"""Artifact of a job with its scores as a table."""
VIEW_TAG = "mlflow.sharedViewState."
"""Start of the name of a view's tag; the name of the view follows."""
JOBS_VIEW = "jobs"
JOBS_FILTER = "tags.kind = 'job' and tags.family != 'control'"
_CREATED = 1_767_225_600_000
"""Milliseconds since the epoch that MLflow shows as the time of a view."""
_SCORES = (
    "kmeans/ari", "kmeans/nmi", "leiden/ari", "leiden/nmi", "embedding/silhouette_types",
    "seconds", "peak_memory_mb",
)  # fmt: skip
_NAMES = ("method", "dataset", "seed")


def _columns(tags: Sequence[str], metrics: Sequence[str] = _SCORES) -> list[str]:
    """Return the columns of a view as MLflow names them."""
    return [*(f"tags.`{name}`" for name in tags), *(f"metrics.`{name}`" for name in metrics)]


_BY_SCORE = {"orderByKey": "metrics.`kmeans/ari`", "orderByAsc": False}
_VIEWS: dict[str, tuple[str, dict[str, Any]]] = {
    JOBS_VIEW: (
        "Jobs by ARI, without controls",
        {
            "searchFilter": JOBS_FILTER,
            "selectedColumns": _columns(_NAMES),
            **_BY_SCORE,
        },
    ),
    "means": (
        "Means of the seeds, by method and dataset",
        {
            "searchFilter": "tags.kind = 'job' and tags.status = 'done'",
            "selectedColumns": _columns(()),
            "groupBy": {
                "aggregateFunction": "average",
                "groupByKeys": [
                    {"mode": "tag", "groupByData": name} for name in ("dataset", "method")
                ],
            },
            **_BY_SCORE,
        },
    ),
    "controls": (
        "Controls",
        {
            "searchFilter": "tags.kind = 'job' and tags.family = 'control'",
            "selectedColumns": _columns(_NAMES),
            **_BY_SCORE,
        },
    ),
    "failed": (
        "Jobs that failed, with the reason",
        {
            "searchFilter": "tags.kind = 'job' and attributes.status = 'FAILED'",
            "selectedColumns": _columns((*_NAMES, "status", "reason"), ()),
        },
    ),
    "sessions": (
        "Sessions, with their reports",
        {
            "searchFilter": "tags.kind = 'session'",
            "selectedColumns": _columns(("profile", "host"), ("jobs/done", "jobs/failed")),
        },
    ),
    "trials": (
        "Trials of searches",
        {
            "searchFilter": "tags.kind = 'trial'",
            "selectedColumns": _columns(("study", "trial", "status")),
            **_BY_SCORE,
        },
    ),
    "tree": ("All runs as a tree", {"selectedColumns": _columns(("kind", "status"))}),
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
    return (
        f"#/experiments/{experiment_id}/runs?workflowType=machine_learning"
        f"&viewStateShareKey={view}"
    )


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
        for name, value in values.items()
        if math.isfinite(value) and name not in result.missing
    ]
    return rows + [{"score": k, "value": None, "missing": v} for k, v in result.missing.items()]
