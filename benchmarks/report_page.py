"""A report of 500 jobs: how long it takes to write, and until a reader can use it.

    python benchmarks/report_page.py [--quick] [--json FILE]

Ten methods without training, ten simulated datasets and five seeds (with ``--quick`` two and two)
are run once, not timed. ``bench report`` then writes the page and computes its UMAPs, writes the
page again with the UMAPs that it finds, and a third time with the figures and tables for papers
(SVG, PNG, PDF, LaTeX). CPU seconds are those of the command and the programs it starts, imports
included. The page is opened in headless Chromium (left out where there is none): seconds from the
start of loading to the first table sorted by a click, the median of five in a fresh context each.
The aims are 20 s for the page, 2 s and 4 MB.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from _figures import flags, show

METHODS = "pca,svd,ica,fa,nmf,pearson_pca,spectral,marker_sum,random,truth"
ROWS = {
    "page and its UMAPs": "--no-static",
    "page": "--no-static",
    "page, figures and tables for papers": "--static",
}
"""What is written → the flag."""
SORTED = """["ascending", "descending"].includes(
    document.querySelector('#overview th.number').getAttribute('aria-sort'))"""
LONGEST = 30


def main() -> None:
    options = flags(__doc__)
    n_datasets, n_seeds = (2, 2) if options.quick else (10, 5)
    names = ",".join(f"sim_rna[n_cells={300 + number}]" for number in range(n_datasets))
    jobs = ["-m", METHODS, "-d", names, "--seeds", str(n_seeds)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench(folder, "run", *jobs, "--no-report")
        figures: dict[str, float] = {}
        for row, flag in ROWS.items():
            wall, cpu = bench(folder, "report", *jobs, flag)
            figures |= {f"{row}/s": wall, f"{row}/CPU s": cpu}
        page = folder / "report.html"
        figures["size of the page, MB"] = page.stat().st_size / 1e6
        if chromium := shutil.which("chromium") or shutil.which("google-chrome"):
            seconds = until_sorted(chromium, page, 1 if options.quick else 5)
            figures["until a table is sorted by a click, s"] = seconds
    show(figures, options.json)


def bench(folder: Path, verb: str, *words: str) -> tuple[float, float]:
    """Run a command on the store in ``folder``; return its wall and CPU seconds."""
    command = [sys.executable, "-m", "bench", verb, *words, "--results", str(folder)]
    started, before = time.perf_counter(), cpu_seconds()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return time.perf_counter() - started, cpu_seconds() - before


def cpu_seconds() -> float:
    """Return the CPU seconds of the programs that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def until_sorted(chromium: str, page: Path, n_times: int) -> float:
    """Return the median of the seconds from the start of loading to a sorted table."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        seconds = [first_sort(browser, page) for _ in range(n_times)]
        browser.close()
    return median(seconds)


def first_sort(browser: Any, page: Path) -> float:
    """Return the seconds from the start of loading to a sorted table."""
    tab = browser.new_context(offline=True, viewport={"width": 1280, "height": 800}).new_page()
    started = time.perf_counter()
    tab.goto(page.as_uri(), wait_until="commit")
    button = tab.locator("#overview thead th.number button").first
    button.wait_for()
    while not tab.evaluate(SORTED):  # a click before the script runs does nothing
        button.click()
        if time.perf_counter() - started > LONGEST:
            sys.exit(f"{page}: the table was not sorted within {LONGEST} s")
    found = time.perf_counter() - started
    tab.context.close()
    return found


if __name__ == "__main__":
    main()
