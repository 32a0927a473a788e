"""Run a server that ends, with all that it started, as soon as its caller has ended.

``python -m bench.cli.server_group COMMAND``: the caller keeps standard input open and makes this
process the leader of a session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import psutil

_END_SECONDS = 5.0


def main(command: list[str]) -> int:
    """Run the command until it ends by itself; returns its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # it is for the others of the group
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_caller, daemon=True).start()
    code = server.wait()
    _kill_others()
    return code


def _end_with_caller() -> None:
    """Wait until standard input is closed, then end the group."""
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGTERM)
    time.sleep(_END_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _kill_others() -> None:
    """Kill what the server has left in the group."""
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if process.pid != os.getpid() and os.getpgid(process.pid) == os.getpgrp():
                process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
