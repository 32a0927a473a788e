"""device."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import UsageError

_DRIVER = Path("/dev/nvidiactl")


_OTHER_DRIVERS = tuple(map(Path, ("/dev/dxg", "/dev/nvhost-ctrl-gpu", "/dev/kfd")))
"""Windows' Linux, Jetson, ROCm: taken only where ``cuda`` is asked for."""


def device_class(wanted: str) -> str:
    """Return ``cuda`` or ``cpu``; ``auto`` takes a GPU if driver and PyTorch build have one.

    Raises ``UsageError`` if ``cuda`` is asked for and there is none.
    """
    if wanted == "cpu":
        return "cpu"
    reason = _no_gpu((_DRIVER, *_OTHER_DRIVERS) if wanted == "cuda" else (_DRIVER,))
    if reason and wanted == "cuda":
        raise UsageError(f"--device cuda: no usable GPU: {reason}; use --device auto or cpu.")
    return "cpu" if reason else "cuda"


def _no_gpu(drivers: tuple[Path, ...]) -> str:
    """Return why no GPU can be used, empty if one can; does not import PyTorch."""
    from importlib.metadata import version

    if version("torch").endswith("+cpu"):
        return f"PyTorch {version('torch')} is built without CUDA"
    if not any(driver.exists() for driver in drivers):
        return f"no driver of one here (no {_DRIVER})"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES='{visible}' hides all"
    return ""
