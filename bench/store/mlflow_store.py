"""The MLflow store: the record of finished jobs.

A job is done if and only if there is a run of kind ``job`` with its score key and a terminal
status. Only the driver writes, under a lock in the results folder.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import shutil
from dataclasses import replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from bench.addresses import mask_secrets
from bench.errors import StoreError
from bench.plan.job import FAILURES
from bench.scoring.score_names import MAIN_SCORE, key_part

from .database import open_or_make
from .disk_errors import disk_error
from .mlflow_client import StoreClient, open_server, store_errors
from .mlflow_entities import dataset_input, metric_entities, stored_values
from .mlflow_pages import SCORES_FILE, score_rows, table_tag, table_text, view_tags
from .relocate import renew_addresses
from .result import InvalidResult, Result
from .result_store import ResultStore, StoredJob, stored_job, stored_run
from .run_tags import (
    TAG_CHARACTERS,
    common_tags,
    job_tags,
    read_json,
    table_row,
    truncate_tags,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.settings import Settings

    from .stored_run import StoredRun

_PAGE = 1000
_BATCH = 900
_NAME_CHARACTERS = 120


class Tracker(ResultStore):
    """Read and write one experiment, which is created if it does not exist."""

    def __init__(self, settings: Settings) -> None:
        self._results = _make_folder(settings.results)
        self.lock = FileLock(self._results / ".commit.lock", thread_local=False)
        with self.locked():
            self._client = self._open_client(settings)
            super().__init__(settings, self._client if settings.tracking_uri else None)
            self._file = self._file_number()
            self.experiment_id = self._open_experiment()

    def _open_client(self, settings: Settings) -> StoreClient:
        logging.getLogger("alembic").setLevel(logging.ERROR)
        if settings.tracking_uri:
            return open_server(settings.tracking_uri)
        if settings.database.is_file():
            renew_addresses(settings.database, self._results)
        return open_or_make(settings.database)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the results folder; faults of its disk raise ``StoreError``."""
        with store_errors(str(self._results)), self.lock:
            yield

    def _file_number(self) -> tuple[int, int] | None:
        """Return what tells the present database from another one of the same name."""
        if self._settings.tracking_uri:
            return None
        try:
            status = self._settings.database.stat()
        except OSError:
            return 0, 0
        return status.st_dev, status.st_ino

    def _check_present(self) -> None:
        """Raise ``StoreError`` if the database was removed or replaced since it was opened."""
        if self._file_number() != self._file:
            raise StoreError(
                f"{self._settings.database}: was removed or replaced during the run; run the same "
                "command again.",
                code="store_removed",
            )

    def _open_experiment(self) -> str:
        """Return the id of the experiment, created if it does not exist, with its saved views."""
        name = self._settings.experiment
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise StoreError(
                f"experiment '{name}' was deleted in MLflow; restore it or pass another "
                "--experiment.",
                code="deleted_experiment",
            )
        if experiment is not None:
            for tag, view in view_tags().items():
                if tag not in experiment.tags:
                    self._client.set_experiment_tag(experiment.experiment_id, tag, view)
            return str(experiment.experiment_id)
        experiment_id = self._client.create_experiment(
            name,
            artifact_location=None if self._settings.tracking_uri else self._artifacts.as_uri(),
            # The UI opens on its page of model training instead of that of language models.
            tags={"mlflow.experimentKind": "custom_model_development", **view_tags()},
        )
        return str(experiment_id)

    # -- reading from MLflow itself ----------------------------------------------------------

    def _search(self, condition: str) -> list[Any]:
        """Return the runs that match, oldest first."""
        self._check_present()
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

    def find(self, score_key: str) -> StoredJob | None:
        """Return the finished job with a score key, if there is one, as MLflow has it now."""
        runs = _finished(self._runs(score_key))
        return stored_job(table_row(runs[-1])) if runs else None

    def _runs(self, score_key: str) -> list[StoredRun]:
        """Return the runs of a job, oldest first, without deleted ones."""
        if self._settings.tracking_uri:
            return [*map(stored_run, self._search(f"tags.score_key = '{score_key}'"))]
        self._check_present()
        with self._reading():
            runs = [*self.index.find(score_key)]
        own = [run for run in runs if run.active and run.experiment_id == self.experiment_id]
        return sorted(own, key=lambda run: run.started)

    # -- sessions --------------------------------------------------------------------------

    def start_session(self, command: str, tags: dict[str, str], name: str = "") -> str:
        """Create the parent run of the jobs of one command; returns its id.

        Without a name the command is that of the run.
        """
        command = mask_secrets(command)
        self._end_dead_sessions()
        all_tags = {
            "kind": "session",
            "command": command,
            "host": platform.node(),
            "pid": str(os.getpid()),
            "mlflow.note.content": f"`{command}`",
            "mlflow.source.name": "bench",
            **common_tags(),
            **tags,
        }
        run = self._client.create_run(
            self.experiment_id,
            run_name=shorten(name or command, _NAME_CHARACTERS, placeholder=" …"),
            tags=truncate_tags({key: text for key, text in all_tags.items() if text}),
        )
        return str(run.info.run_id)

    def end_session(self, session: str, status: str, counts: dict[str, int], plan: Path) -> None:
        """Close a session with the counts of its jobs by status."""
        metrics = metric_entities({f"jobs/{name}": number for name, number in counts.items()})
        self._client.log_batch(session, metrics=metrics)
        if plan.is_file():
            self._client.log_artifact(session, str(plan))
        self._client.set_terminated(session, status)

    def add_files(
        self,
        run_id: str,
        files: Sequence[Path],
        *,
        tables: Sequence[Path] = (),
        values: Mapping[str, float] | None = None,
    ) -> None:
        """Add artifacts and values to a finished run; ``tables`` are shown as tables."""
        with self.locked():
            self._check_present()
            for path in (*files, *tables):
                self._client.log_artifact(run_id, str(path))
            tags = table_tag([path.name for path in tables]) if tables else {}
            self._client.log_batch(
                run_id,
                metrics=metric_entities(values or {}),
                tags=[RunTag(name, text) for name, text in tags.items()],
            )

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
        all_tags["mlflow.source.name"] = "bench"
        run = self._client.create_run(
            self.experiment_id,
            run_name=f"study {name}",
            tags=truncate_tags({key: text for key, text in all_tags.items() if text}),
        )
        return str(run.info.run_id)

    def close_study(
        self, run_id: str, status: str, values: dict[str, float], note: str, files: list[Path]
    ) -> None:
        """End a study's run until it is opened again, with its values, a note and files."""
        self._client.log_batch(run_id, metrics=metric_entities(values))
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
        with self.locked():
            self._check_present()
            if not folder.is_dir():
                return None
            result = Result.read(folder)
            if not (folder / "artifacts").is_dir():
                raise InvalidResult(f"{folder}: has no folder artifacts", code="damaged_result")
            key = result.job.score_key
            runs = self._runs(key)  # once: the database has no index of the values of tags
            self._delete_unfinished(runs)
            before = _finished(runs)
            if before and before[-1].tags.get("status") == "done":
                self._replace(before[:-1], before[-1].run_id)
                shutil.rmtree(folder)
                return None
            try:
                run_id = self._write(result, folder)
            except MlflowException as error:
                if error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
                self._delete_unfinished(self._runs(key))
                raise InvalidResult(
                    " ".join(str(error).split())[:500], code="refused_by_mlflow"
                ) from None
            self._replace(before, run_id)
            self._index_run(run_id)
            shutil.rmtree(folder)
            return run_id

    def _replace(self, runs: list[StoredRun], run_id: str) -> None:
        """Mark the earlier runs of a job; they are several after a kill between run and mark."""
        for run in runs:
            self.index.forget(run.run_id)
            self._client.set_tag(run.run_id, "superseded_by", run_id)

    def _index_run(self, run_id: str) -> None:
        """Enter a run that was written into the index, unless that is read from a server."""
        if not self._settings.tracking_uri:
            self.index.add_written(run_id)

    def _delete_unfinished(self, runs: list[StoredRun]) -> None:
        """Delete those of the runs that a killed driver has not finished writing."""
        for run in runs:
            if run.unfinished:
                self._client.delete_run(run.run_id)

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
        values = result.metrics | result.measures
        # MLflow's page that compares runs begins with the score that is written first.
        first = {MAIN_SCORE: values[MAIN_SCORE]} if MAIN_SCORE in values else {}
        metrics = metric_entities(first | values, now)
        taken: set[str] = set()
        for name, (steps, curve) in result.curves.items():
            taken.add(key := key_part(name, taken, other="curve"))
            metrics += [
                Metric(f"epoch/{key}", float(value), now, int(step))
                for step, value in zip(steps, curve, strict=True)
            ]
        params = [Param(name, str(value)) for name, value in job.params.items()]
        params += [Param(f"recipe.{name}", str(value)) for name, value in job.recipe.items()]
        # One call for all but long curves: each costs as much as writing a hundred values.
        self._client.log_batch(run_id, metrics=metrics[:_BATCH], params=params[:100])
        for start in range(_BATCH, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        self._client.log_inputs(run_id, [dataset_input(result)])
        shutil.copy(folder / "result.json", folder / "artifacts" / "result.json")
        (folder / "artifacts" / SCORES_FILE).write_text(table_text(score_rows(result)))
        self._client.log_artifacts(run_id, str(folder / "artifacts"))
        status = "FAILED" if result.status in FAILURES else "FINISHED"
        self._client.set_terminated(run_id, status, end_time=now)
        return run_id

    # -- adding ----------------------------------------------------------------------------

    def add_scores(self, run_id: str, scores: Result, files: Path, note: dict[str, str]) -> None:
        """Write further scores of a finished fit to its run, newer values over older ones.

        ``files`` is the folder with ``clusters.parquet``; ``note`` becomes the tag ``rescored``.
        """
        with self.locked():
            self._check_present()
            run = self._client.get_run(run_id)
            self.index.forget(run_id)
            old = run.data.tags
            missing = read_json(old.get("missing")) | scores.missing
            tags = {
                "missing": {k: v for k, v in missing.items() if k not in scores.metrics},
                "stamps": read_json(old.get("stamps")) | scores.stamps,
                "rescored": note,
            }
            texts = {k: json.dumps(value) for k, value in tags.items() if value or k in old}
            texts |= table_tag([SCORES_FILE])
            if scores.job.score_key != old["score_key"] and not self.find(scores.job.score_key):
                texts["score_key"] = scores.job.score_key
            everything = replace(
                scores, metrics=stored_values(run) | scores.metrics, missing=tags["missing"]
            )
            (files / SCORES_FILE).write_text(table_text(score_rows(everything)))
            for name in ("clusters.parquet", SCORES_FILE):
                self._client.log_artifact(run_id, str(files / name))
            self._client.log_batch(
                run_id,
                metrics=metric_entities(scores.metrics),
                tags=[RunTag(name, text) for name, text in truncate_tags(texts).items()],
            )


def _finished(runs: list[StoredRun]) -> list[StoredRun]:
    """Return the finished ones of the runs of a job that no later one replaces."""
    return [run for run in runs if not run.unfinished and "superseded_by" not in run.tags]


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError(
            f"the results folder {folder} cannot be used: {error.strerror}; choose another with "
            "--results.",
            code="not_writable",
        ) from None
    except OSError as error:
        raise disk_error(str(folder), error) from None
    return folder
