"""Check a store: score its embeddings again, fit a random part again, and compare.

Nothing of the store runs: methods come from the registry and from plugins that the user names,
datasets by their names from the loaders of this machine. The store is not written.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from bench.digests import digest
from bench.errors import BenchError, UsageError
from bench.execute.driver import Driver
from bench.execute.local_executor import LocalExecutor
from bench.execute.progress_bar import ProgressDisplay
from bench.plan.job import Plan
from bench.provenance import cpu_kind
from bench.store.result import Result
from bench.store.spool import Spool

from .differences import DIFFERENT, EQUAL, WITHIN_SEEDS, RowDifference, SeedSpreads, compare_rows
from .own_jobs import OwnJobs
from .record import Row, result_row, row_digest, row_name

if TYPE_CHECKING:
    from rich.console import Console

    from bench.plan.job import Job
    from bench.settings import Settings

    from .source import ResultSource

RESCORED, REFITTED = "scores", "fit"
"""What was computed again."""
NOT_CHECKED = "not checked"
_Todo = tuple["Job", Row, Path | None]
"""A job, its stored row, and the folder of a finished fit of which only scores are computed."""
_COPIES = 50
"""Fits that are copied at a time."""
_REPEATABLE = ("done", "failed", "diverged")
"""Statuses that do not depend on the limits of a machine."""


@dataclass(frozen=True)
class AuditFinding:
    """What one comparison gave."""

    job: str
    score_key: str
    computed: str
    """``scores`` or ``fit``."""
    verdict: str
    score: str = ""
    stored: float | None = None
    now: float | None = None
    reason: str = ""


@dataclass
class AuditOutcome:
    """All comparisons of an audit."""

    source: str
    share: float
    seed: int
    digest: str
    """Of all that the store claims."""
    jobs: int
    """Finished jobs of the store."""
    drawn: int
    """Jobs that were drawn to be fitted again."""
    cpus: Counter[str]
    """Number of results by kind of processor."""
    findings: list[AuditFinding] = field(default_factory=list)

    def counts(self, computed: str) -> Counter[str]:
        """Return the number of findings by verdict."""
        return Counter(one.verdict for one in self.findings if one.computed == computed)

    def count_lines(self) -> list[str]:
        """Return a line for the embeddings that were scored, and one for the jobs fitted again."""
        lines = []
        for computed, text in ((RESCORED, "embeddings scored"), (REFITTED, "jobs fitted")):
            counts = self.counts(computed)
            shown = ", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items()))
            lines.append(f"{counts.total()} {text} again: {shown or 'none'}")
        return lines

    @property
    def unequal(self) -> list[AuditFinding]:
        """Findings to be listed."""
        return [one for one in self.findings if one.verdict != EQUAL]

    @property
    def verdict(self) -> str:
        """The worst of the verdicts; ``not checked`` if nothing could be compared."""
        found = {one.verdict for one in self.findings}
        order = (DIFFERENT, WITHIN_SEEDS, EQUAL)
        return next((verdict for verdict in order if verdict in found), NOT_CHECKED)

    @property
    def exit_code(self) -> int:
        """1 if a result is different, 3 if nothing could be compared, else 0."""
        return {DIFFERENT: 1, NOT_CHECKED: 3}.get(self.verdict, 0)


def audit(
    source: ResultSource,
    settings: Settings,
    console: Console,
    *,
    share: float = 0.05,
    seed: int | None = None,
) -> AuditOutcome:
    """Compare the results of a store with what this machine computes.

    All stored embeddings are scored again. A random share of the jobs is fitted again, in the
    limited and walled process of any fit.

    Parameters
    ----------
    settings
        Cache, plugins and limits of this machine.
    share
        From 0 to 1; rounded up to whole jobs.
    seed
        Seed of the draw; drawn itself and recorded if it is not given, so that nobody knows it
        before.

    Raises
    ------
    UsageError
        If there is no finished job.
    """
    rows = [row for row in source.rows() if row["status"] in _REPEATABLE]
    if not rows:
        raise UsageError(f"{source.name}: no finished job to audit.", code="no_results")
    seed = secrets.randbits(32) if seed is None else seed
    drawn = draw_rows(rows, share, seed)
    cpus = Counter(row["cpu"] or "unknown" for row in rows)
    whole = store_digest(rows)
    outcome = AuditOutcome(source.name, share, seed, whole, len(rows), len(drawn), cpus)
    auditor = _Auditor(source, settings, console, SeedSpreads(rows), outcome)
    auditor.rescore([row for row in rows if row["status"] == "done"])
    auditor.refit(drawn)
    return outcome


def draw_rows(rows: Iterable[Row], share: float, seed: int) -> list[Row]:
    """Return a random share of some rows; it depends on their keys and the seed alone."""
    ordered = sorted(rows, key=lambda row: str(row["score_key"]))
    number = min(len(ordered), math.ceil(share * len(ordered)))
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    return [ordered[i] for i in sorted(rng.choice(len(ordered), number, replace=False))]


def store_digest(rows: Iterable[Row]) -> str:
    """Return a digest of the keys and numbers of some results."""
    return digest(sorted([row["score_key"], row_digest(row)] for row in rows))


class _Auditor:
    """Computes jobs of a store again."""

    def __init__(
        self,
        source: ResultSource,
        settings: Settings,
        console: Console,
        spreads: SeedSpreads,
        outcome: AuditOutcome,
    ) -> None:
        self._source, self._settings, self._console = source, settings, console
        self._spreads, self._outcome = spreads, outcome
        self._own_jobs = OwnJobs(source, settings)

    def rescore(self, rows: list[Row]) -> None:
        """Score the stored embeddings again, some at a time since they are copied."""
        for start in range(0, len(rows), _COPIES):
            with TemporaryDirectory(prefix="bench-audit-") as scratch:
                todo: list[_Todo] = []
                for row in rows[start : start + _COPIES]:
                    with self._noted(row, RESCORED):
                        job = self._own_jobs.scoring_job(row)
                        todo.append((job, row, self._copy_fit(row, Path(scratch))))
                self._compute(todo, RESCORED, Path(scratch))

    def refit(self, rows: list[Row]) -> None:
        """Fit jobs again."""
        todo: list[_Todo] = []
        for row in rows:
            with self._noted(row, REFITTED):
                todo.append((self._own_jobs.fit_job(row), row, None))
        with TemporaryDirectory(prefix="bench-audit-") as scratch:
            self._compute(todo, REFITTED, Path(scratch))

    @contextlib.contextmanager
    def _noted(self, row: Row, computed: str) -> Iterator[None]:
        """Note an error of the code inside as the reason why a row is not checked."""
        try:
            yield
        except BenchError as error:
            self._add(row, computed, RowDifference(NOT_CHECKED, reason=str(error)))

    def _copy_fit(self, row: Row, scratch: Path) -> Path:
        """Return a folder with the stored embedding and what else its scores need."""
        folder = scratch / "fitted" / row["score_key"]
        folder.mkdir(parents=True)
        self._source.copy_files(row, folder)
        if not all((folder / name).is_file() for name in ("embedding.parquet", "cells.npy")):
            raise UsageError("its embedding is not stored.", code="no_artifacts")
        return folder

    def _compute(self, todo: list[_Todo], computed: str, scratch: Path) -> None:
        """Run jobs into a spool that is thrown away, and compare each as it ends."""
        if not todo:
            return
        settings, rows = self._settings, {job.score_key: row for job, row, _ in todo}
        jobs = [job for job, _, _ in todo]
        Driver(settings, self._own_jobs.cache, Plan(), self._console).write_splits(jobs)
        with (
            ProgressDisplay(
                self._console, len(todo), describe=lambda _: self._outcome.findings[-1].verdict
            ) as display,
            LocalExecutor(
                settings.jobs, jobs[0].threads, settings.cache_dir, Spool(scratch / "spool"),
                display.show_step, settings.plugins, self._source.hidden,
            ) as executor,
        ):  # fmt: skip
            for job, _, fitted in todo:
                if fitted is None:
                    executor.submit(job)
                else:
                    executor.submit_scoring(job, fitted)
            for job, folder in executor.as_completed():
                assert folder is not None
                result, row = Result.read(folder), rows[job.score_key]
                self._add(row, computed, self._compare(row, result, computed))
                display.show_end(job, result)
                shutil.rmtree(folder)

    def _compare(self, row: Row, result: Result, computed: str) -> RowDifference:
        """Compare a stored row with what was computed now."""
        if result.status != row["status"]:
            unsure = result.status not in _REPEATABLE or computed == RESCORED
            verdict = NOT_CHECKED if unsure else DIFFERENT
            reason = f"{row['status']} in the store, now {result.status}: {result.reason}"
            return RowDifference(verdict, reason=reason)
        if result.status != "done":
            return RowDifference(EQUAL, reason=result.status)
        here = result_row(result)
        if computed == REFITTED:
            return compare_rows(row, here, self._spreads)
        # The source of the method does not matter for scores of a stored embedding.
        here |= {"cpu": cpu_kind(), "fit_key": row["fit_key"]}
        return compare_rows(row, here, self._spreads, only_scores=True)

    def _add(self, row: Row, computed: str, found: RowDifference) -> None:
        self._outcome.findings.append(
            AuditFinding(
                row_name(row), row["score_key"], computed, found.verdict, found.score,
                found.first, found.second, found.reason,
            )
        )  # fmt: skip
