"""The MLflow store: the record of finished jobs. The only file that imports MLflow.

A job is done if and only if there is a run of kind ``job`` with its score key and a terminal
status. Only the driver writes, under a lock in the results folder.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import psutil
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from bench.digests import digest
from bench.errors import StoreError
from bench.plan.job import FAILURES
from bench.scoring.score_names import key_part

from .relocate import renew_addresses
from .result import SCORING_PREFIX, InvalidResult, Result
from .run_tags import (
    DIGESTS,
    TAG_CHARACTERS,
    common_tags,
    job_tags,
    read_field,
    read_json,
    table_row,
    truncate_tags,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.settings import Settings

_PAGE = 1000
_BATCH = 900


@dataclass(frozen=True)
class StoredJob:
    """How a job of the store ended, and under which limits."""

    run_id: str
    status: str
    timeout: float
    memory: float
    reason: str = ""
    values: dict[str, float] = field(default_factory=dict)
    """Metrics and measures."""


class Tracker:
    """Read and write one experiment; ``create=False`` raises ``StoreError`` if there is none."""

    def __init__(self, settings: Settings, *, create: bool = True) -> None:
        self._settings = settings
        local = not settings.tracking_uri
        results = _make_folder(settings.results)
        self.uri = settings.tracking_uri or f"sqlite:///{settings.database.resolve()}"
        self.lock = FileLock(results / ".commit.lock", thread_local=False)
        with self.lock:
            if local and settings.database.is_file():
                renew_addresses(settings.database, results)
            logging.getLogger("alembic").setLevel(logging.ERROR)
            try:
                self._client = MlflowClient(tracking_uri=self.uri)
                self.experiment_id = self._open_experiment(create=create)
            except StoreError:
                raise
            except Exception as error:
                raise StoreError(
                    f"the MLflow store {self.uri} cannot be used: {error}", code="no_answer"
                ) from None

    def _open_experiment(self, *, create: bool) -> str:
        """Return the id of the experiment, created if it does not exist."""
        name = self._settings.experiment
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise StoreError(
                f"experiment '{name}' was deleted in MLflow; restore it or pass another "
                "--experiment.",
                code="deleted_experiment",
            )
        if experiment is not None:
            return str(experiment.experiment_id)
        if not create:
            names = sorted(other.name for other in self._client.search_experiments())
            raise StoreError(
                f"{self.uri}: no experiment '{name}'; there are: {', '.join(names)}.",
                code="unknown_name",
            )
        artifacts = (self._settings.results.resolve() / "artifacts").as_uri()
        experiment_id = self._client.create_experiment(
            name,
            artifact_location=None if self._settings.tracking_uri else artifacts,
            # The UI opens on its page of model training instead of that of language models.
            tags={"mlflow.experimentKind": "custom_model_development"},
        )
        return str(experiment_id)

    # -- reading ---------------------------------------------------------------------------

    def _search(self, condition: str) -> list[Any]:
        """Return the runs that match, oldest first."""
        runs: list[Any] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], filter_string=condition, max_results=_PAGE,
                order_by=["attributes.start_time ASC"], page_token=token,
            )  # fmt: skip
            runs += page
            token = page.token
            if not token:
                return runs

    def _finished_runs(self, condition: str) -> list[Any]:
        """Return the runs of finished jobs, oldest first, without superseded ones."""
        runs = self._search(f"{condition} and attributes.status != 'RUNNING'")
        return [run for run in runs if "superseded_by" not in run.data.tags]

    def stored_jobs(self) -> dict[str, StoredJob]:
        """Return the finished jobs by score key, without trials of searches."""
        runs = self._finished_runs("tags.kind = 'job'")
        return {run.data.tags["score_key"]: _stored_job(run) for run in runs}

    def find(self, score_key: str) -> StoredJob | None:
        """Return the finished job with a score key, if there is one."""
        runs = self._finished_runs(f"tags.score_key = '{score_key}'")
        return _stored_job(runs[-1]) if runs else None

    def fits(self) -> dict[str, Path]:
        """Return the artifact folders of finished fits on this machine, by fit key.

        A fit whose scores failed is among them, since it need not be repeated; so are trials.
        """
        folders = {}
        for run in self._finished_runs("tags.score_key != ''"):
            folder, tags = self.artifact_folder(run), run.data.tags
            fitted = tags["status"] == "done" or tags.get("reason", "").startswith(SCORING_PREFIX)
            if fitted and folder is not None:
                folders[tags["fit_key"]] = Path(folder)
        return folders

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat dictionary per finished job (see ``bench.store.results_table``)."""
        commands = {
            run.info.run_id: run.data.tags["command"]
            for run in self._search("tags.kind='session'")
        }
        return [
            table_row(run, self.artifact_folder(run))
            | {"command": commands.get(run.data.tags.get("session_id", ""), "")}
            for run in self._finished_runs("tags.kind = 'job'")
        ]

    def curves(self, run_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return the epoch curves of runs, an entry with run_id, name, step and value a point."""
        points = []
        for run_id in run_ids:
            for key in self._client.get_run(run_id).data.metrics:
                if key.startswith("epoch/"):
                    name = key.removeprefix("epoch/")
                    points += [
                        {"run_id": run_id, "name": name, "step": point.step, "value": point.value}
                        for point in self._client.get_metric_history(run_id, key)
                    ]
        return points

    def artifact_folder(self, run: Any) -> str | None:
        """Return the local folder of a run's artifacts, if they are on this machine."""
        parsed = urlparse(run.info.artifact_uri)
        if parsed.scheme not in ("", "file"):
            return None
        recorded = Path(unquote(parsed.path))
        beside = self._settings.results / "artifacts" / run.info.run_id / "artifacts"
        folder = next((path for path in (recorded, beside) if path.is_dir()), None)
        return None if folder is None else str(folder.resolve())

    # -- sessions --------------------------------------------------------------------------

    def start_session(self, command: str, tags: dict[str, str]) -> str:
        """Create the parent run of the jobs of one command; returns its id."""
        self._end_dead_sessions()
        name = time.strftime("session %Y-%m-%d %H:%M:%S")
        run = self._client.create_run(
            self.experiment_id,
            run_name=name,
            tags={
                "kind": "session",
                "command": command[:TAG_CHARACTERS],
                "host": platform.node(),
                "pid": str(os.getpid()),
                "mlflow.note.content": f"`{command}`",
                **common_tags(),
                **tags,
            },
        )
        return str(run.info.run_id)

    def end_session(self, session: str, status: str, counts: dict[str, int], plan: Path) -> None:
        """Close a session with the counts of its jobs by status."""
        metrics = _metrics({f"jobs/{name}": number for name, number in counts.items()})
        self._client.log_batch(session, metrics=metrics)
        if plan.is_file():
            self._client.log_artifact(session, str(plan))
        self._client.set_terminated(session, status)

    def _end_dead_sessions(self) -> None:
        for run in self._search("tags.kind = 'session' and attributes.status = 'RUNNING'"):
            tags = run.data.tags
            if tags.get("host") == platform.node() and not psutil.pid_exists(int(tags["pid"])):
                self._client.set_tag(run.info.run_id, "note", "its process was killed")
                self._client.set_terminated(run.info.run_id, "KILLED")

    # -- studies ---------------------------------------------------------------------------

    def open_study(self, name: str, session: str, tags: dict[str, str]) -> str:
        """Return the id of the parent run of a study's trials, created if it does not exist."""
        runs = self._search(f"tags.kind = 'study' and tags.study = '{name}'")
        if runs:
            run_id = str(runs[0].info.run_id)
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        all_tags = common_tags() | tags
        all_tags |= {"kind": "study", "study": name, "mlflow.parentRunId": session}
        run = self._client.create_run(
            self.experiment_id, run_name=f"study {name}", tags=truncate_tags(all_tags)
        )
        return str(run.info.run_id)

    def close_study(
        self, run_id: str, status: str, values: dict[str, float], note: str, files: list[Path]
    ) -> None:
        """End a study's run until it is opened again, with its values, a note and files."""
        self._client.log_batch(run_id, metrics=_metrics(values))
        if note:
            self._client.set_tag(run_id, "mlflow.note.content", note[:TAG_CHARACTERS])
        for path in files:
            self._client.log_artifact(run_id, str(path))
        self._client.set_terminated(run_id, status)

    # -- committing ------------------------------------------------------------------------

    def commit(self, folder: Path) -> str | None:
        """Write a spooled result into the store and remove it from the spool.

        Returns the run's id, or ``None`` if another driver has committed it already. Raises
        ``InvalidResult`` for a result that cannot be read or that MLflow refuses.
        """
        with self.lock:
            if not folder.is_dir():
                return None
            try:
                result = Result.read(folder)
            except FileNotFoundError as error:
                raise InvalidResult(
                    f"{folder} is no result: {error.strerror}: result.json", code="damaged_result"
                ) from None
            key = result.job.score_key
            self._delete_unfinished(key)
            before = self.find(key)
            if before is not None and before.status == "done":
                shutil.rmtree(folder)
                return None
            try:
                run_id = self._write(result, folder)
            except MlflowException as error:
                if error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
                self._delete_unfinished(key)
                raise InvalidResult(
                    " ".join(str(error).split())[:500], code="refused_by_mlflow"
                ) from None
            if before is not None:
                self._client.set_tag(before.run_id, "superseded_by", run_id)
            shutil.rmtree(folder)
            return run_id

    def _delete_unfinished(self, score_key: str) -> None:
        """Delete runs of a job that a killed driver has not finished writing."""
        condition = f"tags.score_key = '{score_key}' and attributes.status = 'RUNNING'"
        for run in self._search(condition):
            self._client.delete_run(run.info.run_id)

    def _write(self, result: Result, folder: Path) -> str:
        job = result.job
        run = self._client.create_run(
            self.experiment_id,
            start_time=int(result.started * 1000),
            run_name=job.name,
            tags=job_tags(result),
        )
        run_id = str(run.info.run_id)
        now = int(result.ended * 1000)
        metrics = _metrics(result.measures | result.metrics, now)
        taken: set[str] = set()
        for name, (steps, curve) in result.curves.items():
            taken.add(key := key_part(name, taken, other="curve"))
            metrics += [
                Metric(f"epoch/{key}", float(value), now, int(step))
                for step, value in zip(steps, curve, strict=True)
            ]
        params = [Param(name, str(value)) for name, value in job.params.items()]
        params += [Param(f"recipe.{name}", str(value)) for name, value in job.recipe.items()]
        self._client.log_batch(run_id, params=params[:100])
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        self._client.log_inputs(run_id, [_dataset_input(result)])
        shutil.copy(folder / "result.json", folder / "artifacts" / "result.json")
        self._client.log_artifacts(run_id, str(folder / "artifacts"))
        status = "FAILED" if result.status in FAILURES else "FINISHED"
        self._client.set_terminated(run_id, status, end_time=now)
        return run_id

    # -- adding ----------------------------------------------------------------------------

    def add_scores(self, run_id: str, scores: Result, files: Path, note: dict[str, str]) -> None:
        """Write further scores of a finished fit to its run, newer values over older ones.

        ``files`` is the folder with ``clusters.parquet``; ``note`` becomes the tag ``rescored``.
        """
        with self.lock:
            run = self._client.get_run(run_id)
            old = run.data.tags
            missing = read_json(old.get("missing")) | scores.missing
            tags = {
                "missing": {k: v for k, v in missing.items() if k not in scores.metrics},
                "stamps": read_json(old.get("stamps")) | scores.stamps,
                "rescored": note,
            }
            texts = {name: json.dumps(value) for name, value in tags.items()}
            if scores.job.score_key != old["score_key"] and not self.find(scores.job.score_key):
                texts["score_key"] = scores.job.score_key
            self._client.log_artifact(run_id, str(files / "clusters.parquet"))
            self._client.log_batch(
                run_id,
                metrics=_metrics(scores.metrics),
                tags=[RunTag(name, text) for name, text in truncate_tags(texts).items()],
            )


def _metrics(values: Mapping[str, float], milliseconds: int | None = None) -> list[Metric]:
    """Return the finite values as MLflow takes them; MLflow stores others as huge numbers."""
    now = int(time.time() * 1000) if milliseconds is None else milliseconds
    return [Metric(k, float(v), now, 0) for k, v in values.items() if math.isfinite(v)]


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the results folder {folder} cannot be used: {error.strerror}; choose another with "
            "--results.",
            code="not_writable",
        ) from None
    return folder


def _dataset_input(result: Result) -> Any:
    job = result.job
    facts = {name: job.facts[name] for name in ("modality", "n_cells", "n_features", "n_types")}
    digests = {name: job.facts[name] for name in DIGESTS}
    dataset = Dataset(
        name=job.dataset[:500],
        digest=digest(digests)[:36],  # MLflow keeps the first source of each name and digest
        source_type="local",
        source=json.dumps({"dataset": job.dataset, **digests}),
        profile=json.dumps(facts),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "benchmark")])


def _stored_job(run: Any) -> StoredJob:
    names = ("status", "timeout", "memory", "reason")
    fields = {name: read_field(run.data.tags, name) for name in names}
    return StoredJob(run.info.run_id, values=dict(run.data.metrics), **fields)
