"""What the run of a job records as tags, and the row of a table of results made from them.

``FIELDS`` is the one list of these values: name, where a result has it, type in a table. Those
that only programs read (``KEYS``) are in one tag ``keys``, as JSON; each may also be a tag of its
own.
"""

from __future__ import annotations

import json
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.provenance import git_commit, package_versions
from bench.scoring.holdout import ORACLE
from bench.scoring.score_names import BATCH_TYPES_V

from .mlflow_pages import SCORES_FILE, table_tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from .result import Result
    from .stored_run import StoredRun

TAG_CHARACTERS = 4000
_EMPTY = ("", "{}")


class RunField(NamedTuple):
    """A value of a job's run."""

    get: Callable[[Result], Any]
    kind: Callable[[str], Any] = str
    """Makes the value of a table from the tag, which is empty text if it is absent."""


def _fact(name: str) -> Callable[[Result], Any]:
    return lambda result: result.job.facts.get(name, "")


def _digest(name: str) -> Callable[[Result], str]:
    """Return the digest of a part of the dataset; ``none`` if the dataset lacks that part."""
    return lambda result: result.job.facts[name] or "none"


DIGESTS = ("counts_digest", "labels_digest", "batch_digest", "train_digest", "proteins_digest")
"""Digests of the parts of a dataset: counts, types, batches, training cells and proteins."""
KEYS = ("session_id", "fit_key", *DIGESTS, "source", "batch_types_v")
FIELDS = {
    "session_id": RunField(attrgetter("session")),
    "method": RunField(attrgetter("job.method")),
    "method_name": RunField(attrgetter("job.method_name")),
    "family": RunField(attrgetter("job.family")),
    "dataset": RunField(attrgetter("job.dataset")),
    "modality": RunField(_fact("modality")),
    "seed": RunField(attrgetter("job.seed"), int),
    "protocol": RunField(attrgetter("job.protocol")),
    "profile": RunField(attrgetter("job.profile")),
    "status": RunField(attrgetter("status")),
    "reason": RunField(attrgetter("reason")),
    "log_tail": RunField(attrgetter("log_tail")),
    "fit_key": RunField(attrgetter("job.fit_key")),
    "score_key": RunField(attrgetter("job.score_key")),
    "device": RunField(attrgetter("job.device")),
    "threads": RunField(attrgetter("job.threads"), int),
    "timeout": RunField(attrgetter("job.timeout"), float),
    "memory": RunField(attrgetter("job.memory"), float),
    "uses": RunField(lambda result: ",".join(result.job.uses)),
    "n_cells": RunField(_fact("n_cells"), int),
    "n_features": RunField(_fact("n_features"), int),
    "n_types": RunField(_fact("n_types"), int),
    "rare_type": RunField(_fact("rare_type")),
    **{name: RunField(_digest(name)) for name in DIGESTS},
    "source": RunField(_fact("source")),
    "n_trials": RunField(_fact("n_trials")),
    "batch_types_v": RunField(lambda result: result.facts.get(BATCH_TYPES_V, "")),
    "cpu": RunField(lambda result: result.facts.get("cpu", "")),
    "files": RunField(lambda result: result.facts.get("files", "")),
    "stamps": RunField(lambda result: json.dumps(result.stamps)),
    "missing": RunField(lambda result: json.dumps(result.missing)),
    "notes": RunField(
        lambda result: json.dumps(result.notes | {k: str(v) for k, v in result.facts.items()})
    ),
    # Written when a fit is scored again.
    "rescored": RunField(lambda result: result.provenance.get("rescored", "")),
    "git_commit": RunField(lambda result: result.provenance.get("git_commit") or git_commit()),
    "versions": RunField(
        lambda result: result.provenance.get("versions") or json.dumps(package_versions())
    ),
}


def read_json(text: str | None) -> dict[str, Any]:
    """Return a tag that holds a JSON object; empty if it is absent or was truncated."""
    try:
        content = json.loads(text or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def common_tags() -> dict[str, str]:
    """Return the tags of every run: the commit and the versions of libraries."""
    return {"git_commit": git_commit(), "versions": json.dumps(package_versions())}


def job_tags(result: Result) -> dict[str, str]:
    """Return the tags of a job's run."""
    job = result.job
    values = {name: str(field.get(result)) for name, field in FIELDS.items()}
    tags = {name: text for name, text in values.items() if text not in _EMPTY}
    tags["keys"] = json.dumps({name: tags.pop(name) for name in KEYS if name in tags})
    tags |= {"kind": "trial" if job.study else "job", "mlflow.source.name": "bench"}
    if result.session:
        tags["mlflow.parentRunId"] = result.session
    if job.study:
        tags["mlflow.parentRunId"] = job.study["run"]
        tags |= {"study": job.study["name"], "trial": str(job.study["trial"]), "part": job.part}
    if job.protocol == "oracle":
        tags["watermark"] = ORACLE
    if result.log_tail:
        tags["mlflow.note.content"] = f"{result.status}: {result.reason}"
    if result.metrics or result.measures:
        tags |= table_tag([SCORES_FILE])
    return truncate_tags(tags)


def truncate_tags(tags: dict[str, str]) -> dict[str, str]:
    """Keep the end of long texts; the artifact ``result.json`` has them whole."""
    return {name: value[-TAG_CHARACTERS:] for name, value in tags.items()}


def table_row(run: StoredRun) -> dict[str, Any]:
    """Return the row of a job's run in a table of results, without the folder of its artifacts."""
    row: dict[str, Any] = {"run_id": run.run_id, "experiment_id": run.experiment_id}
    tags = {**run.tags, **read_json(run.tags.get("keys"))}
    row |= {name: FIELDS[name].kind(tags.get(name, "")) for name in FIELDS}
    row["started"] = run.started
    row["params"] = json.dumps(
        {k: v for k, v in run.params.items() if not k.startswith("recipe.")}
    )
    # A score of an older version of a metric may be undefined in a newer one.
    undefined = read_json(run.tags.get("missing"))
    return row | {name: value for name, value in run.metrics.items() if name not in undefined}
