"""The MLflow client of a store; its faults become errors of one line."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from bench.addresses import mask_secrets
from bench.errors import BenchError, StoreError

from .disk_errors import REPAIR, disk_error, full_disk, not_writable

logger = logging.getLogger(__name__)
SILENT_SECONDS = 5.0
"""Time without an answer of a server after which this is said."""
GIVE_UP_SECONDS = 120.0
"""Time without an answer of a server after which the run ends."""
_PAUSE_SECONDS = 1.0
_OF_THE_CALLER = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")
"""Error codes of MLflow that speak about the request and not about the store."""


class StoreClient:
    """An ``MlflowClient`` whose methods raise ``StoreError`` if the store cannot be used.

    A server that does not answer is asked again for some time.
    """

    def __init__(self, uri: str, name: str, *, server: bool) -> None:
        self._name, self._server = name, server
        self._client: Any = self._call(lambda: MlflowClient(tracking_uri=uri))

    def __getattr__(self, method: str) -> Any:
        function = getattr(self._client, method)
        return lambda *args, **options: self._call(lambda: function(*args, **options))

    def _call(self, function: Any) -> Any:
        deadline = time.monotonic() + (GIVE_UP_SECONDS if self._server else 0.0)
        with self._say_if_silent():
            while True:
                try:
                    with store_errors(self._name, server=self._server):
                        return function()
                except StoreError as error:
                    if error.code != "no_answer" or time.monotonic() > deadline:
                        raise
                time.sleep(_PAUSE_SECONDS)

    @contextmanager
    def _say_if_silent(self) -> Iterator[None]:
        text = (
            f"{mask_secrets(self._name)}: no answer yet; it is asked again until "
            f"{GIVE_UP_SECONDS:g} s have passed."
        )
        timer = threading.Timer(SILENT_SECONDS, logger.warning, (text,))
        timer.daemon = True
        if self._server:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()


def open_server(uri: str) -> StoreClient:
    """Return the client of an MLflow server or of another address that MLflow knows."""
    # MLflow prints the address of each finished run among the output of the command.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    return StoreClient(uri, uri, server=uri.startswith(("http://", "https://")))


def open_database(database: Path) -> StoreClient:
    """Return the client of a SQLite file, whatever characters its path has."""
    path = database.resolve()
    uri = f"sqlite:///{quote(str(path))}"
    # MLflow would read '?' and '%' of a path as parts of an address, and would keep a file open
    # that was deleted since.
    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool)
    SqlAlchemyStore._engine_map[uri] = engine
    return StoreClient(uri, str(database), server=False)


@contextmanager
def store_errors(name: str, *, server: bool = False) -> Iterator[None]:
    """Raise errors of a database, a server or a disk as ``StoreError``.

    Errors of MLflow about wrong values pass.
    """
    try:
        yield
    except BenchError:
        raise
    except MlflowException as error:
        if error.error_code in _OF_THE_CALLER:
            raise
        raise _store_error(name, error, server=server) from None
    except Exception as error:  # of SQLAlchemy, of requests, of the disk
        raise _store_error(name, error, server=server) from None


def _store_error(name: str, error: Exception, *, server: bool) -> StoreError:
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = next(iter(lines), type(error).__name__)
    if "disk is full" in str(error):
        return full_disk(name)
    if "readonly database" in str(error):
        return not_writable(name)
    if isinstance(error, OSError) and error.errno is not None and not server:
        return disk_error(name, error)
    if server:
        return StoreError(f"{name}: the MLflow server does not answer: {text}", code="no_answer")
    repair = "Does its server run?" if "://" in name else REPAIR
    return StoreError(
        f"the MLflow store {name} cannot be used: {text.rstrip('.')[:300]}. {repair}",
        code="damaged_store",
    )
