"""A tracking server of MLflow on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """``mlflow server`` on a database."""

    def __init__(self, database: str, folder: Path) -> None:
        self._database, self._folder, self.port = database, folder, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        with (self._folder / "server.txt").open("a") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "mlflow", "server", "--backend-store-uri",
                    self._database, "--artifacts-destination", str(self._folder / "artifacts"),
                    "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
                ],
                stdout=log, stderr=log, cwd=self._folder, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 180
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            assert self._process.poll() is None
            assert time.monotonic() < deadline, (self._folder / "server.txt").read_text()[-2000:]
            time.sleep(0.2)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
