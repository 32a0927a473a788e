"""Results that are computed but not yet committed.

Each is a folder ``<spool>/<score key>`` with ``result.json`` and ``artifacts/``, written whole
under a temporary name and renamed. Whatever lies here is committed on the next start.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from pathlib import Path

import psutil

from bench.plan.job import Job
from bench.store.result import Result


class Spool:
    """The folder of results that wait for their commit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def work_folder(self, job: Job) -> Path:
        """Return a fresh folder to compute in; its name shows the process that owns it."""
        folder = self.root / f".{job.score_key}.{platform.node()}.{os.getpid()}"
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

    def failed(
        self, job: Job, reason: str, status: str = "failed", *, started: float | None = None
    ) -> Path:
        """Make a waiting result of a job that came to nothing; returns its folder."""
        now = time.time()
        result = Result(job, status, reason, started=started or now, ended=now)
        return self.finish(self.work_folder(job), result)

    def waiting(self) -> list[Path]:
        """Return the folders of results to commit, oldest first."""
        found = []
        for path in self.root.iterdir():
            if not path.name.startswith("."):
                with contextlib.suppress(FileNotFoundError):  # another driver commits it
                    found.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(found)]

    def set_aside(self, folder: Path) -> Path:
        """Move a result that cannot be committed out of the way; returns where it is kept."""
        target = self.root.with_name("refused") / f"{folder.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        return folder.rename(target)

    def sweep(self) -> None:
        """Remove work folders of this machine whose process is gone."""
        for path in self.root.glob(".*"):
            named, _, owner = path.name.rpartition(".")
            host = named.split(".", 2)[2:]  # none in a folder of an earlier version
            here = host in ([], [platform.node()])
            if here and owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(path, ignore_errors=True)
