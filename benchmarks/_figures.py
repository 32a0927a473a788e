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
    """Print the figures as tables, and write them to ``path`` as a flat object.

    ``row/column`` is an entry of a table, a name without a stroke stands alone.
    """
    print("\n".join(lines(figures)))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


def lines(figures: dict[str, float]) -> list[str]:
    """Return the lines of a table in Markdown, and of the figures that stand alone."""
    entries = {tuple(name.split("/", 1)): value for name, value in figures.items() if "/" in name}
    columns = list(dict.fromkeys(column for _, column in entries))
    found = []
    if entries:
        found += [f"| | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for row in dict.fromkeys(row for row, _ in entries):
        cells = [number(entries.get((row, column))) for column in columns]
        found.append(f"| {row} | {' | '.join(cells)} |")
    alone = [f"* {name}: {number(value)}" for name, value in figures.items() if "/" not in name]
    return [*found, *([""] if found and alone else []), *alone]


def number(value: float | None) -> str:
    """Return three significant digits; a dash for none."""
    if value is None or value != value:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_page(text: str, out: Path | None) -> None:
    """Write a page into a file, or print it."""
    if out is None:
        print(text)
    else:
        out.write_text(text, encoding="utf-8")
