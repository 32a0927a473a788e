"""The environment of a run: equal fingerprints promise equal numbers for equal code."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.digests import digest

PACKAGES = (
    "anndata", "igraph", "nimfa", "numba", "numpy", "pandas", "scanpy", "scikit-learn",
    "scikit-misc", "scipy", "torch", "umap-learn",
)  # fmt: skip
"""Libraries used in preparation, fits or scores."""
_VECTOR_INSTRUCTIONS = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "sve", "neon")


def fingerprint(threads: int, device: str) -> dict[str, str]:
    """Return the facts that affect the last digits: processor, libraries, threads, device.

    Processors of the same name can differ in their vector instructions, which select the kernels
    of BLAS, so these are included.
    """
    return {
        "processor": _processor(),
        "instructions": _instructions(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": _gpu() if device == "cuda" else device,
        "threads": str(threads),
        "python": ".".join(platform.python_version_tuple()[:2]),
        **_versions(),
    }


def environment_key(environment: dict[str, str]) -> str:
    """Return the short name of an environment."""
    return digest(environment)[:8]


def describe_differences(before: dict[str, str], now: dict[str, str]) -> str:
    """Return the differences of two environments in one line; empty if there are none."""
    parts = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name, "unknown"), now.get(name, "unknown")
        if old != new and name == "instructions":
            lost = sorted(set(old.split()) - set(new.split()))
            added = sorted(set(new.split()) - set(old.split()))
            words = [*(f"without {word}" for word in lost), *(f"with {word}" for word in added)]
            parts.append("processor " + ", ".join(words))
        elif old != new:
            parts.append(f"{name} {old} → {new}")
    return "; ".join(parts)


@cache
def _cpuinfo() -> dict[str, str]:
    """Return the first processor's lines of ``/proc/cpuinfo``; empty elsewhere than on Linux."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().partition("\n\n")[0].splitlines() if path.is_file() else []
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _processor() -> str:
    name = _cpuinfo().get("model name") or platform.processor() or platform.machine()
    return " ".join(name.split())


def _instructions() -> str:
    words = (_cpuinfo().get("flags") or _cpuinfo().get("Features") or "").split()
    return " ".join(sorted(word for word in words if word.startswith(_VECTOR_INSTRUCTIONS)))


def _gpu() -> str:
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in path.read_text().splitlines():
            if line.startswith("Model:"):
                return f"cuda ({line.partition(':')[2].strip()})"
    return "cuda"


@cache
def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions
