"""More metrics on finished fits, without a fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from _sources import forget_sources

from bench import versions
from bench.errors import UsageError
from bench.execute.rescore import choose_metrics, rescore_fits
from bench.execute.run import run
from bench.scoring.metrics import metric_stamp, metrics
from bench.store.results_table import load_results

PURITY = """
from bench.contract import Metric


def purity(true, predicted):
    import numpy as np

    pairs = {(t, p) for t, p in zip(true, predicted)}
    most = {p: max(np.sum((true == t) & (predicted == p)) for t, q in pairs if q == p)
            for _, p in pairs}
    return float(sum(most.values()) / len(true))


METRIC = Metric("purity", "clustering", 1, True, (0.0, 1.0), "main type", "none", purity)
"""


@pytest.fixture
def console() -> Any:
    from rich.console import Console

    return Console(file=StringIO(), width=200, soft_wrap=True)


@pytest.fixture
def stored(flags: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Settings with a copy of the plugin of methods, to be edited."""
    methods, toy = flags["plugins"]
    copy = tmp_path / "mine.py"
    shutil.copy(methods, copy)
    fixed = {name: value for name, value in flags.items() if name != "seeds"}
    return fixed | {"plugins": (str(copy), toy)}


def only(flags: dict[str, Any], *plugins: str) -> dict[str, Any]:
    return {k: flags[k] for k in ("results", "cache_dir", "jobs", "memory")} | {"plugins": plugins}


def test_a_new_metric_is_added_to_fits_whose_source_has_changed(
    stored: dict[str, Any], console: Any, tmp_path: Path
):
    outcome = run("noop,random", "toy", seeds=2, report=False, console=console, **stored)
    before = outcome.table.set_index(["method", "seed"]).sort_index()
    methods = Path(stored["plugins"][0])
    methods.write_text(methods.read_text() + "\n# edited\n")
    forget_sources()
    plugin = tmp_path / "purity.py"
    plugin.write_text(PURITY)

    settings = only(stored, str(plugin), str(methods))
    summary = rescore_fits("noop", None, "purity", console=console, **settings)
    assert (summary.fits, summary.current, summary.exit_code) == (2, 0, 0)
    assert summary.added == {"kmeans/purity": 2, "leiden/purity": 2, "half/purity": 2}
    assert summary.changed == {"noop": 2}
    after = (
        load_results(stored["results"], columns="all").set_index(["method", "seed"]).sort_index()
    )
    assert len(after) == 4
    assert after["kmeans/purity"]["noop"].between(0.34, 1.0).all()
    assert after["kmeans/purity"]["random"].isna().all()
    assert after["run_id"].equals(before["run_id"])
    assert after["kmeans/ari"].equals(before["kmeans/ari"])
    assert after["score_key"].equals(before["score_key"])
    note = json.loads(after["rescored"]["noop", 0])
    assert note["source of the fit"] == before["source"]["noop", 0] != note["source then"]
    again = rescore_fits("noop", None, "purity", console=console, **settings)
    assert (again.fits, again.current, again.added) == (2, 2, {})

    # A run with the plugin adds the metric to what it finds in the store.
    full = {**stored, "plugins": (*stored["plugins"], str(plugin))}
    outcome = run("random", "toy", seeds=2, report=False, console=console, **full)
    assert (outcome.fitted, outcome.reused) == (0, 2)
    assert outcome.table["kmeans/purity"].notna().all()


def test_only_what_lacks_the_present_version_is_computed(
    stored: dict[str, Any], console: Any, monkeypatch: pytest.MonkeyPatch
):
    first = run("noop", "toy", seeds=1, report=False, console=console, **stored)
    newer = metrics()
    newer["ari"] = replace(newer["ari"], version=newer["ari"].version + 1)
    for place in ("bench.execute.rescore.metrics", "bench.scoring.metrics.metrics"):
        monkeypatch.setattr(place, lambda plugins=(): newer)
    summary = rescore_fits(console=console, **only(stored))
    # The process computes with the old code, so the version it returns is the old one.
    assert summary.added["kmeans/ari"] == 1
    assert set(summary.added) == {"kmeans/ari", "leiden/ari", "half/ari"}
    assert summary.changed == {}, "the plugin of the method is not given"
    monkeypatch.undo()
    assert rescore_fits(console=console, **only(stored)).current == 1
    again = run("noop", "toy", seeds=1, report=False, console=console, **stored)
    assert again.fitted == 0
    assert list(again.table["run_id"]) == list(first.table["run_id"])


def test_scores_of_an_older_version_become_the_present_key(
    stored: dict[str, Any], console: Any, monkeypatch: pytest.MonkeyPatch
):
    """A store whose metrics were of other versions: scoring again makes a run find them."""
    with monkeypatch.context() as old:
        old.setattr("bench.scoring.metrics.metrics_version", lambda *_: "older")
        old.setattr("bench.execute.local_executor._add_scores", _without_stamps())
        first = run("noop", "toy", seeds=1, report=False, console=console, **stored)
    summary = rescore_fits(console=console, **only(stored))
    assert summary.added["kmeans/ari"] == 1
    again = run("noop", "toy", seeds=1, report=False, console=console, **stored)
    assert (again.fitted, again.reused) == (0, 1)
    assert list(again.table["run_id"]) == list(first.table["run_id"])
    assert list(again.table["score_key"]) != list(first.table["score_key"])


def _without_stamps() -> Callable[..., None]:
    from bench.execute import local_executor

    add_scores = local_executor._add_scores

    def go(result: Any, outcome: Any) -> None:
        add_scores(result, outcome)
        result.stamps = {}

    return go


def test_fits_that_cannot_be_scored(stored: dict[str, Any], console: Any, tmp_path: Path):
    run("noop", "toy", seeds=1, report=False, console=console, **stored)
    plugin = tmp_path / "purity.py"
    plugin.write_text(PURITY)
    settings = only(stored, str(plugin))
    row = load_results(stored["results"], columns="all").iloc[0]
    folder = Path(
        json.loads((Path(row["artifacts"]) / "config.json").read_text())["dataset_folder"]
    )
    away = folder.rename(folder.with_name("away"))
    try:
        lost = rescore_fits(None, "all", "purity", console=console, **settings)
    finally:
        away.rename(folder)
    assert lost.exit_code == 3
    assert "'bench plan -m random -d toy' puts it back" in lost.problems[0]
    (Path(row["artifacts"]) / "embedding.parquet").unlink()
    gone = rescore_fits(None, None, "purity", console=console, **settings)
    assert gone.exit_code == 3
    (line,) = gone.problems
    assert line.startswith("noop · toy · seed 0: its embedding is not on this machine")
    with pytest.raises(UsageError) as error:
        rescore_fits("vae", None, None, console=console, **settings)
    assert error.value.code == "no_match"


def test_metrics_are_chosen_by_name_key_or_glob():
    assert set(choose_metrics("kmeans/ari,macro*", ())) == {"ari", "macro_f1"}
    assert choose_metrics("all", ()).keys() == metrics().keys()
    with pytest.raises(UsageError) as error:
        choose_metrics("arj", ())
    assert error.value.code == "unknown_name"


def test_a_stamp_holds_the_clusterings_that_a_metric_uses(monkeypatch: pytest.MonkeyPatch):
    ari, purity = metrics()["ari"], metrics()["knn_purity"]
    before = metric_stamp(ari), metric_stamp(purity)
    monkeypatch.setitem(versions.CLUSTERINGS, "leiden", versions.CLUSTERINGS["leiden"] + 1)
    assert metric_stamp(ari) != before[0]
    assert metric_stamp(purity) == before[1]
