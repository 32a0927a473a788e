"""A fit that was killed goes on: the folder in which a method keeps its state meanwhile."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.errors import DataError, UsageError

logger = logging.getLogger(__name__)
_ABOUT = "about.json"


@contextlib.contextmanager
def checkpoints(out: Path, about: dict[str, Any], *, resume: bool) -> Iterator[Path]:
    """Give the folder of the checkpoints of a fit that writes to ``out``, hidden beside it.

    It is removed at the end and stays after an interruption. ``about`` is all that decides the
    result; with ``resume`` the folder that an interrupted fit left is given, else an empty one.
    Raises ``UsageError`` if that fit was another one, ``DataError`` if the disk refuses.
    """
    folder = out.with_name(f".{out.name}.checkpoint")
    plain = json.loads(json.dumps(about, default=str))
    left = _read(folder)
    if resume and left is None:
        logger.info(f"--resume: no interrupted fit of {out}: this one starts at the beginning")
    elif resume:
        _same(folder, left or {}, plain)
        logger.info(f"{out}: going on where the fit was interrupted")
    elif left is not None:
        logger.info(f"{out}: a fit was interrupted there; this one starts anew (--resume goes on)")
    try:
        if not resume or left is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / _ABOUT).write_text(json.dumps(plain, indent=1) + "\n")
    except OSError as error:
        raise DataError(f"{folder}: cannot write there: {error.strerror or error}.") from None
    try:
        yield folder
    except BaseException as error:
        # Without a checkpoint there is nothing to go on from.
        if [path.name for path in folder.iterdir()] == [_ABOUT]:
            shutil.rmtree(folder, ignore_errors=True)
        elif isinstance(error, KeyboardInterrupt):
            logger.info(f"{out}: interrupted; the same command with --resume goes on")
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _read(folder: Path) -> dict[str, Any] | None:
    """Return what the interrupted fit was, ``None`` if there is none with a checkpoint."""
    try:
        found: dict[str, Any] = json.loads((folder / _ABOUT).read_text())
    except (OSError, ValueError):
        return None
    return found if any(path.name != _ABOUT for path in folder.iterdir()) else None


def _same(folder: Path, left: dict[str, Any], now: dict[str, Any]) -> None:
    changed = [name for name in now if left.get(name) != now[name]]
    if changed:
        raise UsageError(
            f"--resume: the interrupted fit had another {' and '.join(changed)}; repeat its "
            f"command, leave --resume out to start anew, or remove {folder}."
        )
