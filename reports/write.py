"""From a table of results to the report folder: what the page says about where numbers are from.

Together with the command line the only place that loads :mod:`bench.reports`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import bench
from bench.provenance import describe_machine, git_commit, package_versions
from bench.reports.page.report_page import ReportSource, write_page
from bench.settings import Settings
from bench.store.mlflow_store import Tracker

from .figures.training_curves import wanted


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

    ``studies`` are summaries of searches, as in the ``study.json`` of each.
    """
    source = ReportSource(
        title=f"{settings.experiment}: {', '.join(sorted(set(results['dataset'])))}",
        command=commands(results),
        provenance=provenance(results, settings),
        studies=studies,
        curves=curves(results, settings),
    )
    table = results.assign(run_url=run_urls(results, settings))
    return write_page(table, folder, source, umap=umap, static=static)


def run_urls(results: pd.DataFrame, settings: Settings) -> list[str]:
    """Return where each job's run is in the MLflow UI; empty for what was not run.

    The store in a results folder is shown by ``bench ui`` at its default address.
    """
    if not {"run_id", "experiment_id"} <= set(results.columns):
        return [""] * len(results)
    server = settings.tracking_uri or ""
    base = server.rstrip("/") if server.startswith("http") else "http://127.0.0.1:5000"
    runs = zip(results["experiment_id"], results["run_id"], strict=True)
    return [
        f"{base}/#/experiments/{experiment}/runs/{run}" if isinstance(run, str) else ""
        for experiment, run in runs
    ]


def curves(results: pd.DataFrame, settings: Settings) -> pd.DataFrame | None:
    """Return the training curves that the page shows; ``None`` if there are no stored runs."""
    runs = wanted(results)
    return pd.DataFrame(Tracker(settings).curves(runs)) if runs else None


def commands(results: pd.DataFrame) -> str:
    """Return the commands that made the results, one a line, and the one that is running."""
    earlier = [text for text in results.get("command", []) if isinstance(text, str) and text]
    return "\n".join(dict.fromkeys([*earlier, command_line()]))


def command_line() -> str:
    """Return the command that is running, quoted for the shell."""
    program = Path(sys.argv[0]).name
    return shlex.join(["bench", *sys.argv[1:]]) if program == "bench" else "bench.run(...)"


def provenance(results: pd.DataFrame, settings: Settings) -> dict[str, str]:
    """Return the lines that stand under a report."""
    threads = sorted({int(t) for t in results["threads"].dropna()}) if "threads" in results else []
    lines = {
        "aebench": bench.__version__,
        "git commit": git_commit() or "unknown (not a checkout)",
        "machine": describe_machine(),
        "threads per job": ", ".join(map(str, threads)),
        "jobs at a time": str(settings.jobs),
        "limits per job": f"{settings.timeout:g} s, {settings.memory:g} GiB",
        "store": settings.tracking_uri or str(settings.database),
        "clusterings": "k-means with k = number of true types; Leiden at resolution 1.0",
        "versions": ", ".join(f"{name} {number}" for name, number in package_versions().items()),
    }
    for name, rows in results.groupby("dataset"):
        first = rows.dropna(subset=["n_cells"]) if "n_cells" in rows else rows.iloc[:0]
        if len(first):
            row = first.iloc[0]
            lines[f"dataset {name}"] = (
                f"{row['n_cells']:.0f} cells × {row['n_features']:.0f} features, "
                f"{row['n_types']:.0f} types, {row['modality']}"
            )
    return lines
