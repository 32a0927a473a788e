"""The record of a result as it travels: plain values of known types, without local paths."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, replace
from pathlib import PurePath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.digests import digest
from bench.plan.job import TERMINAL, Job
from bench.store.result import Result
from bench.store.run_tags import FIELDS, read_json

from .data_files import MAX_RECORD_BYTES, InvalidFile, require_key

Row = dict[str, Any]
"""A finished job as ``ResultStore.rows`` returns it."""
MAX_THREADS = 1024
_NAME = re.compile(r"\w[\w.-]*")
_RESULT = TypeAdapter(Result)
_TIMES = ("seconds", "cpu_seconds", "peak_memory_mb")
"""Measures that differ from run to run."""


def read_record(content: bytes) -> Result:
    """Return the result in a record; raises ``InvalidFile`` unless each value has its type."""
    if len(content) > MAX_RECORD_BYTES:
        raise InvalidFile("the record of a result is too large.", code="too_large")
    try:
        values = json.loads(content)
        result = _RESULT.validate_python(values, strict=False)
    except (ValueError, RecursionError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InvalidFile(
            f"not the record of a result: {first[:150]}.", code="damaged_result"
        ) from None
    job = result.job
    for key in (job.score_key, job.fit_key, job.prepared_key):
        require_key(key)
    if job.study or not 1 <= job.threads <= MAX_THREADS or not _NAME.fullmatch(_dataset_name(job)):
        raise InvalidFile(
            "its job is none of a run: a trial, or its folder or threads are odd.",
            code="damaged_result",
        )
    if result.status not in TERMINAL:
        raise InvalidFile(f"unknown status {result.status[:40]!r}.", code="damaged_result")
    missing = [name for name in _FACTS if name not in result.job.facts]
    if missing:
        raise InvalidFile(f"its record lacks {', '.join(missing)}.", code="damaged_result")
    return result


_FACTS = (
    "modality", "n_cells", "n_features", "n_types", "counts_digest", "labels_digest",
    "batch_digest", "train_digest", "proteins_digest", "rare_type", "source", "packages",
)  # fmt: skip


def _dataset_name(job: Job) -> str:
    """Return the name of the cached dataset of a job."""
    return PurePath(job.dataset_folder).name


def write_record(result: Result) -> bytes:
    """Return what :func:`read_record` reads; equal results give equal bytes."""
    return json.dumps(asdict(result), sort_keys=True, separators=(",", ":")).encode()


def present_result(result: Result, row: Row) -> Result:
    """Return the result of a record with the numbers that the database has now.

    They are others if the fit was scored again since. Raises ``InvalidFile`` if record and row are
    of different fits.
    """
    if result.job.fit_key != row["fit_key"]:
        raise InvalidFile(
            "its record is of another fit than the row in the database.", code="other_fit"
        )
    values = row_values(row)
    return replace(
        result,
        job=replace(result.job, score_key=require_key(row["score_key"])),
        status=row["status"],
        session="",
        facts=result.facts | {"cpu": row["cpu"]},
        measures={k: v for k, v in values.items() if k in result.measures},
        metrics={k: v for k, v in values.items() if k not in result.measures},
        missing={str(k): str(v) for k, v in read_json(row["missing"]).items()} or result.missing,
        stamps={str(k): str(v) for k, v in read_json(row["stamps"]).items()} or result.stamps,
        provenance={k: row[k] for k in ("git_commit", "versions", "rescored") if row[k]},
    )


def without_local_paths(result: Result) -> Result:
    """Return a result in which paths of this machine are names only."""
    job = result.job
    facts = job.facts | {"data_file": PurePath(job.facts.get("data_file", "")).name}
    origin = PurePath(job.origin).name if job.origin.endswith(".py") else job.origin
    return replace(
        result, job=replace(job, origin=origin, dataset_folder=_dataset_name(job), facts=facts)
    )


def result_row(result: Result) -> Row:
    """Return the row that a store would have of a result."""
    values = result.measures | result.metrics
    row: Row = {name: float(value) for name, value in values.items() if math.isfinite(value)}
    row |= {name: field.kind(str(field.get(result))) for name, field in FIELDS.items()}
    return row | {"started": int(1000 * result.started)}


def row_name(row: Row) -> str:
    """Return method, dataset and seed of a row in one text."""
    return f"{row['method']} · {row['dataset']} · seed {row['seed']}"


def row_values(row: Row) -> dict[str, float]:
    """Return the scores and measures of a row."""
    return {k: v for k, v in row.items() if k not in FIELDS and isinstance(v, float)}


def reproducible_values(row: Row) -> dict[str, float]:
    """Return the scores and measures of a row that a repetition gives again."""
    return {name: value for name, value in row_values(row).items() if name not in _TIMES}


def row_digest(row: Row) -> str:
    """Return a digest of all that a row claims: numbers, status, machine and versions."""
    claims = {name: row[name] for name in ("status", "cpu", "versions", "fit_key")}
    return digest(claims | {"values": row_values(row), "stamps": read_json(row["stamps"])})
