"""Write, check, break, update: with real jobs on the toy dataset."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from bench.baseline.baseline_file import read
from bench.baseline.console import as_json, junit, markdown
from bench.baseline.gate import (
    Check,
    _with_controls,
    check_baseline,
    metric_keys,
    update_baseline,
    write_baseline,
)
from bench.baseline.verdicts import Finding
from bench.errors import UsageError


@pytest.fixture
def console() -> Any:
    from rich.console import Console

    return Console(file=StringIO(), width=200, soft_wrap=True)


@pytest.fixture
def baseline(tmp_path: Path, flags: dict[str, Any], console: Any) -> Path:
    out = tmp_path / "baseline.yaml"
    written = write_baseline("steady", "toy", out, seeds=3, console=console, **flags)
    assert written.exit_code == 0
    return out


def verdicts(check: Any) -> dict[tuple[str, str], str]:
    return {(one.method, one.metric): one.verdict for one in check.findings}


def test_a_defect_is_found_and_an_update_keeps_its_reason(
    baseline: Path, flags: dict[str, Any], console: Any, edit: Callable[[str, str], None]
):
    kept = read(baseline)
    assert kept.methods == ("steady", "random", "truth")
    assert kept.metrics == ("kmeans/ari", "kmeans/nmi")
    assert [entry.control for entry in kept.entries] == [False, True, True]

    # Unchanged code passes from the store, and under another number of threads.
    check = check_baseline(baseline, console=console, **flags)
    assert "nothing to fit: all 9 jobs are in the store" in console.file.getvalue()
    assert (check.exit_code, check.elsewhere) == (0, "")
    assert {one.tier for one in check.findings} == {"same environment"}
    other = check_baseline(baseline, console=console, **flags | {"threads": 2})
    assert "9 jobs to run, 0 in the store" in console.file.getvalue()
    assert (other.exit_code, other.elsewhere) == (0, "threads 1 → 2")
    assert {one.tier for one in other.findings} == {"seeds"}

    # An edited method is fitted again, and its defect found here and there.
    edit("0.8 * noise", "40 * noise")
    check = check_baseline(baseline, console=console, **flags)
    assert "3 jobs to run, 6 in the store" in console.file.getvalue()
    assert check.exit_code == 1
    assert Counter(verdicts(check).values()) == {"regression": 2, "pass": 4}
    assert verdicts(check)["steady", "kmeans/ari"] == "regression"
    assert "1 thread" in markdown(check)
    assert junit(check).count("<failure") == 2
    assert json.loads(json.dumps(as_json(check)))["exit_code"] == 1
    other = check_baseline(baseline, console=console, **flags | {"threads": 2})
    assert verdicts(other)["steady", "kmeans/ari"] == "regression"
    assert verdicts(other)["random", "kmeans/ari"] == "pass"

    updated = update_baseline(baseline, "steady", " more noise ", console=console, **flags)
    assert updated.exit_code == 0
    (note,) = read(baseline).reasons
    assert (note.methods, note.reason) == (("steady",), "more noise")
    assert len(note.changes) == 2
    assert "steady × toy kmeans/ari: " in note.changes[0]
    assert check_baseline(baseline, console=console, **flags).exit_code == 0
    with pytest.raises(UsageError, match="--reason is empty"):
        update_baseline(baseline, "steady", " ", console=console, **flags)
    with pytest.raises(UsageError, match=r"--only s\*x matches none of steady, random, truth"):
        update_baseline(baseline, "s*x", "why", console=console, **flags)
    with pytest.raises(UsageError, match="exists: 'bench baseline update"):
        write_baseline("steady", "toy", baseline, console=console, **flags)


def test_a_failing_method_and_lost_data_are_incomplete(
    baseline: Path, flags: dict[str, Any], console: Any, edit: Callable[[str, str], None]
):
    edit("counts = data", "raise ValueError('broken')\n        counts = data")
    check = check_baseline(baseline, console=console, **flags)
    assert check.exit_code == 3
    (failed,) = [one for one in check.findings if one.verdict != "pass"]
    assert (failed.verdict, failed.method, failed.metric) == ("failed", "steady", "all")
    assert failed.reason == "seed 0: failed: ValueError: broken; 3 of 3 seeds"

    text = baseline.read_text()
    baseline.write_text(text.replace("select: toy", "select: lost_data"))
    lost = check_baseline(baseline, console=console, **flags)
    assert lost.exit_code == 3
    assert {one.verdict for one in lost.findings} == {"missing"}
    assert "no dataset named 'lost_data'" in lost.findings[0].reason

    baseline.write_text(text.replace("n_cells: 90", "n_cells: 91"))
    changed = check_baseline(baseline, console=console, **flags)
    assert changed.findings[0].reason == "other data: 90 cells, 91 in the baseline"

    baseline.write_text(text.replace("method: steady", "method: vanished"))
    gone = check_baseline(baseline, console=console, **flags)
    assert gone.exit_code == 3
    assert "no method named 'vanished'" in gone.findings[0].reason


def test_metrics_are_named_by_their_key_or_by_k_means():
    assert metric_keys("ari,leiden/nmi,kmeans/ari") == ("kmeans/ari", "leiden/nmi")
    assert metric_keys("knn_purity") == ("embedding/knn_purity",)
    with pytest.raises(UsageError, match="no metric named 'arj'"):
        metric_keys("arj")
    with pytest.raises(UsageError, match="'n_clusters' has no better or worse"):
        metric_keys("n_clusters")


@pytest.mark.parametrize(
    ("given", "run"),
    [
        ("pca,vae[n_latent=4]", "pca,vae[n_latent=4],random,truth"),
        ("not:vae", "all,not:vae,random,truth"),
        ("all,not:random", "all,random,truth"),
        ("not:truth", "all,random,truth"),
        ("random,pca", "pca,random,truth"),
    ],
)
def test_the_controls_are_always_in_a_baseline(given: str, run: str):
    assert _with_controls(given) == run


def test_reports_escape_what_their_formats_cannot_hold():
    from xml.etree import ElementTree

    reason = "a | b\x1b[31m <c> & d"
    check = Check([Finding("m", "d", "default", "all", "failed", reason=reason)], {"threads": "1"})
    (case,) = ElementTree.fromstring(junit(check)).iter("error")
    assert "<c> & d" in case.attrib["message"]
    check.environment |= {"processor": "p", "device": "cpu"}
    assert "a \\| b" in markdown(check)
