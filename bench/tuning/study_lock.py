"""Who works on a study: one driver at a time.

On this machine a file lock says so, which the system releases however the holder ends. A study in
a shared database also carries a sign of life of its driver, which a driver elsewhere can see.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from bench.errors import StoreError, UsageError

if TYPE_CHECKING:
    import optuna

_SIGN_SECONDS = 15.0
_DEAD_AFTER = 60.0
"""Seconds without a sign of life after which a driver counts as dead."""
_ATTRIBUTE = "driver"


class Claim:
    """Holds a study until :meth:`release`.

    Raises ``UsageError`` if another driver holds it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._study: optuna.Study | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be made: {error.strerror}.") from None
        self._lock = FileLock(folder / "driver.lock", thread_local=False)
        who = folder / "driver.txt"
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            holder = who.read_text().strip() if who.is_file() else "another process"
            raise UsageError(
                f"study {name}: {holder} is working on it; wait for its end, or end it first."
            ) from None
        who.write_text(f"process {os.getpid()} on {platform.node()}\n")

    def hold_shared(self, study: optuna.Study) -> None:
        """Claim a study in a database, and give signs of life until released."""
        mine = f"process {os.getpid()} on {platform.node()}"
        other = study.user_attrs.get(_ATTRIBUTE) or {}
        age = time.time() - float(other.get("seen", 0.0))
        # The lock of this machine is ours: a sign left from here is that of a dead process.
        if other and other["host"] != platform.node() and age < _DEAD_AFTER:
            raise UsageError(
                f"study {self._name}: {other['who']} is working on it (last sign {age:.0f} s "
                f"ago); wait for its end, or {_DEAD_AFTER:.0f} s after it was killed."
            )
        self._study = study
        self._sign(mine)
        time.sleep(0.5)  # two that come at the same moment: the later sign stands
        if (study.user_attrs.get(_ATTRIBUTE) or {}).get("who") != mine:
            self._study = None
            raise UsageError(f"study {self._name}: another driver has just begun to work on it.")
        self._thread = threading.Thread(target=self._keep_signing, args=(mine,), daemon=True)
        self._thread.start()

    def _sign(self, who: str) -> None:
        assert self._study is not None
        content: dict[str, Any] = {"who": who, "host": platform.node(), "seen": time.time()}
        self._study.set_user_attr(_ATTRIBUTE, content)

    def _keep_signing(self, who: str) -> None:
        while not self._ended.wait(_SIGN_SECONDS):
            try:
                self._sign(who)
            except Exception:  # the database is away for a moment: try again in 15 s
                continue

    def release(self) -> None:
        """Let others work on the study."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self._study is not None:
            self._study.set_user_attr(_ATTRIBUTE, {})
        self._lock.release()
