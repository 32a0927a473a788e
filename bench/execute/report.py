"""The report of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.digests import digest
from bench.scoring.metrics import metric_stamp, plugin_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.settings import Settings

    from .outcome import RunOutcome


def write_run_report(
    outcome: RunOutcome,
    settings: Settings,
    *,
    umap: bool,
    studies: Sequence[dict[str, Any]] = (),
) -> Path | None:
    """Write the report of a run unless the same one is there already; returns its path.

    ``report.html`` in the results folder is a copy of the last one.
    ``studies`` are summaries of the searches behind the run's tuned configurations.
    """
    # It loads the plotting libraries, which a run needs last, if at all.
    from bench.reports.write import copy_as_latest, write_report

    from .mlflow_report import add_to_session, add_umap_pictures

    assert outcome.table is not None
    content = {
        "jobs": sorted([j.score_key, j.method, j.dataset, j.profile] for j in outcome.plan.jobs),
        "excluded": [[e.method, e.dataset] for e in outcome.plan.excluded],
        "studies": [[study["study"], study["trials"]] for study in studies],
        "metrics": {name: metric_stamp(m) for name, m in plugin_metrics(settings.plugins).items()},
        "umap": umap,
    }
    folder = settings.results / "reports" / digest(content)[:8]
    page = folder / "report.html"
    if outcome.fitted or not page.is_file():
        write_report(outcome.table, folder, settings, umap=umap, studies=studies)
        add_to_session(outcome, page, settings)
        if umap:
            add_umap_pictures(outcome.table, settings)
    copy_as_latest(page, settings)
    return page
