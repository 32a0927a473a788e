"""The log of ``bench`` on a console."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.addresses import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


class ConsoleHandler(logging.Handler):
    """Handler that prints messages on a console, above a progress bar if there is one."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        text = mask_secrets(record.getMessage())
        self._console.print(text, markup=False, highlight=False)


@contextmanager
def log_on_console(console: Console) -> Iterator[None]:
    """Print log messages of level ``INFO`` or higher, unless the log has a handler."""
    logger = logging.getLogger("bench")
    if logger.hasHandlers():
        yield
        return
    level, handler = logger.level, ConsoleHandler(console)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
