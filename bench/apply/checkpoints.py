"""The folder in which a method stores its state, so that an interrupted fit can be resumed."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from typing import TYPE_CHECKING, Any

from bench.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)
_IDENTITY = "about.json"


@contextlib.contextmanager
def open_checkpoints(out: Path, identity: dict[str, Any], *, resume: bool) -> Iterator[Path]:
    """Yield the folder of the checkpoints of a fit that writes to ``out``, hidden beside it.

    It is removed after the fit and stays after an interruption. ``identity`` is everything that
    determines the result. With ``resume`` the folder of an interrupted fit is yielded, else an
    empty one. Raises ``UsageError`` if the interrupted fit had another identity, ``DataError`` if
    the folder cannot be written.
    """
    folder = out.with_name(f".{out.name}.checkpoint")
    identity = json.loads(json.dumps(identity, default=str))
    interrupted = _read_identity(folder)
    if resume and interrupted is None:
        logger.info(f"--resume: no interrupted fit of {out}: this one starts at the beginning")
    elif resume:
        _check_identity(folder, interrupted or {}, identity)
        logger.info(f"{out}: going on where the fit was interrupted")
    elif interrupted is not None:
        logger.info(f"{out}: an interrupted fit is there; this one starts anew (--resume goes on)")
    try:
        if not resume or interrupted is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / _IDENTITY).write_text(json.dumps(identity, indent=1) + "\n")
    except OSError as error:
        raise DataError(
            f"{folder}: cannot write there: {error.strerror or error}.", code="not_writable"
        ) from None
    try:
        yield folder
    except BaseException as error:
        # Without a checkpoint there is nothing to resume.
        if [path.name for path in folder.iterdir()] == [_IDENTITY]:
            shutil.rmtree(folder, ignore_errors=True)
        elif isinstance(error, KeyboardInterrupt):
            logger.info(f"{out}: interrupted; the same command with --resume goes on")
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _read_identity(folder: Path) -> dict[str, Any] | None:
    """Return the identity of an interrupted fit, ``None`` if there is none with a checkpoint."""
    try:
        identity: dict[str, Any] = json.loads((folder / _IDENTITY).read_text())
    except (OSError, ValueError):
        return None
    return identity if any(path.name != _IDENTITY for path in folder.iterdir()) else None


def _check_identity(folder: Path, interrupted: dict[str, Any], identity: dict[str, Any]) -> None:
    """Raise ``UsageError`` if the identities of two fits differ."""
    changed = [name for name in identity if interrupted.get(name) != identity[name]]
    if changed:
        raise UsageError(
            f"--resume: the interrupted fit had another {' and '.join(changed)}; repeat its "
            f"command, leave --resume out to start anew, or remove {folder}.",
            code="other_fit",
        )
