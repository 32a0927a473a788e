"""The baseline file is readable, whole, and refuses what it does not understand."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.baseline.baseline_file import Baseline, read, write
from bench.baseline.environment import differences, fingerprint, key, store_name
from bench.errors import DataError

CONTENT = {
    "format": 1,
    "settings": {"seeds": [0, 1], "profile": "quick", "threads": 1, "device": "cpu"},
    "metrics": ["kmeans/ari"],
    "datasets": {
        "d": {"select": "d", "n_cells": 9, "n_features": 5, "n_types": 3, "counts": "c",
              "labels": "l"},
    },
    "environments": {"e": {"processor": "p"}},
    "entries": [
        {"method": "m[a=1]", "dataset": "d", "protocol": "default", "control": False,
         "environment": "e", "source": "s", "tolerance": 1e-6, "seeds": [0, 1],
         "values": {"kmeans/ari": [0.123456789012, 1.0]}},
    ],
}  # fmt: skip


def test_it_reads_what_it_wrote_to_eight_digits(tmp_path: Path):
    path = tmp_path / "new" / "b.yaml"
    baseline = Baseline.model_validate(CONTENT)
    write(baseline, path)
    again = read(path)
    assert again.entries[0].values["kmeans/ari"] == (0.12345679, 1.0)
    assert again.model_copy(update={"entries": baseline.entries}) == baseline
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("format: 1", "format: 2", "format 2, this version reads 1"),
        ("format: 1", "form: 1", "expected 'format: 1'"),
        ("seeds: [0, 1]\n  values", "seeds: [0]\n  values", "has 2 values for 1 seeds"),
        ("dataset: d", "dataset: x", "no dataset 'x'"),
        ("environment: e", "environment: x", "no environment 'x'"),
        ("profile: quick", "profile: fast", "settings.profile"),
        ("profile: quick", "profile: [quick", "line"),
        ("control: false", "colour: red", "entries.0"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, old: str, new: str, part: str):
    path = tmp_path / "b.yaml"
    write(Baseline.model_validate(CONTENT), path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        read(path)
    assert part in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path):
    from bench.cli.main import app

    ran = CliRunner().invoke(app, ["check", str(tmp_path / "no.yaml")])
    assert isinstance(ran.exception, DataError)
    assert "bench baseline write --out" in str(ran.exception)


def test_an_environment_is_threads_device_processor_and_libraries():
    one = fingerprint(1, "cpu")
    assert {"processor", "instructions", "numpy", "torch", "python", "device"} <= set(one)
    assert key(one) == key(fingerprint(1, "cpu"))
    other = one | {"numpy": "0.1", "threads": "2"}
    assert key(one) != key(other)
    assert store_name(one) != store_name(other)
    assert differences(one, one) == ""
    assert differences(one, other) == f"threads 1 → 2; numpy {one['numpy']} → 0.1"
    fewer = one | {"instructions": "avx avx2"}
    assert "processor without fma" in differences(one | {"instructions": "avx avx2 fma"}, fewer)
