"""The page in a browser, with the network cut off."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def report(make_realistic, tmp_path) -> Path:
    from bench.reports.page.report_page import ReportSource, write_page

    results = make_realistic(tmp_path / "artifacts", dims=2)
    source = ReportSource("Test", "bench run", {"aebench": "0"})
    return write_page(results, tmp_path / "reports" / "r", source)


@pytest.fixture(scope="module")
def existing() -> Path:
    """A report that was made before, of BENCH_REPORT or of make results-overview."""
    made = Path(__file__).parents[2] / "results" / "tables" / "reports" / "overview"
    path = Path(os.environ.get("BENCH_REPORT") or made) / "report.html"
    if not path.is_file():
        pytest.skip(f"no {path}: set BENCH_REPORT to a report's folder or make results-overview")
    return path


@contextmanager
def opened(browser, report: Path, width: int = 390, **more):
    """The page without a network; at the end nothing was asked for and nothing went wrong."""
    context = browser.new_context(viewport={"width": width, "height": 800}, offline=True, **more)
    page = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_function("typeof Plotly === 'object'")
    yield page
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert faults == []
    context.close()


def test_page_works_offline(browser, report):
    with opened(browser, report) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        _figures(page)
        _table(page)
        _leaderboard(page)


def test_an_existing_report(browser, existing):
    assert existing.stat().st_size < 15e6
    with opened(browser, existing, width=1280) as page:
        _every_choice(page)
        _every_column_sorts(page)
        name = page.locator("#score-table tbody th").first.inner_text()
        page.fill("[data-filter=score-table]", name)
        shown = page.locator("#score-table tbody tr:not(.apart):visible")
        assert shown.count() > 0
        assert all(name in text for text in shown.all_inner_texts())
        for plot in page.locator(".plot").all():
            plot.scroll_into_view_if_needed()
            plot.locator(".main-svg").first.wait_for(state="attached")
        _hover_heat_map(page)
        _hover(page, page.locator("canvas.cells").first, part="")
        before = page.evaluate(FONT)
        page.click("[data-theme-button]")
        page.wait_for_function(f"{FONT} !== '{before}'")
    with opened(browser, existing) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def _every_choice(page) -> None:
    """Each combination of the tables with a choice has rows, or a sentence instead."""
    for table in ("leaderboard", "pair-table"):
        for select in page.locator(f"[data-pick={table}]").all():
            for number in range(select.locator("option").count()):
                select.evaluate(
                    "(e, i) => { e.selectedIndex = i; e.dispatchEvent(new Event('change')); }",
                    number,
                )
                widths = page.evaluate(
                    "q => [...document.querySelectorAll(q)].map(r => r.cells.length)",
                    f"#{table} tbody tr:not(.apart)",
                )
                assert set(widths) == {page.locator(f"#{table} thead th").count()}
            select.evaluate("e => { e.selectedIndex = 0; e.dispatchEvent(new Event('change')); }")


def _every_column_sorts(page) -> None:
    heads = page.locator("#score-table thead th.number:not(.extra)")
    for head in heads.all():
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        values = page.evaluate(_SORT_KEYS, head.evaluate("e => e.cellIndex"))
        assert values == sorted(values)


_SORT_KEYS = """i => [...document.querySelectorAll('#score-table tbody:first-of-type tr')]
  .map(r => r.cells[i].dataset.sort).filter(Boolean).map(Number)"""


def _hover_heat_map(page) -> None:
    plot = page.locator("#plot-heat")
    plot.scroll_into_view_if_needed()
    box = plot.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 14)
    page.mouse.move(box["x"] + 24, box["y"] + 14)
    plot.locator(".hoverlayer .hovertext").first.wait_for()


def test_print_draws_all_figures_no_wider_than_the_paper(browser, report):
    with opened(browser, report, width=1280) as page:
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        widths = page.evaluate(
            "[...document.querySelectorAll('.plot')].map(p => p.querySelector('svg').clientWidth)"
        )
        assert len(widths) == 5
        # 297 mm of landscape A4 without margins of 12 mm, in CSS pixels.
        paper = (297 - 24) / 25.4 * 96
        assert max(widths) <= paper
        strips = page.locator(".strips .plot svg.main-svg").first
        assert strips.evaluate("e => e.clientWidth") <= paper / 2
        page.set_viewport_size({"width": int(paper), "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= paper


_COLOURBAR = """part => document.querySelector('#plot-heat').data[0].colorbar.title.text
  .includes(part)"""


def _figures(page) -> None:
    drawn = ".heatmaplayer image, .heatmaplayer path, .scatterlayer .point, .hm"
    for plot in page.locator(".plot").all():
        plot.scroll_into_view_if_needed()
        plot.locator(drawn).first.wait_for(state="attached")
    first, scale = page.locator("[data-choose=heat]").all()
    first.select_option("1")
    page.wait_for_function(_COLOURBAR, arg="NMI")
    scale.select_option("1")
    page.wait_for_function(_COLOURBAR, arg="scaled")
    cells = page.locator("canvas.cells")
    assert cells.count() == 16
    cells.first.scroll_into_view_if_needed()
    page.wait_for_function(_INK)
    page.select_option("[data-colour]", "k-means cluster")
    assert page.locator("[data-legend=type]").first.is_hidden()
    _hover(page, cells.first)


_INK = """() => { const c = document.querySelector('canvas.cells');
  return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0); }"""


def _hover(page, canvas, part: str = "k-means cluster: 0") -> None:
    canvas.scroll_into_view_if_needed()
    tip = page.locator("#cell-tip")
    box = canvas.bounding_box()
    for i in range(1, 20):
        for j in range(1, 20):
            page.mouse.move(box["x"] + box["width"] * i / 20, box["y"] + box["height"] * j / 20)
            if tip.is_visible():
                assert "type: " in tip.inner_text()
                assert part in tip.inner_text()
                return
    raise AssertionError("no cell answers the pointer")


def _table(page) -> None:
    rows = "#score-table tbody:first-of-type tr"
    head = page.locator("#score-table thead th", has_text="ARI (k").first
    column = head.evaluate("e => e.cellIndex")
    for direction in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == direction
        keys = page.evaluate(
            "([q, i]) => [...document.querySelectorAll(q)].map(r => r.cells[i].dataset.sort)",
            [rows, column],
        )
        values = [float(key) for key in keys if key]
        assert values == sorted(values, reverse=direction == "descending")
        assert not any(keys[len(values) :])
    page.fill("[data-filter=score-table]", "nmf")
    page.select_option("[data-keep=score-table][data-column=dataset]", "sim_rna")
    shown = page.locator("#score-table tbody tr:not(.apart):visible")
    assert shown.count() == 1
    assert page.locator("[data-count=score-table]").inner_text().startswith("1 of ")


def _leaderboard(page) -> None:
    metric, place, scale = page.locator("[data-pick=leaderboard]").all()
    metric.select_option(label="NMI (k-means)")
    place.select_option(label="sim_rna")
    heads = page.locator("#leaderboard thead th")
    assert heads.filter(has_text="NMI (k-means)").count() == 1
    scale.select_option(label="scaled between the controls")
    truth = page.locator("#leaderboard tbody.controls tr", has_text="truth")
    assert truth.locator("td").nth(1).inner_text() == "1.000"
    page.select_option("[data-keep=leaderboard][data-column=family]", "factorization")
    shown = page.locator("#leaderboard tbody tr:not(.apart):visible th")
    assert set(shown.all_inner_texts()) == {"nmf", "scsmd"}
    assert page.locator("#pair-table tbody tr").count() > 0


TEXT = {"light": "rgb(27, 31, 36)", "dark": "rgb(230, 232, 234)"}
FONT = "document.querySelector('#plot-heat')?.layout?.font?.color"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_take_the_colours_of_system_and_button(browser, report, scheme):
    context = browser.new_context(color_scheme=scheme, offline=True)
    page = context.new_page()
    page.goto(report.as_uri())
    page.locator("#plot-heat").scroll_into_view_if_needed()
    page.wait_for_function(FONT)
    assert page.evaluate(FONT) == TEXT[scheme]
    page.click("[data-theme-button]")
    other = "light" if scheme == "dark" else "dark"
    page.wait_for_function(f"{FONT} === '{TEXT[other]}'")
    body = page.evaluate("getComputedStyle(document.body).color")
    assert body == TEXT[other]
    context.close()
