"""The device of a run, determined without importing PyTorch."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

from bench.errors import UsageError

_DRIVER = Path("/dev/nvidiactl")
_OTHER_DRIVERS = tuple(map(Path, ("/dev/dxg", "/dev/nvhost-ctrl-gpu", "/dev/kfd")))
"""Drivers of WSL, Jetson and ROCm; used only with ``--device cuda``."""


def resolve_device(device: str) -> str:
    """Return ``cuda`` or ``cpu``; ``auto`` uses a GPU if driver and PyTorch build support one.

    Raises ``UsageError`` for ``cuda`` without a usable GPU.
    """
    if device == "cpu":
        return "cpu"
    problem = _gpu_problem((_DRIVER, *_OTHER_DRIVERS) if device == "cuda" else (_DRIVER,))
    if problem and device == "cuda":
        raise UsageError(
            f"--device cuda: no usable GPU: {problem}; use --device auto or cpu.", code="no_gpu"
        )
    return "cpu" if problem else "cuda"


def _gpu_problem(drivers: tuple[Path, ...]) -> str:
    """Return why no GPU can be used, empty if one can."""
    version = metadata.version("torch")
    if version.endswith("+cpu"):
        return f"PyTorch {version} is built without CUDA"
    if not any(driver.exists() for driver in drivers):
        return f"there is no driver of a GPU (no {_DRIVER})"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES='{visible}' hides all"
    return ""
