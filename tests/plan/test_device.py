"""Which device is used, and ``--device cuda`` without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.plan import device, methods
from bench.registry import Registry
from bench.settings import Settings


@pytest.fixture
def with_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a driver and a PyTorch built for it; returns the driver's file."""
    driver = tmp_path / "nvidiactl"
    driver.touch()
    monkeypatch.setattr(device, "_DRIVER", driver)
    monkeypatch.setattr(device, "_OTHER_DRIVERS", (tmp_path / "dxg",))
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return driver


def test_a_gpu_is_taken(with_gpu: Path):
    assert [device.resolve_device(one) for one in ("auto", "cuda", "cpu")] == [
        "cuda",
        "cuda",
        "cpu",
    ]


def test_other_drivers_only_where_asked_for(with_gpu: Path):
    with_gpu.rename(with_gpu.with_name("dxg"))
    assert [device.resolve_device(one) for one in ("auto", "cuda")] == ["cpu", "cuda"]


@pytest.mark.parametrize("lacking", ["driver", "build", "visible"])
def test_without_a_gpu_cuda_is_refused(
    lacking: str, with_gpu: Path, monkeypatch: pytest.MonkeyPatch
):
    if lacking == "driver":
        with_gpu.unlink()
    elif lacking == "build":
        monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cpu")
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [device.resolve_device(one) for one in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(UsageError) as error:
        methods.configure_methods([], Registry("method", []), Settings(device="cuda"), [])
    assert error.value.code == "no_gpu"
