"""How long a finished report takes until a reader can use it.

    python benchmarks/report_page.py [FOLDER] [--quick] [--json FILE]

Opens ``report.html`` of a folder (default: results, as ``make run`` writes it) in headless
Chromium: seconds from the start of loading to the first table sorted by a click, the median of
five (one with ``--quick``) in a fresh context each, and the size of the page in MB. The aims are
2 s and 4 MB.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from _figures import flags, show

SORTED = """["ascending", "descending"].includes(
    document.querySelector('#overview th.number').getAttribute('aria-sort'))"""
LONGEST = 30


def main() -> None:
    folder = Path("results")
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        folder = Path(sys.argv.pop(1))
    options = flags(__doc__)
    page = (folder / "report.html").resolve()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not page.is_file() or chromium is None:
        sys.exit(f"needs Chromium and {page}: run 'make run' or name another folder")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        seconds = [first_sort(browser, page) for _ in range(1 if options.quick else 5)]
        browser.close()
    figures = {
        "until a table is sorted by a click, s": median(seconds),
        "size of the page, MB": page.stat().st_size / 1e6,
    }
    show(figures, options.json)


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
