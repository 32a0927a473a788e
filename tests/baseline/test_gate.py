"""Write, check, break, update: with real jobs on the toy dataset."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from bench.baseline.baseline_file import read_baseline
from bench.baseline.console import as_json, junit, markdown
from bench.baseline.gate import (
    GateCheck,
    check_baseline,
    score_keys,
    update_baseline,
    with_controls,
    write_baseline,
)
from bench.baseline.verdicts import GateFinding
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


def n_fits(console: Any) -> int:
    """Number of jobs that were run; each prints one line."""
    return console.file.getvalue().count(" · seed ")


def verdicts(check: Any) -> dict[tuple[str, str], str]:
    return {(item.method, item.metric): item.verdict for item in check.findings}


@pytest.mark.slow
def test_a_defect_is_found_and_an_update_keeps_its_reason(
    baseline: Path, flags: dict[str, Any], console: Any, edit: Callable[[str, str], None]
):
    content = read_baseline(baseline)
    assert content.methods == ("steady", "random", "truth")
    assert content.metrics == ("kmeans/ari", "kmeans/nmi")
    assert [entry.control for entry in content.entries] == [False, True, True]

    # Unchanged code passes from the store, and under another number of threads.
    check = check_baseline(baseline, console=console, **flags)
    assert n_fits(console) == 9
    assert (check.exit_code, check.elsewhere) == (0, "")
    assert {item.tier for item in check.findings} == {"same environment"}
    other = check_baseline(baseline, console=console, **flags | {"threads": 2})
    assert n_fits(console) == 18
    assert (other.exit_code, other.elsewhere) == (0, "threads 1 → 2")
    assert {item.tier for item in other.findings} == {"seeds"}

    # An edited method is fitted again, and its defect found here and there.
    edit("0.8 * noise", "40 * noise")
    check = check_baseline(baseline, console=console, **flags)
    assert n_fits(console) == 21
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
    (note,) = read_baseline(baseline).reasons
    assert (note.methods, note.reason) == (("steady",), "more noise")
    assert len(note.changes) == 2
    assert "steady × toy kmeans/ari: " in note.changes[0]
    assert check_baseline(baseline, console=console, **flags).exit_code == 0
    with pytest.raises(UsageError) as error:
        update_baseline(baseline, "steady", " ", console=console, **flags)
    assert error.value.code == "missing_value"
    with pytest.raises(UsageError) as error:
        update_baseline(baseline, "s*x", "why", console=console, **flags)
    assert error.value.code == "unknown_name"
    with pytest.raises(UsageError) as error:
        write_baseline("steady", "toy", baseline, console=console, **flags)
    assert error.value.code == "file_exists"


def test_a_failing_method_and_lost_data_are_incomplete(
    baseline: Path, flags: dict[str, Any], console: Any, edit: Callable[[str, str], None]
):
    edit("counts = data", "raise ValueError('broken')\n        counts = data")
    check = check_baseline(baseline, console=console, **flags)
    assert check.exit_code == 3
    (failed,) = [item for item in check.findings if item.verdict != "pass"]
    assert (failed.verdict, failed.method, failed.metric) == ("failed", "steady", "all")
    assert failed.reason == "seed 0: failed: ValueError: broken; 3 of 3 seeds"

    text = baseline.read_text()
    baseline.write_text(text.replace("select: toy", "select: lost_data"))
    lost = check_baseline(baseline, console=console, **flags)
    assert lost.exit_code == 3
    assert {item.verdict for item in lost.findings} == {"missing"}
    assert "no dataset named 'lost_data'" in lost.findings[0].reason

    baseline.write_text(text.replace("n_cells: 90", "n_cells: 91"))
    changed = check_baseline(baseline, console=console, **flags)
    assert changed.findings[0].reason == "other data: 90 cells, 91 in the baseline"

    baseline.write_text(text.replace("method: steady", "method: vanished"))
    gone = check_baseline(baseline, console=console, **flags)
    assert gone.exit_code == 3
    assert "no method named 'vanished'" in gone.findings[0].reason


def test_metrics_are_named_by_their_key_or_by_k_means():
    assert score_keys("ari,leiden/nmi,kmeans/ari") == ("kmeans/ari", "leiden/nmi")
    assert score_keys("knn_purity") == ("embedding/knn_purity",)
    with pytest.raises(UsageError) as error:
        score_keys("arj")
    assert error.value.code == "unknown_name"
    with pytest.raises(UsageError) as error:
        score_keys("n_clusters")
    assert error.value.code == "no_direction"


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
    assert with_controls(given) == run


def test_reports_escape_what_their_formats_cannot_hold():
    from xml.etree import ElementTree

    reason = "a | b\x1b[31m <c> & d"
    check = GateCheck(
        [GateFinding("m", "d", "default", "all", "failed", reason=reason)], {"threads": "1"}
    )
    (case,) = ElementTree.fromstring(junit(check)).iter("error")
    assert "<c> & d" in case.attrib["message"]
    check.environment |= {"processor": "p", "device": "cpu"}
    assert "a \\| b" in markdown(check)
