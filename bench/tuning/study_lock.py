"""A lock that gives a study to one driver at a time.

On one machine it is a file lock, which the system releases when the driver ends. In a shared
database the driver also writes a heartbeat, which drivers on other machines read.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from bench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import optuna

_HEARTBEAT_SECONDS = 15.0
_DEAD_AFTER = 60.0
"""Seconds without a heartbeat after which a driver counts as dead."""
_ATTRIBUTE = "driver"
_HOST = platform.node()


class StudyLock:
    """The lock of a study, held until :meth:`release`.

    Raises ``UsageError`` if another driver holds it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._released = threading.Event()
        self._thread: threading.Thread | None = None
        self._study: optuna.Study | None = None
        self._driver = f"process {os.getpid()} on {_HOST}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot be created: {error.strerror}.", code="not_writable"
            ) from None
        self._lock = FileLock(folder / "driver.lock", thread_local=False)
        holder_file = folder / "driver.txt"
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            holder = holder_file.read_text().strip() if holder_file.is_file() else ""
            raise UsageError(
                f"study {name}: {holder or 'another process'} is working on it; wait for its end, "
                "or end it first.",
                code="study_locked",
            ) from None
        holder_file.write_text(f"{self._driver}\n")

    def lock_database(self, study: optuna.Study) -> None:
        """Lock a study in a database and write heartbeats until the release."""
        holder = study.user_attrs.get(_ATTRIBUTE) or {}
        age = time.time() - float(holder.get("seen", 0.0))
        # The file lock is held: a heartbeat from this machine is that of a dead process.
        if holder and holder["host"] != _HOST and age < _DEAD_AFTER:
            raise UsageError(
                f"study {self._name}: {holder['who']} is working on it (last sign {age:.0f} s "
                "ago); wait for its end. If it was killed, try again "
                f"{_DEAD_AFTER:.0f} s after its last sign.",
                code="study_locked",
            )
        self._study = study
        self._write_heartbeat()
        time.sleep(0.5)  # of two drivers that begin at the same moment the later one remains
        if (study.user_attrs.get(_ATTRIBUTE) or {}).get("who") != self._driver:
            self._study = None
            raise UsageError(
                f"study {self._name}: another process has just begun to work on it; wait for "
                "its end, or end it first.",
                code="study_locked",
            )
        self._thread = threading.Thread(target=self._write_heartbeats, daemon=True)
        self._thread.start()

    def _write_heartbeat(self) -> None:
        assert self._study is not None
        content: dict[str, Any] = {"who": self._driver, "host": _HOST, "seen": time.time()}
        self._study.set_user_attr(_ATTRIBUTE, content)

    def _write_heartbeats(self) -> None:
        while not self._released.wait(_HEARTBEAT_SECONDS):
            # The database may be away for a moment: the next heartbeat follows in 15 s.
            with contextlib.suppress(Exception):
                self._write_heartbeat()

    def release(self) -> None:
        """Release the lock, so that other drivers can work on the study."""
        self._released.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self._study is not None:
            with contextlib.suppress(Exception):  # the heartbeat of a dead driver ends by itself
                self._study.set_user_attr(_ATTRIBUTE, {})
        self._lock.release()
