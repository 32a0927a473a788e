"""``bench`` in a driver that kills some of its own processes at random times.

``BENCH_TEST_KILLS`` is JSON: the share of the processes of each kind (``prepare``, ``fit``,
``score``) that are killed, that of starts at which the ``server`` is killed, and ``log``, a file
with a line for each kill. ``BENCH_TEST_CLOCK`` is the number of days by which the clock is wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from typing import Any

days = float(os.environ.get("BENCH_TEST_CLOCK", "0"))
if days:
    right_time = time.time
    time.time = lambda: right_time() + days * 86400

from bench.cli.main import main  # noqa: E402
from bench.execute import limited_process  # noqa: E402

shares: dict[str, Any] = json.loads(os.environ.get("BENCH_TEST_KILLS", "{}"))
start = limited_process.start_process
SECONDS = 0.15
"""Longest time from the start of a process to its kill."""


def kill(kind: str, pid: int) -> None:
    number = random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL if kind == "server" else number)
        with open(shares["log"], "a") as log:
            log.write(f"{kind}\n")


def start_and_kill(target: Any, arguments: tuple[Any, ...]) -> tuple[Any, int]:
    process, server = start(target, arguments)
    for kind, pid in ((arguments[1], process.pid), ("server", server)):
        if random.random() < shares.get(kind, 0):
            timer = threading.Timer(random.uniform(0, SECONDS), kill, (kind, pid))
            timer.daemon = True
            timer.start()
    return process, server


if __name__ == "__main__":
    limited_process.start_process = start_and_kill
    main()
