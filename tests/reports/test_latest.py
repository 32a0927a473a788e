"""``report.html`` of a results folder is the last report."""

from __future__ import annotations

from pathlib import Path

from bench.reports.write import copy_as_latest
from bench.settings import load_settings


def test_links_of_the_copy_lead_to_the_files_of_the_report(tmp_path: Path):
    folder = tmp_path / "reports" / "abc"
    (folder / "figures").mkdir(parents=True)
    (folder / "scores.csv").touch()
    page = folder / "report.html"
    page.write_text(
        '<a href="scores.csv">s</a> <a href="figures/">f</a> <a href="#scores">t</a> '
        '<a href="https://host/scores.csv">w</a>'
    )
    latest = copy_as_latest(page, load_settings({"results": tmp_path}))
    assert latest == tmp_path / "report.html"
    links = [part.partition('"')[0] for part in latest.read_text().split('href="')[1:]]
    assert links == [
        "reports/abc/scores.csv", "reports/abc/figures/", "#scores", "https://host/scores.csv",
    ]  # fmt: skip
    assert all((tmp_path / link).exists() for link in links[:2])
