"""Reading of results: that of a results folder by its index, that of a server through MLflow."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from bench.errors import StoreError, UsageError

from .disk_errors import REPAIR
from .index import ResultIndex
from .result import Result
from .run_tags import FIELDS
from .stored_run import StoredRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.settings import Settings

    from .mlflow_client import StoreClient

_PAGE = 1000
_KEYS = "IN (SELECT value FROM json_each(?))"


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


class ResultStore:
    """The finished jobs of one experiment, for reading.

    A store in a results folder may be read-only; ``untouched`` writes no file beside its database.
    ``client`` is that of a server if it is open already. Raises ``StoreError`` if the store cannot
    be read.
    """

    def __init__(
        self, settings: Settings, client: StoreClient | None = None, *, untouched: bool = False
    ) -> None:
        self._settings, self._server = settings, client
        if settings.tracking_uri and client is None:
            from .mlflow_client import open_server  # imports MLflow

            self._server = open_server(settings.tracking_uri)
        with self._reading():
            self.index = ResultIndex(
                None if self._server else settings.database, in_memory=untouched
            )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"{self._settings.database}: cannot be used as a store: {error}. {REPAIR}",
                code="damaged_store",
            ) from None

    def close(self) -> None:
        """Close the files of the store; nothing can be read afterwards."""
        self.index.close()

    def experiments(self) -> dict[str, str]:
        """Return the ids of the experiments by name, deleted ones included."""
        if self._server is None:
            with self._reading():
                return self.index.experiments()
        return {one.name: one.experiment_id for one in self._server.search_experiments()}

    def require_experiment(self) -> None:
        """Raise ``StoreError`` if the store lacks the experiment."""
        names = self.experiments()
        if self._settings.experiment not in names:
            raise StoreError(
                f"{self._settings.public_name}: no experiment '{self._settings.experiment}'; "
                f"there are: {', '.join(sorted(names))}. Name one of them with --experiment.",
                code="unknown_name",
            )

    def _select(
        self, columns: str, condition: str, *values: Any, ordered: bool = True
    ) -> list[tuple[Any, ...]]:
        """Return columns of the entries of the experiment, after the index was brought up to date.

        ``condition`` is in SQL.
        """
        number = self.experiments().get(self._settings.experiment)
        if number is None:
            return []
        with self._reading():
            if self._server is None:
                self.index.update()
            else:
                self.index.replace(server_runs(self._server, number))
            condition = f"experiment_id = ? AND {condition}"
            return self.index.select(columns, condition, number, *values, ordered=ordered)

    def stored_jobs(self, score_keys: Iterable[str]) -> dict[str, StoredJob]:
        """Return those of some jobs that are finished, by score key; no trials of searches."""
        rows = self._select(
            "score_key, content", f"kind = 'job' AND score_key {_KEYS}", json.dumps([*score_keys])
        )
        return {key: stored_job(json.loads(content)) for key, content in rows}

    def count_statuses(self) -> dict[str, int]:
        """Return the number of finished jobs by status."""
        return dict(self._select("status, count(*)", "kind = 'job' GROUP BY status"))

    def mean_scores(self, score: str) -> list[tuple[str, str, float]]:
        """Return method, dataset and mean of a score over the finished jobs that have it."""
        value = f"json_extract(content, '$.\"{score}\"')"
        return self._select(
            f"method, dataset, avg({value})",
            f"kind = 'job' AND status = 'done' AND {value} NOTNULL GROUP BY method, dataset",
        )

    def fits(self, fit_keys: Iterable[str]) -> dict[str, Path]:
        """Return the artifact folders on this machine of those of some fits that are finished.

        A fit whose scores failed is among them, since it need not be repeated; so are trials.
        """
        found = self._select(
            "fit_key, run_id, artifact_uri", f"fitted AND fit_key {_KEYS}",
            json.dumps(sorted(set(fit_keys))),
        )  # fmt: skip
        folders = ((key, self.artifact_folder(run_id, uri)) for key, run_id, uri in found)
        return {key: Path(folder) for key, folder in folders if folder is not None}

    def durations(self, methods: Iterable[str], profile: str) -> list[tuple[str, str, float, int]]:
        """Return method, dataset, seconds and cells of the fits of some methods."""
        return self._select(
            "method, dataset, seconds, n_cells",
            f"kind = 'job' AND status = 'done' AND seconds NOTNULL AND profile = ? "
            f"AND method {_KEYS}",
            profile, json.dumps(sorted(set(methods))),
        )  # fmt: skip

    def peak_memory(self, methods: Iterable[str]) -> list[tuple[str, str, float, float]]:
        """Return method, dataset, seconds and peak memory (MiB) of the fits of some methods."""
        peak = "json_extract(content, '$.peak_memory_mb')"
        return self._select(
            f"method, dataset, seconds, {peak}",
            f"kind = 'job' AND status = 'done' AND seconds NOTNULL AND {peak} NOTNULL "
            f"AND method {_KEYS}",
            json.dumps(sorted(set(methods))),
        )

    def names(self) -> list[tuple[str, str, str, int]]:
        """Return run id, method, dataset and seed of each finished job."""
        return self._select("run_id, method, dataset, seed", "kind = 'job'")

    def trials(self, study: str) -> list[tuple[int, dict[str, Any], StoredJob]]:
        """Return number, configuration and result of the finished trials of a study, by number.

        Trials whose artifacts are not on this machine are left out.
        """
        found = self._select(
            "run_id, artifact_uri, content",
            "kind = 'trial' AND json_extract(content, '$.study') = ?",
            study,
        )
        trials = {}
        for run_id, uri, content in found:
            folder, row = self.artifact_folder(run_id, uri), json.loads(content)
            if folder is not None and row["status"] != "interrupted":
                params = Result.read(Path(folder)).job.params
                trials[row["trial"]] = (row["trial"], params, stored_job(row))
        return [trials[number] for number in sorted(trials)]

    def rows(
        self, *, score_keys: Iterable[str] | None = None, run_ids: Iterable[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return a flat dictionary for each finished job (see ``bench.store.results_table``).

        With ``score_keys`` or ``run_ids`` only those jobs are read.
        """
        chosen = score_keys if run_ids is None else run_ids
        column = "score_key" if run_ids is None else "run_id"
        condition = "" if chosen is None else f" AND {column} {_KEYS}"
        found = self._select(
            "run_id, artifact_uri, content", "kind = 'job'" + condition,
            *([] if chosen is None else [json.dumps([*chosen])]),
            ordered=False,  # sorting these long rows takes SQLite longer than reading them
        )  # fmt: skip
        rows = [
            json.loads(content) | {"artifacts": self.artifact_folder(run_id, uri)}
            for run_id, uri, content in found
        ]
        rows.sort(key=lambda row: (row["started"], row["run_id"]))
        sessions = json.dumps(sorted({row["session_id"] for row in rows}))
        commands = {
            run_id: json.loads(content)["command"]
            for run_id, content in self.index.select(
                "run_id, content", f"kind = 'session' AND run_id {_KEYS}", sessions
            )
        }
        return [row | {"command": commands.get(row["session_id"], "")} for row in rows]

    def curves(self, run_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return the epoch curves of runs, an entry with run_id, name, step and value a point."""
        if self._server is None:
            with self._reading():
                return self.index.curves(run_ids)
        points = []
        for run_id in run_ids:
            for key in self._server.get_run(run_id).data.metrics:
                if key.startswith("epoch/"):
                    name = key.removeprefix("epoch/")
                    points += [
                        {"run_id": run_id, "name": name, "step": point.step, "value": point.value}
                        for point in self._server.get_metric_history(run_id, key)
                    ]
        return points

    def artifact_folder(self, run_id: str, uri: str) -> str | None:
        """Return the local folder of a run's artifacts, if they are on this machine.

        The folder in the results comes before the recorded one: a store may have been copied.
        """
        folder = os.path.join(self._artifacts, run_id, "artifacts")
        if os.path.isdir(folder):  # called for every row: a Path takes ten times as long
            return folder
        parsed = urlparse(uri)
        recorded = unquote(parsed.path)
        on_disk = parsed.scheme in ("", "file") and os.path.isdir(recorded)
        return os.path.abspath(recorded) if on_disk else None

    @cached_property
    def _artifacts(self) -> Path:
        return self._settings.results.resolve() / "artifacts"


def require_results(settings: Settings) -> None:
    """Raise ``UsageError`` if there is no store to read."""
    if not settings.tracking_uri and not settings.database.is_file():
        raise UsageError(
            f"{settings.results}: no results there (no {settings.database.name}); give the folder "
            "that 'bench run --results' was given.",
            code="no_results",
        )


def server_runs(client: StoreClient, experiment_id: str) -> Iterator[StoredRun]:
    """Yield the runs of an experiment of a server."""
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id], max_results=_PAGE, page_token=token,
            order_by=["attributes.start_time ASC"],
        )  # fmt: skip
        yield from map(stored_run, page)
        token = page.token
        if not token:
            return


def stored_run(run: Any) -> StoredRun:
    """Return a run of the MLflow client."""
    metrics = {k: v for k, v in run.data.metrics.items() if not k.startswith("epoch/")}
    info = run.info
    state = f"{info.status}/{info.lifecycle_stage}/{info.end_time or ''}"
    return StoredRun(
        info.run_id, info.experiment_id, state, info.start_time, info.artifact_uri,
        run.data.tags, run.data.params, metrics,
    )  # fmt: skip


def stored_job(row: dict[str, Any]) -> StoredJob:
    """Return the job of a row of the table."""
    fields = {name: row[name] for name in ("run_id", "status", "timeout", "memory", "reason")}
    values = {k: v for k, v in row.items() if k not in FIELDS and isinstance(v, float)}
    return StoredJob(**fields, values=values)
