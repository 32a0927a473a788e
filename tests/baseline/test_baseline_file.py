"""Reading and writing the baseline file, and the environment of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.baseline.baseline_file import Baseline, read_baseline, save_baseline
from bench.baseline.environment import (
    describe_differences,
    environment_key,
    fingerprint,
)
from bench.baseline.gate_store import store_name
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


def test_values_are_written_to_eight_digits(tmp_path: Path):
    path = tmp_path / "new" / "b.yaml"
    baseline = Baseline.model_validate(CONTENT)
    save_baseline(baseline, path)
    read = read_baseline(path)
    assert read.entries[0].values["kmeans/ari"] == (0.12345679, 1.0)
    assert read.model_copy(update={"entries": baseline.entries}) == baseline
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("format: 1", "format: 2", "unknown_format"),
        ("format: 1", "form: 1", "unknown_format"),
        ("seeds: [0, 1]\n  values", "seeds: [0]\n  values", "invalid_value"),
        ("dataset: d", "dataset: x", "invalid_value"),
        ("environment: e", "environment: x", "invalid_value"),
        ("profile: quick", "profile: fast", "invalid_value"),
        ("profile: quick", "profile: [quick", "unreadable"),
        ("control: false", "colour: red", "invalid_value"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, old: str, new: str, code: str):
    path = tmp_path / "b.yaml"
    save_baseline(Baseline.model_validate(CONTENT), path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError) as error:
        read_baseline(path)
    assert error.value.code == code
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError) as error:
        read_baseline(tmp_path / "no.yaml")
    assert error.value.code == "missing_file"


def test_an_environment_is_threads_device_processor_and_libraries():
    first = fingerprint(1, "cpu")
    assert {"processor", "instructions", "numpy", "torch", "python", "device"} <= set(first)
    assert environment_key(first) == environment_key(fingerprint(1, "cpu"))
    other = first | {"numpy": "0.1", "threads": "2"}
    assert environment_key(first) != environment_key(other)
    assert store_name(first) != store_name(other)
    assert describe_differences(first, first) == ""
    assert describe_differences(first, other) == f"threads 1 → 2; numpy {first['numpy']} → 0.1"
    fewer = first | {"instructions": "avx avx2"}
    assert "processor without fma" in describe_differences(
        first | {"instructions": "avx avx2 fma"}, fewer
    )
