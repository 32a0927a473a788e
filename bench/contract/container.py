"""Which engine of this machine has the image of a container, and what is started in it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ENGINES = ("docker", "podman")
PLACE = Path("/aebench")
"""Folder in the container that shows the folder of the fit."""
OUT = "out"
"""Its only part that can be written."""
_ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class ContainerCommand:
    """A command in a container.

    Parameters
    ----------
    image
        Name or id of an image of this machine.
    words
        The command; paths are those in the container.
    folder
        Folder shown as :data:`PLACE`, read-only but for its folder :data:`OUT`.
    """

    image: str
    words: tuple[str, ...]
    folder: Path


class ContainerRunner(Protocol):
    """Signature of ``context.run_container``."""

    def __call__(self, command: ContainerCommand, on_line: Callable[[str], None], /) -> int:
        """Run a command, pass on each line that it prints, and return its exit code.

        Raises
        ------
        RuntimeError
            If no engine can run it.
        MemoryError
            If it exceeded its memory limit.
        """


def find_image(image: str) -> tuple[str, str, str]:
    """Return the engine that has an image, the image's id, and the reason if there is none.

    The first of docker and podman that is installed and knows the image is taken. ``image`` is a
    name or an id.
    """
    reasons = []
    for name in ENGINES:
        program = shutil.which(name)
        if program is None:
            continue
        try:
            asked = subprocess.run(
                [program, "image", "inspect", "--format", "{{.Id}}", image],
                capture_output=True, text=True, errors="replace", timeout=_ANSWER_SECONDS,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            reasons.append(f"{name}: {type(error).__name__}")
            continue
        if asked.returncode == 0 and asked.stdout.strip():
            return program, asked.stdout.split()[0], ""
        lines = [line for line in asked.stderr.splitlines() if line.strip()]
        reasons.append(f"{name}: {lines[-1].strip() if lines else 'no answer'}")
    if not reasons:
        return "", "", f"neither {' nor '.join(ENGINES)} is installed"
    return "", "", f"no engine has the image {image} ({'; '.join(reasons)})"
