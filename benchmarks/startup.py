"""Commands that only print, against an interpreter that imports typer and pydantic.

    python benchmarks/startup.py [--quick] [--json FILE]

Milliseconds of wall time, best of ten (three with ``--quick``), and ratios to the interpreter.
"""

from __future__ import annotations

import subprocess
import sys
import time

from _figures import flags, show

COMMANDS = {
    "interpreter": ["-c", "import typer, pydantic"],
    "help": ["-m", "bench", "--help"],
    "methods": ["-m", "bench", "methods"],
    "datasets": ["-m", "bench", "datasets"],
}


def main() -> None:
    options = flags(__doc__)
    best = dict.fromkeys(COMMANDS, float("inf"))
    for _ in range(3 if options.quick else 10):
        for name, words in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
            best[name] = min(best[name], 1000 * (time.perf_counter() - started))
    figures = {f"{name}/ms": value for name, value in best.items()}
    figures |= {f"{name}/ratio": value / best["interpreter"] for name, value in best.items()}
    show(figures, options.json)


if __name__ == "__main__":
    main()
