"""Results that are computed but not yet committed.

Each is a folder ``<spool>/<score key>`` with ``result.json`` and ``artifacts/``, written whole
under a temporary name and renamed. Whatever lies here is committed on the next start.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.jobs import Job


@dataclass
class Result:
    """How a job ended, with everything that is tracked except its artifacts."""

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
    """Metric → version of its values (``bench.metrics.stamp``)."""
    facts: dict[str, Any] = field(default_factory=dict)
    log_tail: str = ""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of each process, for ``benchmarks/overhead.py``."""

    def write(self, folder: Path) -> None:
        """Write ``result.json``."""
        content = asdict(self)
        (folder / "result.json").write_text(json.dumps(content, indent=1))

    @classmethod
    def read(cls, folder: Path) -> Result:
        """Inverse of :meth:`write`."""
        content = json.loads((folder / "result.json").read_text())
        return cls(**{**content, "job": Job.from_dict(content["job"])})


class Spool:
    """The folder of results that wait for their commit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def work_folder(self, job: Job) -> Path:
        """Return a fresh folder to compute in; its name shows the process that owns it."""
        folder = self.root / f".{job.score_key}.{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "artifacts").mkdir(parents=True)
        return folder

    def finish(self, work: Path, result: Result) -> Path:
        """Make a work folder a waiting result."""
        shutil.rmtree(work / "scratch", ignore_errors=True)
        result.write(work)
        target = self.root / result.job.score_key
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
        return target

    def waiting(self) -> list[Path]:
        """Return the folders of results to commit, oldest first."""
        found = [p for p in self.root.iterdir() if not p.name.startswith(".")]
        return sorted(found, key=lambda path: path.stat().st_mtime)

    def sweep(self) -> None:
        """Remove work folders whose process is gone."""
        import psutil

        for path in self.root.glob(".*"):
            owner = path.name.rpartition(".")[2]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(path, ignore_errors=True)
