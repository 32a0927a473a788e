"""report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.digests import digest
from bench.reports.write import write_report
from bench.scoring.metrics import plugin_metrics, stamp
from bench.settings import Settings

from .outcome import RunOutcome


def make_report(
    outcome: RunOutcome,
    settings: Settings,
    console: Console,
    *,
    umap: bool,
    studies: Sequence[dict[str, Any]] = (),
) -> Path | None:
    """Write the report of a run unless the same one is there already; returns its path.

    ``studies`` are summaries of the searches behind the run's tuned configurations.
    """
    assert outcome.results is not None
    jobs = [[job.score_key, job.method, job.dataset, job.profile] for job in outcome.plan.jobs]
    left = [[one.method, one.dataset] for one in outcome.plan.left]
    searched = [[one["study"], one["trials"]] for one in studies]
    scored = {name: stamp(one) for name, one in plugin_metrics(settings.plugins).items()}
    shown = [sorted(jobs), left, searched, scored, umap]
    folder = settings.results / "reports" / digest(shown)[:8]
    page = folder / "report.html"
    if page.is_file() and not outcome.fitted:
        return page
    write_report(outcome.results, folder, settings, umap=umap, studies=studies)
    return page
