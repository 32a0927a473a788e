"""What a run in the store holds: the tags of a job, and the row of a table made from them."""

from __future__ import annotations

import json
from typing import Any

from bench.provenance import git_commit, package_versions
from bench.scoring.holdout import ORACLE
from bench.store.result import Result

TAG_CHARACTERS = 4000
_TEXT = (
    "session_id", "method", "method_name", "family", "dataset", "modality", "protocol", "profile",
    "status", "reason", "log_tail", "fit_key", "score_key", "device", "uses", "git_commit",
    "versions", "missing", "notes", "source", "stamps", "rescored", "rare_type",
)  # fmt: skip
_WHOLE = ("seed", "threads", "n_cells", "n_features", "n_types")


def read_json(text: str | None) -> dict[str, Any]:
    """Return a tag that holds a JSON object; empty if it is absent or was cut."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def common_tags() -> dict[str, str]:
    """Return what every run carries: the commit and the versions of libraries."""
    return {"git_commit": git_commit(), "versions": json.dumps(package_versions())}


def job_tags(result: Result) -> dict[str, str]:
    """Return the tags of a job's run; long texts keep their end."""
    job = result.job
    tags = {
        "kind": "trial" if job.study else "job",
        "method": job.method,
        "method_name": job.method_name,
        "family": job.family,
        "dataset": job.dataset,
        "modality": job.facts["modality"],
        "seed": str(job.seed),
        "protocol": job.protocol,
        "profile": job.profile,
        "status": result.status,
        "reason": result.reason,
        "fit_key": job.fit_key,
        "score_key": job.score_key,
        "device": job.device,
        "threads": str(job.threads),
        "timeout": str(job.timeout),
        "memory": str(job.memory),
        "uses": ",".join(job.uses),
        "n_cells": str(job.facts["n_cells"]),
        "n_features": str(job.facts["n_features"]),
        "n_types": str(job.facts["n_types"]),
        "rare_type": job.facts.get("rare_type", ""),
        "source": job.facts["source"],
        "stamps": json.dumps(result.stamps),
        "missing": json.dumps(result.missing),
        "notes": json.dumps(result.notes | {k: str(v) for k, v in result.facts.items()}),
        "mlflow.source.name": "bench",
        **common_tags(),
    }
    if result.session:
        tags["mlflow.parentRunId"] = result.session
        tags["session_id"] = result.session
    if job.study:
        tags["mlflow.parentRunId"] = job.study["run"]
        tags |= {"study": job.study["name"], "trial": str(job.study["trial"]), "part": job.part}
    if job.protocol == "oracle":
        tags["watermark"] = ORACLE
    if result.log_tail:
        tags["log_tail"] = result.log_tail
        tags["mlflow.note.content"] = f"{result.status}: {result.reason}"
    return cut(tags)


def cut(tags: dict[str, str]) -> dict[str, str]:
    """Keep the end of long texts; the full ones are in the artifact result.json."""
    return {name: value[-TAG_CHARACTERS:] for name, value in tags.items()}


def _digests(run: Any) -> dict[str, str]:
    """Return what identifies counts and labels of the run's dataset; empty where not recorded."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    if not inputs:
        return {"counts_digest": "", "labels_digest": ""}
    dataset = inputs[0].dataset
    labels = read_json(dataset.source).get("labels", "")
    return {"counts_digest": dataset.digest, "labels_digest": str(labels)}


def row_of(run: Any, folder: str | None) -> dict[str, Any]:
    """Return the columns that a job's run has in a table; ``folder`` holds its artifacts."""
    tags: dict[str, str] = run.data.tags
    row: dict[str, Any] = {"run_id": run.info.run_id, "experiment_id": run.info.experiment_id}
    row |= {name: tags.get(name, "") for name in _TEXT}
    row |= {name: int(tags[name]) for name in _WHOLE}
    row["started"] = run.info.start_time
    row["params"] = json.dumps(
        {k: v for k, v in run.data.params.items() if not k.startswith("recipe.")}
    )
    row["artifacts"] = folder
    row |= _digests(run)
    gone = read_json(tags.get("missing"))  # a newer version may not be defined where an older was
    row |= {
        name: value
        for name, value in run.data.metrics.items()
        if not name.startswith("epoch/") and name not in gone
    }
    return row
