"""Containers for fits behind the wall: the fit asks, the process that watches it runs them.

The fit writes its counts into a folder, sends a message and waits for the file that says how the
container ended. It can ask for a folder of its own only.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract.container import OUT, ContainerCommand

from .container import Container, ContainerEnd, EngineError, create_file

if TYPE_CHECKING:
    from .channel import DriverPipe

REQUEST = "container"
"""Message of a fit that asks for a container."""
CONTAINER = "container"
"""Word of tables and runs for a fit in a container, in the place of the kernel's wall."""
_PRINTED, _ENDED = "printed.txt", "ended.json"
_POLL_SECONDS = 0.1


def ask_for_container(
    command: ContainerCommand, on_line: Callable[[str], None], /, *, pipe: DriverPipe
) -> int:
    """Have the watching process run a container, and return its exit code."""
    place = command.folder.parent
    for name in (_PRINTED, _ENDED):
        (place / name).unlink(missing_ok=True)
    words = list(command.words)
    pipe.send(REQUEST, {"image": command.image, "words": words, "folder": str(command.folder)})
    lines, ended = _PrintedLines(place / _PRINTED, on_line), place / _ENDED
    while not ended.is_file():
        time.sleep(_POLL_SECONDS)
        lines.pass_on()
    lines.pass_on(last=True)
    return int(json.loads(ended.read_text())["code"])


def run_container(
    command: ContainerCommand, on_line: Callable[[str], None], /, *, threads: int
) -> int:
    """Run a container for a fit in this process, without a limit of memory."""
    printed = command.folder.parent / _PRINTED
    printed.unlink(missing_ok=True)
    lines = _PrintedLines(printed, on_line)
    with Container(command, printed, threads) as container:
        while (end := container.poll()) is None:
            time.sleep(_POLL_SECONDS)
            lines.pass_on()
    lines.pass_on(last=True)
    if end.out_of_memory:
        raise MemoryError("the system killed the container, which was out of memory")
    return end.code


class ContainerHost:
    """Runs the containers that one fit asks for, one at a time.

    ``writable``: folders of the fit.
    """

    def __init__(self, writable: Sequence[Path], threads: int, memory_gib: float) -> None:
        self._writable, self._threads, self._memory = writable, threads, memory_gib
        self._running: Container | None = None
        self._ended_file = Path()
        self._failure: tuple[str, str] | None = None
        self._peaks: list[int | None] = []
        self._seconds: list[float | None] = []

    def start(self, request: Any) -> None:
        """Start the container of a message; what hinders it is the next answer of `check`."""
        try:
            command = self._command(request)
        except (TypeError, KeyError, ValueError, OSError) as error:
            self._failure = ("failed", f"its request for a container is refused: {error}")
            return
        place = command.folder.parent
        self._ended_file = place / _ENDED
        try:
            self._running = Container(command, place / _PRINTED, self._threads, self._memory)
        except (EngineError, OSError) as error:
            self._failure = ("interrupted", f"its container could not be started: {error}")

    def check(self) -> tuple[str, str] | None:
        """Tell the fit if its container has ended; returns status and reason if the job ends."""
        if self._failure or self._running is None:
            return self._failure
        try:
            end = self._running.poll()
        except EngineError as error:
            return "interrupted", f"its container could not be started: {error}"
        except (RuntimeError, OSError) as error:
            return "failed", str(error)
        if end is None:
            return None
        self.close()
        if end.out_of_memory:
            return "oom", f"its container exceeded the limit of {self._memory:g} GiB"
        self._answer(end)
        return None

    def close(self) -> None:
        """End the container, if one runs."""
        if self._running is not None:
            self._running.close()
            self._peaks.append(self._running.peak_bytes)
            self._seconds.append(self._running.cpu_seconds)
            self._running = None

    @property
    def were_started(self) -> bool:
        """Whether the fit has run a container."""
        return bool(self._peaks)

    def add_costs(self, value: dict[str, Any]) -> float | None:
        """Put the costs of the containers in the place of those of the waiting process.

        A cost that this machine does not show is ``None``. Returns the peak memory in MiB.
        """
        value["files"] = CONTAINER
        seconds = [one for one in self._seconds if one is not None]
        if len(seconds) == len(self._seconds) and "cpu_seconds" in value:
            value["cpu_seconds"] += sum(seconds)
        else:
            value["cpu_seconds"] = None
        peaks = [one for one in self._peaks if one is not None]
        return max(peaks) / 2**20 if len(peaks) == len(self._peaks) else None

    def _command(self, request: Any) -> ContainerCommand:
        if self._running is not None:
            raise ValueError("another one is running")
        words, folder = tuple(map(str, request["words"])), Path(request["folder"])
        own = any(folder.is_relative_to(one.resolve()) for one in self._writable)
        links = [one for one in (folder, folder / OUT) if one.resolve(strict=True) != one]
        if links or not own or ":" in str(folder):
            raise ValueError(f"{folder} is no folder of this fit")
        return ContainerCommand(str(request["image"]), words, folder)

    def _answer(self, end: ContainerEnd) -> None:
        new = self._ended_file.with_suffix(".new")
        with contextlib.suppress(OSError):  # the fit may have ended
            with create_file(new) as file:
                file.write(json.dumps({"code": end.code}).encode())
            os.replace(new, self._ended_file)


class _PrintedLines:
    """The lines that a container prints into a file."""

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        self._path, self._on_line = path, on_line
        self._position, self._rest = 0, b""

    def pass_on(self, *, last: bool = False) -> None:
        """Pass on the whole lines that are new; with ``last`` also one without its end."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._position)
            new = file.read()
            self._position += len(new)
            *lines, self._rest = (self._rest + new).split(b"\n")
            for line in lines:
                self._on_line(line.decode(errors="replace"))
        if last and self._rest:
            self._on_line(self._rest.decode(errors="replace"))
