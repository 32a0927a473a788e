"""Run one container for a fit: start it, measure it, and end it by its id.

An engine cannot start a container behind the wall of a fit, so the process that watches the fit
does. The container has no network and sees one folder, read-only but for a part of it. A second
small process waits for the end of this one, however it ends, and then removes the container.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.contract.container import OUT, PLACE, ContainerCommand, find_image

from .memory_events import count_oom_kills

_GUARD = 'cat >/dev/null; "$0" kill "$1"; "$0" rm --force "$1"'
_STATE = "{{.State.ExitCode}} {{.State.OOMKilled}} {{.State.StartedAt}}"
_ANSWER_SECONDS = 120.0
_KILLED = 128 + signal.SIGKILL
_NO_PROGRAM = 127
_PRINTED_BYTES = 2**26
_CGROUPS = Path("/sys/fs/cgroup")


class EngineError(RuntimeError):
    """The engine could not start a container."""


@dataclass(frozen=True)
class ContainerEnd:
    """How a container ended."""

    code: int
    out_of_memory: bool


class Container:
    """One running container; as a context manager it is removed at the end.

    Its output is appended to the file ``printed``, which must not exist. Raises ``EngineError`` if
    it cannot be started.
    """

    def __init__(
        self, command: ContainerCommand, printed: Path, threads: int,
        memory_gib: float | None = None,
    ) -> None:  # fmt: skip
        self._engine, _, reason = find_image(command.image)
        if reason:
            raise EngineError(reason)
        self._oom_kills = count_oom_kills(machine=True)
        self._id = self._ask("create", *_options(self._engine, threads, memory_gib),
                             *_mounts(command.folder), command.image, *command.words)  # fmt: skip
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, self._engine, self._id], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._usage = _Usage(self._id)
        try:
            self._printed = create_file(printed)
            # A session of its own: Ctrl-C in the terminal is no end of the container's.
            self._client = subprocess.Popen(
                [self._engine, "start", "--attach", self._id], stdin=subprocess.DEVNULL,
                stdout=self._printed, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            self._remove()
            raise

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def peak_bytes(self) -> int | None:
        """Largest memory of the container; ``None`` if this machine does not show it."""
        return self._usage.peak_bytes

    @property
    def cpu_seconds(self) -> float | None:
        """Processor time of the container; ``None`` if this machine does not show it."""
        return self._usage.cpu_seconds

    def poll(self) -> ContainerEnd | None:
        """Measure the container; returns how it ended, ``None`` while it runs.

        Raises
        ------
        EngineError
            If the engine could not start its command.
        RuntimeError
            If it printed more than 64 MiB.
        """
        code = self._client.poll()
        if code is None:
            self._usage.measure(self._ask_pid)
            if os.fstat(self._printed.fileno()).st_size > _PRINTED_BYTES:
                raise RuntimeError(f"it printed more than {_PRINTED_BYTES >> 20} MiB")
            return None
        state = self._ask("inspect", "--format", _STATE, self._id).split()
        if state[2].startswith("0001-") and code != _NO_PROGRAM:
            raise EngineError(f"{Path(self._engine).name}: {self._last_line()}")
        killed = code == _KILLED and count_oom_kills(machine=True) > self._oom_kills
        return ContainerEnd(code, state[1] == "true" or killed)

    def close(self) -> None:
        """End the container and remove it."""
        self._client.kill()
        self._client.wait()
        self._printed.close()
        self._remove()

    def _last_line(self) -> str:
        self._printed.seek(0)
        lines = self._printed.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it could not be started"

    def _remove(self) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._guard.wait(_ANSWER_SECONDS)

    def _ask_pid(self) -> int:
        with contextlib.suppress(EngineError, ValueError):
            return int(self._ask("inspect", "--format", "{{.State.Pid}}", self._id))
        return 0

    def _ask(self, *words: str) -> str:
        """Return the last line that the engine prints; raises ``EngineError``."""
        try:
            asked = subprocess.run(
                [self._engine, *words], capture_output=True, text=True, errors="replace",
                timeout=_ANSWER_SECONDS, start_new_session=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise EngineError(f"{self._engine}: {type(error).__name__}") from None
        lines = (asked.stderr if asked.returncode else asked.stdout).strip().splitlines()
        if asked.returncode or not lines:
            reason = lines[-1] if lines else f"exit code {asked.returncode}"
            raise EngineError(f"{Path(self._engine).name}: {reason}")
        return lines[-1].strip()


class _Usage:
    """Memory and processor time of a container, by the control group of its first process."""

    def __init__(self, container_id: str) -> None:
        self._id = container_id
        self._groups: dict[str, Path] | None = None
        self._asked = 0.0
        self.peak_bytes: int | None = None
        self.cpu_seconds: float | None = None

    def measure(self, ask_pid: Callable[[], int]) -> None:
        """Read the present values; the last ones stay when the container has ended."""
        if self._groups is None:
            if time.monotonic() - self._asked < 1:
                return
            self._asked = time.monotonic()
            pid = ask_pid()
            if pid <= 0:
                return
            self._groups = _control_groups(pid, self._id)
        with contextlib.suppress(OSError, ValueError, KeyError):
            self._read(self._groups)

    def _read(self, groups: dict[str, Path]) -> None:
        if "" in groups:
            group = groups[""]
            lines = (group / "cpu.stat").read_text().splitlines()
            used = int(dict(line.split() for line in lines)["usage_usec"])
            self.cpu_seconds = used / 1e6
            self.peak_bytes = int((group / "memory.peak").read_text())
            return
        self.cpu_seconds = int((groups["cpuacct"] / "cpuacct.usage").read_text()) / 1e9
        self.peak_bytes = int((groups["memory"] / "memory.max_usage_in_bytes").read_text())


def _control_groups(pid: int, container_id: str) -> dict[str, Path]:
    """Return the folders of a process's control groups, by controller; ``""`` for version 2.

    Only groups whose name holds the id are taken: the engine may run on another machine.
    """
    found: dict[str, Path] = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            for name in controllers.split(","):
                folder = _CGROUPS / name / group.strip("/")
                if container_id in group and folder.is_dir():
                    found[name] = folder
    if "memory" in found:
        found.pop("", None)  # both versions at once: version 1 has the memory
    return found


def _options(engine: str, threads: int, memory_gib: float | None) -> list[str]:
    """Return the limits of a container."""
    # The files that it writes belong to the user: of podman without root that is root inside.
    user = "0:0" if Path(engine).name == "podman" else f"{os.getuid()}:{os.getgid()}"
    memory = [] if memory_gib is None else [f"--memory={int(memory_gib * 2**30)}b"]
    swap = [one.replace("memory", "memory-swap") for one in memory]
    return [
        "--pull=never", "--network=none", f"--cpus={threads}", *memory, *swap,
        "--cap-drop=ALL", "--security-opt=no-new-privileges", "--security-opt=label=disable",
        "--log-driver=none", f"--user={user}", "--env=HOME=/tmp",
        *(f"--env={name}={threads}" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")),
        f"--workdir={PLACE}",
    ]  # fmt: skip


def _mounts(folder: Path) -> list[str]:
    return [f"--volume={folder}:{PLACE}:ro", f"--volume={folder / OUT}:{PLACE / OUT}"]


def create_file(path: Path) -> IO[bytes]:
    """Open a new file to append to and to read; whatever is in its place is refused."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o644), "a+b")
