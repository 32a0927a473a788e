"""Energy and GPU memory of a fit, with doubles of the meter and of the GPU."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.execute.side_costs import side_costs

METER = """
class OfflineEmissionsTracker:
    running = []

    def __init__(self, **options):
        assert not options["save_to_file"]

    def start(self):
        self.running.append(self)

    def stop(self):
        self.running.remove(self)

    class final_emissions_data:
        energy_consumed, codecarbon_version = 1e-6, "9.9"
"""


@pytest.fixture
def meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A double of codecarbon."""
    (tmp_path / "codecarbon.py").write_text(METER)
    monkeypatch.syspath_prepend(tmp_path)
    installed = sys.modules.pop("codecarbon", None)
    yield importlib.import_module("codecarbon").OfflineEmissionsTracker
    del sys.modules["codecarbon"]
    if installed is not None:
        sys.modules["codecarbon"] = installed


def test_energy_is_noted_where_its_meter_is_installed(meter: Any):
    with side_costs("cpu") as costs:
        assert meter.running
        assert costs == {}
    assert costs == {"energy": "4 J (codecarbon 9.9)"}
    assert not meter.running


def test_the_meter_ends_with_a_fit_that_fails(meter: Any):
    with pytest.raises(ValueError, match="the fit"), side_costs("cpu"):
        raise ValueError("the fit")
    assert not meter.running


@pytest.mark.skipif(
    importlib.util.find_spec("codecarbon") is not None, reason="codecarbon is installed"
)
def test_without_the_meter_nothing_is_noted():
    with side_costs("cpu") as costs:
        pass
    assert costs == {}


def test_peak_memory_of_the_gpu_is_that_of_the_fit(monkeypatch: pytest.MonkeyPatch):
    peak = [7 * 2**30]
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: peak.__setitem__(0, 0))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: peak[0])
    with side_costs("cuda") as costs:
        peak[0] = 3 * 2**20
    assert costs["GPU peak memory"] == "3 MiB"
