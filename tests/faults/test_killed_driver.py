"""A driver that is killed leaves no process of its fits, daemons included."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from _reliability import Row, write_part

SECONDS = "98765"
"""By this length of sleep the processes of a fit are known."""
METHOD = f'''
from bench.contract import Fit, Method, RNA


class Daemon(Method):
    name, summary, reference, family = "leaves", "starts a daemon and waits", "none", "baseline"
    modalities = frozenset({{RNA}})

    def fit(self, data, context):
        import ctypes
        import os

        if not os.fork():
            os.setsid()
            if not os.fork():
                os.execve("/bin/sleep", ["sleep", "{SECONDS}"], {{}})
            os._exit(0)
        ctypes.PyDLL(None).sleep(3600)  # no thread of Python runs meanwhile
'''


def sleepers() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline() == ["sleep", SECONDS]:
                found.append(process)
    return found


def wait_until(condition: Any, seconds: float = 120.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="the process server adopts on Linux")
def test_no_process_outlives_a_killed_driver(tmp_path: Path, cache: Path):
    plugin = tmp_path / "leaves.py"
    plugin.write_text(METHOD)
    toy = Path(__file__).parents[1] / "plugins" / "toy.py"
    command = [
        sys.executable, "-m", "bench", "run", "-m", "leaves", "-d", "toy", "--seeds", "2",
        "--jobs", "2", "--no-report", "--results", str(tmp_path / "results"),
        "--cache-dir", str(cache), "--plugin", str(plugin), "--plugin", str(toy),
    ]  # fmt: skip
    ends = {signal.SIGKILL: "driver killed (SIGKILL)", signal.SIGTERM: "driver ended (SIGTERM)"}
    rows = []
    for number, fault in ends.items():
        driver = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        assert wait_until(lambda: len(sleepers()) == 2), "no fit has begun"
        os.kill(driver.pid, number)
        driver.wait(60)
        wait_until(lambda: not sleepers(), 30)
        rows.append(Row(f"{fault} during fits that have daemons", "none left", 1))
        rows[-1].orphans = len(sleepers())
    write_part("A driver that ends", rows)
    assert sum(row.orphans for row in rows) == 0
