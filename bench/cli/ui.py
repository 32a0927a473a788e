"""The verb ``bench ui``."""

from __future__ import annotations

import errno
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from bench.addresses import public_address
from bench.errors import StoreError, UsageError
from bench.settings import Settings
from bench.store.mlflow_pages import JOBS_FILTER, JOBS_VIEW, VIEW_TAG, view_address

from .options import option, verb


@verb("results", "experiment")
def ui_command(
    port: Annotated[int, option("N", "port on this machine", min=1, max=65535)] = 5000,
    *,
    settings: Settings,
) -> None:
    """Open the MLflow UI on the store."""
    if settings.tracking_uri:
        typer.echo(server_page(settings))
        return
    if not settings.database.is_file():
        raise UsageError(
            f"{settings.results}: no results there; run 'bench run' first.", code="no_results"
        )
    database = str(settings.database.resolve())
    if any(character in database for character in "?%"):
        raise UsageError(
            f"{settings.results}: the MLflow UI cannot open a folder with '?' or '%' in its path; "
            "rename it.",
            code="invalid_name",
        )
    page = jobs_page(settings.database, settings.experiment)
    check_port(port)
    root = f"http://127.0.0.1:{port}/"
    typer.echo("MLflow UI in about 20 seconds (Ctrl-C ends it); the jobs, the best ARI first:")
    typer.echo(root + page)
    typer.echo("Controls, means of seeds, failures, sessions and trials: 'Saved views' beside it.")
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{database}",
        "--artifacts-destination", (settings.results.resolve() / "artifacts").as_uri(),
        "--serve-artifacts",
    ]  # fmt: skip
    code = run_server(command)
    if code is None:
        raise typer.Exit(0)
    # MLflow ends with 0 even if its server could not start.
    raise StoreError(
        f"the MLflow server ended by itself (code {code}); its lines above say why.",
        code="server_ended",
    )


def run_server(command: list[str]) -> int | None:
    """Run a server; returns its exit code, or ``None`` after an interrupt.

    Its workers end with it, and all of them with this process, also if that is killed.
    """
    # Scripts in the current folder are not the libraries of the server.
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONSAFEPATH": "1"}
    guard = [sys.executable, "-m", "bench.cli.server_group", *command]
    with subprocess.Popen(
        guard, stdin=subprocess.PIPE, env=environment, start_new_session=True
    ) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            return None


def check_port(port: int) -> None:
    """Raise ``UsageError`` if no server can listen on this port of this machine."""
    with socket.socket() as probe:
        # As servers do: a connection that was closed just now does not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            used = error.errno == errno.EADDRINUSE
            reason = "is in use" if used else f"cannot be opened ({error.strerror})"
            raise UsageError(
                f"port {port} {reason}; choose another with --port.", code="port_in_use"
            ) from None


def server_page(settings: Settings) -> str:
    """Return the address of the jobs on the server of a store.

    Raises ``UsageError`` for a database without a server.
    """
    address = public_address(settings.tracking_uri).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise UsageError(
            f"{address}: is a database; run 'mlflow server --backend-store-uri {address}'.",
            code="server_store",
        )
    from bench.store.result_store import ResultStore

    store = ResultStore(settings)
    store.require_experiment()
    return f"{address}/{view_address(store.experiments()[settings.experiment])}"


def jobs_page(database: Path, experiment: str) -> str:
    """Return the part of the address after the server's that shows the jobs of an experiment.

    MLflow's start page is for traces of language models, and its list of runs begins with
    sessions. Raises ``UsageError`` if the store has no such experiment or cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as store:
            experiments = dict(store.execute("SELECT name, experiment_id FROM experiments"))
            views = store.execute("SELECT experiment_id, key FROM experiment_tags").fetchall()
    except sqlite3.Error as error:
        raise UsageError(
            f"{database}: cannot be read as a store: {error}.", code="unreadable"
        ) from None
    if experiment not in experiments:
        names = ", ".join(sorted(name for name in experiments if name != "Default")) or "none"
        raise UsageError(
            f"{database}: no experiment '{experiment}'; there are: {names}. Name one of them "
            "with --experiment.",
            code="unknown_name",
        )
    number = experiments[experiment]
    if (number, VIEW_TAG + JOBS_VIEW) in views:
        return view_address(number)
    parameters = {
        "workflowType": "machine_learning", "searchFilter": JOBS_FILTER,
        "orderByKey": "metrics.`kmeans/ari`", "orderByAsc": "false",
    }  # fmt: skip
    query = "&".join(f"{key}={quote(value)}" for key, value in parameters.items())
    return f"#/experiments/{number}/runs?{query}"
