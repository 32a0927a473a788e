"""How a job ended, and the file ``result.json`` that records it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import DataError
from bench.plan.job import Job

SCORING_PREFIX = "scoring: "
"""Start of the reason of a job whose fit is done and whose scores failed."""


class InvalidResult(DataError):
    """A result that cannot be read, or that MLflow refuses."""


@dataclass
class Result:
    """How a job ended: everything that the store records except its artifacts."""

    job: Job
    status: str
    reason: str = ""
    session: str = ""
    started: float = 0.0
    """Seconds since the epoch."""
    ended: float = 0.0
    measures: dict[str, float] = field(default_factory=dict)
    """Seconds, CPU seconds, peak memory, parameters, coverage."""
    metrics: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    """Name → steps and values."""
    notes: dict[str, str] = field(default_factory=dict)
    stamps: dict[str, str] = field(default_factory=dict)
    """Metric → version of its values (``bench.scoring.metrics.metric_stamp``)."""
    facts: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)
    """``git_commit`` and ``versions`` of a worker; with ``rescored`` those of another store."""
    log_tail: str = ""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of each process, for ``benchmarks/overhead.py``."""

    def write(self, folder: Path) -> None:
        """Write ``result.json``, whole or not at all."""
        text = json.dumps(asdict(self), indent=1, default=as_number)
        partial = folder / f".result.{os.getpid()}.json"
        partial.write_text(text)
        partial.replace(folder / "result.json")

    @classmethod
    def read(cls, folder: Path) -> Result:
        """Read what :meth:`write` wrote.

        Raises ``InvalidResult`` for any other file, ``FileNotFoundError`` if there is no folder.
        """
        path = folder / "result.json"
        try:
            content = json.loads(path.read_text())
            return cls(**{**content, "job": Job.from_dict(content["job"])})
        except OSError as error:
            if not folder.is_dir():
                raise  # another driver has committed it
            raise InvalidResult(
                f"{path} cannot be read: {error.strerror}", code="damaged_result"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidResult(
                f"{path} cannot be read: {type(error).__name__}: {error}", code="damaged_result"
            ) from None


def as_number(value: Any) -> Any:
    """Return a NumPy number as one of Python."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a {type(value).__name__} is not stored; expected a number or text")
