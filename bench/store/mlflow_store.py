"""The MLflow store: the record of what is done. The only file that imports MLflow.

A run of kind ``job`` with its score key in the tags and a terminal status is the one proof that a
job is done. Only the driver writes, under a lock in the results folder.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import psutil
from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from bench.errors import StoreError
from bench.plan.job import FAILURES
from bench.scoring.score_names import key_part
from bench.settings import Settings
from bench.store.result import SCORING, Refused, Result

from .relocate import renew_addresses
from .run_tags import TAG_CHARACTERS, common_tags, cut, job_tags, read_json, row_of

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
_PAGE = 1000
_BATCH = 900


@dataclass(frozen=True)
class Committed:
    """What the store knows of one score key."""

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
        if local:
            _make(settings.results)
        uri = settings.tracking_uri or f"sqlite:///{settings.database.resolve()}"
        self.uri = uri
        self.lock = FileLock(_make(settings.results) / ".commit.lock", thread_local=False)
        with self.lock:
            if local and settings.database.is_file():
                renew_addresses(settings.database, settings.results)
            self._client = _client(uri)
            self.experiment_id = self._open_experiment(settings, local, create)

    def _open_experiment(self, settings: Settings, local: bool, create: bool) -> str:
        try:
            found = self._client.get_experiment_by_name(settings.experiment)
            if found is not None and found.lifecycle_stage == "deleted":
                raise StoreError(
                    f"experiment '{settings.experiment}' was deleted in MLflow; restore it or "
                    "pass another --experiment."
                )
            if found is not None:
                return str(found.experiment_id)
            if not create:
                names = sorted(one.name for one in self._client.search_experiments())
                raise StoreError(
                    f"{self.uri}: no experiment '{settings.experiment}'; there are: "
                    f"{', '.join(names)}."
                )
            place = (settings.results.resolve() / "artifacts").as_uri() if local else None
            made = self._client.create_experiment(
                settings.experiment,
                artifact_location=place,
                # The UI opens on its page of model training instead of that of language models.
                tags={"mlflow.experimentKind": "custom_model_development"},
            )
            return str(made)
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"the MLflow store {self.uri} does not answer: {error}") from None

    # -- reading ---------------------------------------------------------------------------

    def _search(self, condition: str, order: str = "attributes.start_time ASC") -> list[Any]:
        runs: list[Any] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], filter_string=condition, max_results=_PAGE,
                order_by=[order], page_token=token,
            )  # fmt: skip
            runs += page
            token = page.token
            if not token:
                return runs

    def _jobs(self, *, trials: bool = False) -> list[Any]:
        """Return the runs of finished jobs, oldest first, without superseded ones.

        ``trials``: also those of searches, which no table of results holds.
        """
        condition = "tags.score_key != ''" if trials else "tags.kind = 'job'"
        runs = self._search(f"{condition} and attributes.status != 'RUNNING'")
        return [run for run in runs if "superseded_by" not in run.data.tags]

    def committed(self) -> dict[str, Committed]:
        """Return what is done, by score key."""
        return {run.data.tags["score_key"]: _committed(run) for run in self._jobs()}

    def fits(self) -> dict[str, Path]:
        """Return the artifact folders of finished fits on this machine, by fit key.

        Those whose scores failed are among them: a fit is not repeated for that.
        """
        found = {}
        for run in self._jobs(trials=True):
            folder, tags = self.artifact_folder(run), run.data.tags
            fitted = tags["status"] == "done" or tags.get("reason", "").startswith(SCORING)
            if fitted and folder is not None:
                found[tags["fit_key"]] = Path(folder)
        return found

    def find(self, score_key: str) -> Committed | None:
        """Return what the store knows of one score key now."""
        runs = self._search(
            f"tags.score_key = '{score_key}' and attributes.status != 'RUNNING'"
        )  # fmt: skip
        runs = [run for run in runs if "superseded_by" not in run.data.tags]
        return _committed(runs[-1]) if runs else None

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat dictionary per finished job (see ``bench.store.results_table``)."""
        commands = {
            run.info.run_id: run.data.tags["command"]
            for run in self._search("tags.kind='session'")
        }
        return [
            row_of(run, self.artifact_folder(run))
            | {"command": commands.get(run.data.tags.get("session_id", ""), "")}
            for run in self._jobs()
        ]

    def curves(self, run_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return the epoch curves of runs: run_id, name, step, value, one entry a point."""
        found = []
        for run_id in run_ids:
            for key in self._client.get_run(run_id).data.metrics:
                if key.startswith("epoch/"):
                    name = key.removeprefix("epoch/")
                    found += [
                        {"run_id": run_id, "name": name, "step": one.step, "value": one.value}
                        for one in self._client.get_metric_history(run_id, key)
                    ]
        return found

    def artifact_folder(self, run: Any) -> str | None:
        """Return the local folder of a run's artifacts, if they are on this machine."""
        parsed = urlparse(run.info.artifact_uri)
        if parsed.scheme not in ("", "file"):
            return None
        folder = Path(unquote(parsed.path))
        moved = self._settings.results / "artifacts" / run.info.run_id / "artifacts"
        for place in (folder, moved):
            if place.is_dir():
                return str(place.resolve())
        return None

    # -- sessions --------------------------------------------------------------------------

    def start_session(self, command: str, tags: dict[str, str]) -> str:
        """Create the run that the jobs of one command hang under; returns its id."""
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
        """Close a session with the counts of how its jobs ended."""
        now = int(time.time() * 1000)
        metrics = [Metric(f"jobs/{name}", float(n), now, 0) for name, n in counts.items()]
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
        """Return the run that the trials of a study hang under, made if it is not there."""
        found = self._search(f"tags.kind = 'study' and tags.study = '{name}'")
        if found:
            run_id = str(found[0].info.run_id)
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        whole = {"kind": "study", "study": name, "mlflow.parentRunId": session, **common_tags()}
        run = self._client.create_run(
            self.experiment_id, run_name=f"study {name}", tags=cut(whole | tags)
        )
        return str(run.info.run_id)

    def close_study(
        self, run_id: str, status: str, values: dict[str, float], note: str, files: list[Path]
    ) -> None:
        """End a study's run for now, with what it came to and its files."""
        now = int(time.time() * 1000)
        metrics = [Metric(k, float(v), now, 0) for k, v in values.items() if math.isfinite(v)]
        self._client.log_batch(run_id, metrics=metrics)
        if note:
            self._client.set_tag(run_id, "mlflow.note.content", note[:TAG_CHARACTERS])
        for path in files:
            self._client.log_artifact(run_id, str(path))
        self._client.set_terminated(run_id, status)

    # -- committing ------------------------------------------------------------------------

    def commit(self, folder: Path) -> str | None:
        """Write a spooled result into the store and remove it from the spool.

        Returns the run's id, or ``None`` if another driver has committed it already. Raises
        ``Refused`` for a result that cannot be read or that MLflow takes for wrong.
        """
        with self.lock:
            if not folder.is_dir():
                return None
            try:
                result = Result.read(folder)
            except FileNotFoundError as error:
                raise Refused(f"{folder} is no result: {error.strerror}: result.json") from None
            key = result.job.score_key
            self._drop_begun(key)
            before = self.find(key)
            if before is not None and before.status == "done":
                shutil.rmtree(folder)
                return None
            run_id = self._write_or_refuse(result, folder)
            if before is not None:
                self._client.set_tag(before.run_id, "superseded_by", run_id)
            shutil.rmtree(folder)
            return run_id

    def _write_or_refuse(self, result: Result, folder: Path) -> str:
        try:
            return self._write(result, folder)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            self._drop_begun(result.job.score_key)
            raise Refused(" ".join(str(error).split())[:500]) from None

    def _drop_begun(self, score_key: str) -> None:
        """Delete what a killed driver has begun to write."""
        begun = f"tags.score_key = '{score_key}' and attributes.status = 'RUNNING'"
        for run in self._search(begun):
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
        values = result.measures | result.metrics
        metrics = [Metric(k, float(v), now, 0) for k, v in values.items() if math.isfinite(v)]
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

        ``scores`` holds what was computed now. ``files`` is the folder with ``clusters.parquet``;
        ``note`` is kept in a tag.
        """
        now = int(time.time() * 1000)
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
                metrics=[Metric(k, float(v), now, 0) for k, v in scores.metrics.items()],
                tags=[RunTag(k, text[-TAG_CHARACTERS:]) for k, text in texts.items()],
            )


def _client(uri: str) -> Any:
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    try:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=uri)
    except Exception as error:
        raise StoreError(f"the MLflow store {uri} cannot be opened: {error}") from None


def _make(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the results folder {folder} cannot be used: {error.strerror}; choose another with "
            "--results."
        ) from None
    return folder


def _dataset_input(result: Result) -> Any:
    job = result.job
    facts = {name: job.facts[name] for name in ("modality", "n_cells", "n_features", "n_types")}
    dataset = Dataset(
        name=job.dataset[:500],
        digest=job.facts["counts_digest"][:36],
        source_type="local",
        source=json.dumps({"dataset": job.dataset, "labels": job.facts["labels_digest"]}),
        profile=json.dumps(facts),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "benchmark")])


def _committed(run: Any) -> Committed:
    tags = run.data.tags
    return Committed(
        run.info.run_id, tags["status"], float(tags["timeout"]), float(tags["memory"]),
        tags.get("reason", ""), dict(run.data.metrics),
    )  # fmt: skip
