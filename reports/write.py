"""Write the HTML report and its provenance."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

import bench
from bench.addresses import mask_secrets, public_address
from bench.provenance import command_line, describe_machine, git_commit, package_versions
from bench.registry import datasets
from bench.reports.page.report_page import ReportSource, write_page, write_text
from bench.reports.page.site import write_site
from bench.settings import Settings
from bench.store.disk_errors import disk_errors
from bench.store.mlflow_pages import run_address
from bench.store.result_store import ResultStore

from .figures.training_curves import median_run_ids
from .tables.eligible import CONTROL, NOT_RUN
from .tables.label_free import without_halves

_FILE_LINK = re.compile(r'href="((?:summary|scores|figures|tables|\.\.)[^":]*)"')
_NAMED = 3


def write_report(
    results: pd.DataFrame,
    folder: Path,
    settings: Settings,
    *,
    umap: bool = True,
    static: bool = False,
    studies: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write page and tables into ``folder``; returns the page's path.

    ``studies`` are the contents of the ``study.json`` of searches.
    """
    source = report_source(results, folder, settings, studies)
    table = results.assign(run_url=run_urls(results, settings))
    with disk_errors(folder):
        return write_page(table, folder, source, umap=umap, static=static)


def write_report_site(
    results: pd.DataFrame,
    folder: Path,
    settings: Settings,
    *,
    umap: bool = True,
    studies: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write the report as a site into ``folder``; returns the path of its index."""
    source = report_source(results, folder, settings, studies)
    table = results.assign(run_url=run_urls(results, settings))
    with disk_errors(folder):
        umaps = settings.results / "reports" / "umaps" if umap else None
        return write_site(table, folder, replace(source, docs=""), umaps)


def report_source(
    results: pd.DataFrame, folder: Path, settings: Settings, studies: Sequence[Mapping[str, Any]]
) -> ReportSource:
    """Return the origin of results, for a page in ``folder``."""
    whole = without_halves(results)
    return ReportSource(
        title=report_title(whole, settings.experiment),
        command=command_lines(results),
        provenance=provenance(whole, settings),
        studies=studies,
        curves=load_curves(results, settings),
        made=f"Written {datetime.now(UTC):%d %B %Y, %H:%M} UTC. The newest report of this "
        "results folder is always its report.html.",
        docs=docs_address(folder),
        plugins=settings.plugins,
    )


def report_title(results: pd.DataFrame, experiment: str) -> str:
    """Return how many methods were run on which datasets, and the experiment if it has a name."""
    ran = results[~results["status"].isin(NOT_RUN)]
    control = ran["family"] == CONTROL
    methods, controls = ran[~control]["method"].nunique(), ran[control]["method"].nunique()
    names = sorted(set(ran["dataset"]))
    data = f"{len(names)} datasets" if len(names) > _NAMED else " and ".join(names) or "no data"
    prefix = "" if experiment == Settings().experiment else f"{experiment}: "
    beside = f" and {controls} control{'s' * (controls != 1)}" * bool(controls)
    return f"{prefix}{methods} method{'s' * (methods != 1)}{beside} on {data}"


def docs_address(folder: Path) -> str:
    """Return where the measured results of a checkout lie, from a folder; empty without one."""
    page = Path(bench.__file__).resolve().parents[1] / "docs" / "results" / "README.md"
    return Path(os.path.relpath(page, folder.resolve())).as_posix() if page.is_file() else ""


def copy_as_latest(page: Path, settings: Settings) -> Path:
    """Copy a report to ``report.html`` of its results folder; returns that path.

    Links to files beside the page lead to their folder.
    """
    folder = page.parent.relative_to(settings.results).as_posix()
    text = _FILE_LINK.sub(rf'href="{folder}/\1"', page.read_text(encoding="utf-8"))
    with disk_errors(settings.results):
        return write_text(settings.results / page.name, text)


def run_urls(results: pd.DataFrame, settings: Settings) -> list[str]:
    """Return the address of each run in the MLflow UI; empty for jobs that were not run.

    A store in a results folder has the default address of ``bench ui``. MLflow shows a run among
    those of trained models only if the address says so, else among traces of language models.
    """
    if not {"run_id", "experiment_id"} <= set(results.columns):
        return [""] * len(results)
    server = public_address(settings.tracking_uri)
    base = server.rstrip("/") if server.startswith("http") else "http://127.0.0.1:5000"
    runs = zip(results["experiment_id"], results["run_id"], strict=True)
    return [
        f"{base}/{run_address(experiment, run)}" if isinstance(run, str) else ""
        for experiment, run in runs
    ]


def load_curves(results: pd.DataFrame, settings: Settings) -> pd.DataFrame | None:
    """Return the training curves of the median seeds; ``None`` without stored runs."""
    run_ids = median_run_ids(results)
    return pd.DataFrame(ResultStore(settings).curves(run_ids)) if run_ids else None


def command_lines(results: pd.DataFrame) -> str:
    """Return the commands that made the results, the current one last; one a line."""
    earlier = [text for text in results.get("command", []) if isinstance(text, str) and text]
    return mask_secrets("\n".join(dict.fromkeys([*earlier, command_line()])))


def provenance(results: pd.DataFrame, settings: Settings) -> dict[str, str]:
    """Return versions, machine, limits and sizes of datasets, by name."""
    threads = sorted({int(t) for t in results["threads"].dropna()}) if "threads" in results else []
    lines = {
        "aebench": bench.__version__,
        "git commit": git_commit() or "unknown (not a checkout)",
        "machine": describe_machine(),
        "processors of fits": _join_known(results, "cpu"),
        "threads per job": ", ".join(map(str, threads)),
        "jobs at a time": str(settings.jobs),
        "limits per job": f"{settings.timeout:g} s, {settings.memory:g} GiB",
        "files of fits": ", ".join(sorted({str(v) for v in results["files"] if v}))
        if "files" in results
        else "unknown",
        "store": settings.public_name,
        "clusterings": "k-means with k = number of true types (without labels: --n-clusters); "
        "Leiden at resolution 1.0",
        "versions": ", ".join(f"{name} {number}" for name, number in package_versions().items()),
    }
    for name, rows in results.groupby("dataset"):
        first = rows.dropna(subset=["n_cells"]) if "n_cells" in rows else rows.iloc[:0]
        if len(first):
            row = first.iloc[0]
            types = f"{row['n_types']:.0f} types" if row["n_types"] else "no labels"
            lines[f"dataset {name}"] = (
                f"{row['n_cells']:.0f} cells × {row['n_features']:.0f} features, {types}, "
                f"{row['modality']}"
            ) + ("; its labels can be recomputed" if is_simulated(str(name)) else "")
    return lines


def _join_known(results: pd.DataFrame, column: str) -> str:
    """Return the different values of a column in one line."""
    if column not in results:
        return "unknown"
    return ", ".join(sorted({str(value) for value in results[column].dropna() if value}))


def is_simulated(dataset: str) -> bool:
    """Return whether a dataset of this program is a simulation with public parameters."""
    entry = datasets().entries.get(dataset.partition("[")[0])
    return entry is not None and entry.cls is not None and "simulated" in entry.cls.card.tags
