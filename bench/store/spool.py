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
from typing import TYPE_CHECKING

import psutil

from .result import Result

if TYPE_CHECKING:
    from pathlib import Path

    from bench.plan.job import Job


class Spool:
    """The folder of results that are not yet committed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def work_folder(self, job: Job) -> Path:
        """Return a fresh folder to compute in, named after the job and this process."""
        folder = self.work_path(job)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "artifacts").mkdir(parents=True)
        return folder

    def work_path(self, job: Job) -> Path:
        """Return the place of the folder in which this process computes a job."""
        return self.root / f".{job.score_key}.{platform.node()}.{os.getpid()}"

    def add(self, work: Path, result: Result) -> Path:
        """Store a result with its work folder for commit; returns its folder."""
        result.write(work)
        target = self.root / result.job.score_key
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
        return target

    def add_failure(
        self, job: Job, reason: str, status: str = "failed", *, started: float | None = None
    ) -> Path:
        """Store a failed job for commit; returns its folder."""
        now = time.time()
        result = Result(job, status, reason, started=started or now, ended=now)
        return self.add(self.work_folder(job), result)

    def pending(self) -> list[Path]:
        """Return the folders of results to commit, oldest first."""
        folders = []
        for path in self.root.iterdir():
            if not path.name.startswith("."):
                with contextlib.suppress(FileNotFoundError):  # another driver commits it
                    folders.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(folders)]

    def reject(self, folder: Path) -> Path:
        """Move a result that cannot be committed to ``refused``; returns its new place."""
        target = self.root.with_name("refused") / f"{folder.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        return folder.rename(target)

    def remove_abandoned(self) -> None:
        """Remove work folders of this machine whose process has ended."""
        for path in self.root.glob(".*"):
            prefix, _, owner = path.name.rpartition(".")
            _, _, host = prefix[1:].partition(".")
            here = host == platform.node()
            if here and owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(path, ignore_errors=True)
