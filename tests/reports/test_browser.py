"""The page in a browser, with the network cut off."""

from __future__ import annotations

import shutil
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
    from bench.reports import build

    results = make_realistic(tmp_path / "artifacts", dims=2)
    return build(
        results, tmp_path / "reports" / "r", title="Test", command="bench run",
        provenance={"aebench": "0"}, progress=lambda text: None,
    )  # fmt: skip


def test_page_works_offline(browser, report):
    context = browser.new_context(viewport={"width": 390, "height": 800}, offline=True)
    page = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_function("typeof Plotly === 'object'")
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    _figures(page)
    _table(page)
    _leaderboard(page)
    assert faults == []
    context.close()


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


def _hover(page, canvas) -> None:
    tip = page.locator("#cell-tip")
    box = canvas.bounding_box()
    for i in range(1, 20):
        for j in range(1, 20):
            page.mouse.move(box["x"] + box["width"] * i / 20, box["y"] + box["height"] * j / 20)
            if tip.is_visible():
                assert "type: " in tip.inner_text()
                assert "k-means cluster: 0" in tip.inner_text()
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
