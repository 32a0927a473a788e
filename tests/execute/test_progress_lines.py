"""What a log hears of a run, where there is no terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from bench.execute import progress_bar
from bench.execute.progress_bar import ProgressDisplay

JOB: Any = SimpleNamespace(name="vae · big · seed 0", score_key="0", protocol="default")


def lines_of_steps(*steps: tuple[int, int | None]) -> list[str]:
    stream = io.StringIO()
    with ProgressDisplay(Console(file=stream, width=200), 1) as display:
        for step, total in steps:
            display.show_step(JOB, {"step": step, "total": total, "values": {"loss": 1.5}})
    return stream.getvalue().splitlines()


def test_a_log_hears_of_a_long_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "_SILENCE", 0.0)
    first, second = lines_of_steps((1, 300), (2, 300))
    assert all(JOB.name in line and "loss 1.5" in line for line in (first, second))
    assert "1 of 300" in first
    assert "2 of 300" in second


def test_a_fit_of_unknown_length_says_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "_SILENCE", 0.0)
    (line,) = lines_of_steps((7, None))
    assert "step 7" in line
    assert " of " not in line


def test_a_short_fit_adds_no_lines() -> None:
    assert lines_of_steps(*((step, 300) for step in range(300))) == []
