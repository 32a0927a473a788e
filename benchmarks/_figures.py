"""What the benchmarks share: their flags, and how figures are shown and written."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from bench.contract import Context, Knowledge
from bench.execute.curves import Curves


class Clock(Curves):
    """Curves that remember when each report came."""

    def __init__(self) -> None:
        super().__init__()
        self.started = time.perf_counter()
        self.times: list[float] = []

    def __call__(self, step: int, total: int | None = None, /, **values: float) -> None:
        """Note the seconds since the start."""
        super().__call__(step, total, **values)
        self.times.append(time.perf_counter() - self.started)


def context(clock: Clock, seed: int = 0) -> Context:
    """Return the context of a fit on one thread of the CPU."""
    return Context(
        seed=seed,
        n_clusters=None,
        device="cpu",
        threads=1,
        knowledge=Knowledge(),
        report=clock,
        log=lambda text: None,
        scratch=Path(),
    )


def flags(about: str | None, method: list[str] | None = None) -> argparse.Namespace:
    """Return ``quick`` and ``json`` from the command line, and a method that is one of a list."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    if method:
        parser.add_argument("method", choices=method)
    parser.add_argument("--quick", action="store_true", help="a smaller case")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def show(figures: dict[str, float], path: Path | None) -> None:
    """Print the figures, and write them to ``path`` as a flat object."""
    for name, value in figures.items():
        print(f"{name:44s} {value:12.4g}")
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n")
