"""What a method returns, reports and prints, however odd."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.contract import Fit
from bench.errors import Diverged
from bench.execute.channel import Task
from bench.execute.child_process import _is_from_outside, _reason
from bench.execute.curves import MAX_CURVES, MAX_POINTS, Curves, held_out_loss
from bench.execute.fitting import check_result
from bench.execute.log_file import log_excerpt, shorten_log

CELLS = pd.Index(["a", "b", "c"])
VALUES = np.arange(6.0).reshape(3, 2)


def check(embedding, **more) -> Fit:
    return check_result(Fit(embedding, **more), CELLS, "it")


def test_rows_of_tables_are_found_by_name():
    shuffled = ["c", "a", "b"]
    frame = pd.DataFrame(VALUES, index=CELLS)
    labels = {"kind": pd.Series([0, 1, 2], index=CELLS).loc[shuffled], "list": [5, 6, 7]}
    fit = check(frame.loc[shuffled], labels=labels)
    np.testing.assert_array_equal(fit.embedding, VALUES)
    assert list(fit.labels["kind"]) == [0, 1, 2]
    assert list(fit.labels["list"]) == [5, 6, 7]
    np.testing.assert_array_equal(check(pd.DataFrame(VALUES)).embedding, VALUES)


@pytest.mark.parametrize("names", [["a", "b", "x"], ["a", "b", "b"], [2, 0, 1]])
def test_rows_of_other_cells_are_refused(names: list):
    with pytest.raises(ValueError, match="not those of the 3 cells"):
        check(pd.DataFrame(VALUES, index=names))
    with pytest.raises(ValueError, match="labels 'kind'"):
        check(VALUES, labels={"kind": pd.Series([0, 1, 2], index=names)})


@pytest.mark.parametrize("embedding", [VALUES + 1j, VALUES.astype(str), VALUES > 1, VALUES[:2]])
def test_embeddings_that_are_none(embedding):
    with pytest.raises(ValueError, match="embedding"):
        check(embedding)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39, -1e300])
def test_values_that_single_precision_does_not_hold_are_divergence(value: float):
    embedding = VALUES.copy()
    embedding[1, 0] = value
    with pytest.raises(Diverged, match="1 of 3"):
        check(embedding)


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "..", "", "a\0b", "x" * 200])
def test_tables_stay_in_their_folder(name: str):
    with pytest.raises(ValueError, match="expected a name that a file can have"):
        check(VALUES, tables={name: pd.DataFrame(VALUES)})
    with pytest.raises(TypeError, match="DataFrame"):
        check(VALUES, tables={"x": VALUES})


@pytest.mark.parametrize("number", [-1, 2**63, "x"])
def test_a_number_of_parameters_is_a_count(number):
    with pytest.raises(ValueError, match=r"n_parameters|int"):
        check(VALUES, n_parameters=number)


class Unshowable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_every_error_has_a_reason_that_can_be_stored():
    task = Task(job=None, cache=Path())  # type: ignore[arg-type]
    assert _reason(ValueError("a \udc80 b\0c\x1b[31m"), task).encode("utf-8")
    assert "udc80" in _reason(ValueError("\udc80"), task)
    assert "Unshowable" in _reason(Unshowable(), task)
    assert len(_reason(ValueError("x" * 10**6), task)) <= 500


def test_an_error_is_the_methods_unless_a_disk_or_a_signal_made_it(monkeypatch):
    task = Task(job=None, cache=Path(), artifacts=Path("/no/such/folder"))  # type: ignore[arg-type]
    assert _is_from_outside(KeyboardInterrupt(), task)
    assert _is_from_outside(OSError(28, "full"), task)
    assert not _is_from_outside(OSError(2, "not there"), task)
    assert not _is_from_outside(RuntimeError("writing failed"), task)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
    assert _is_from_outside(RuntimeError("writing failed"), task)
    assert not _is_from_outside(ValueError(), task)


def test_long_curves_are_thinned_and_keep_their_ends():
    curves = Curves()
    for step in range(50_000):
        curves(step, held_out_loss=abs(step - 33_333) + 0.5, loss=float(step))
    kept = curves.thinned()
    assert {len(points) for curve in kept.values() for points in curve} == {MAX_POINTS}
    assert (kept["loss"][1][0], kept["loss"][1][-1]) == (0.0, 49_999.0)
    assert held_out_loss(curves.values) == 0.5, "of all points"
    many = Curves()
    many(0, **{f"loss {number}": 1.0 for number in range(1000)})
    assert len(many.thinned()) == MAX_CURVES
    short = Curves()
    short(3, loss=1.0)
    assert short.thinned() == {"loss": [[3], [1.0]]}


def test_a_long_log_keeps_head_and_tail(tmp_path: Path):
    log = tmp_path / "log.txt"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"first\n" + b"x" * 2**22)
        shorten_log(log)
        writer.write(b"\nlast \x1b[31m\0")
    assert log.stat().st_size < 2**21
    text = log_excerpt(log)
    assert text.startswith("first\n")
    assert "\nlast " in text
    assert "\x1b" not in text
    assert "\0" not in text
    assert len(text) < 4000
    size = log.stat().st_size
    shorten_log(log)
    shorten_log(log)
    assert abs(log.stat().st_size - size) < 100
    shorten_log(None)
