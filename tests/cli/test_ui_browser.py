"""What a browser shows at the address that ``bench ui`` prints."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from _browser import open_browser
from _exchange import WrittenResults, make_result
from _mlflow_server import free_port

pytestmark = pytest.mark.slow

_SECONDS = 120


@pytest.fixture
def results(tmp_path: Path, empty_store: Path) -> Path:
    """Results of a method of two seeds and of a control."""
    written = WrittenResults(tmp_path / "results", empty_store)
    for seed, ari in ((0, 0.25), (1, 0.75)):
        result = make_result(seed, metrics={"kmeans/ari": ari})
        job = replace(result.job, method="nmf", method_name="nmf", family="factorization")
        written.add(replace(result, job=job))
    written.add(make_result(2))
    return written.folder


class RunningUi:
    """``bench ui`` in a process of its own."""

    def __init__(self, results: Path) -> None:
        port = free_port()
        with (results / "ui.txt").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench", "ui", "--results", str(results),
                 "--port", str(port)],
                stdout=subprocess.PIPE, stderr=log, text=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, "")
        self.address = next(line for line in lines if f":{port}/" in line).strip()

    def started(self) -> list[psutil.Process]:
        """Return the processes that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def ui(results: Path) -> Iterator[RunningUi]:
    running = RunningUi(results)
    yield running
    with contextlib.suppress(psutil.Error):
        for process in running.started():
            process.kill()
    running.process.kill()
    running.process.wait()


def load(page, address: str) -> None:
    """Open an address of a server that may still be starting."""
    from playwright.sync_api import Error

    for _ in range(_SECONDS):
        with contextlib.suppress(Error):
            page.goto(address)
            return
        page.wait_for_timeout(1000)
    raise AssertionError(f"nothing answers at {address}")


@pytest.mark.timeout(600)
def test_jobs_a_run_and_its_artifacts_are_shown_and_no_process_is_left(ui: RunningUi):
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(_SECONDS * 1000)
        load(page, ui.address)
        page.get_by_text("nmf · toy · seed 1", exact=True).wait_for()
        heads = page.get_by_role("columnheader")
        assert heads.filter(has_text="kmeans/ari").count() > 0
        # The best comes first; controls have a view of their own.
        names = page.get_by_text(re.compile(r"^\w+ · toy · seed \d$")).all_inner_texts()
        assert names == ["nmf · toy · seed 1", "nmf · toy · seed 0"]
        assert page.get_by_role("gridcell").filter(has_text="0.75").count() > 0
        page.get_by_text("nmf · toy · seed 1", exact=True).click()
        page.get_by_text("peak_memory_mb").or_(page.get_by_text("seconds")).first.wait_for()
        page.get_by_role("tab", name="Artifacts").click()
        page.get_by_text("log.txt").first.click()
        page.get_by_text("seed 1", exact=True).first.wait_for()
        page.get_by_text("scores.json").first.click()
        page.get_by_text("0.75").first.wait_for()
    started = ui.started()
    assert len(started) > 2  # the guard, the server and its workers
    ui.process.terminate()
    _, left = psutil.wait_procs([*started, psutil.Process(ui.process.pid)], timeout=60)
    assert left == []
