"""The page in a browser, with the network cut off."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from _browser import open_browser

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    with open_browser() as running:
        yield running


@pytest.fixture(scope="module")
def report(make_realistic, tmp_path_factory) -> Path:
    from bench.reports.page.report_page import ReportSource, write_page

    folder = tmp_path_factory.mktemp("browser")
    results = make_realistic(folder / "artifacts", dims=2)
    source = ReportSource("Test", "bench run", {"aebench": "0"})
    return write_page(results, folder / "reports" / "r", source)


@pytest.fixture(scope="module")
def existing() -> Path:
    """A report that was made before, in the folder BENCH_REPORT."""
    if not os.environ.get("BENCH_REPORT"):
        pytest.skip("set BENCH_REPORT to the folder of a report, as one of make run")
    return Path(os.environ["BENCH_REPORT"]) / "report.html"


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
    yield page
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    # The tests themselves read the canvas again and again.
    assert [text for text in faults if "getImageData" not in text] == []
    context.close()


def rows(page, part: str = "tbody tr:not(.apart)") -> list[str]:
    """The methods of the shown table in their order."""
    names = page.locator(f"#overview .version:not([hidden]) {part}:visible th[scope=row]")
    return names.all_inner_texts()


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_is_wider_than_the_screen(browser, report, width):
    with opened(browser, report, width) as page:
        for details in page.locator("details").all():
            details.evaluate("e => { e.open = true; }")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_table_is_sorted_as_a_whole_and_by_rank_in_blocks(browser, report):
    with opened(browser, report, 1400) as page:
        before = rows(page)
        assert before[-2:] == ["truth", "random"]
        head = "#overview .version:not([hidden]) th[data-name='{}']"
        time, rank, nmi = (
            page.locator(head.format(name)) for name in ("time (s)", "rank", "NMI (k-means)")
        )
        for direction, sign in (("ascending", 1), ("descending", -1)):
            time.locator("button").click()
            assert time.get_attribute("aria-sort") == direction
            place = time.evaluate("e => e.cellIndex")
            keys = page.evaluate(_SORT_KEYS, place)
            assert keys == sorted(keys, key=lambda key: sign * key)
            assert set(rows(page)[-2:]) == {"truth", "random"}
            assert page.locator("#overview .version:not([hidden]) .apart:visible").count() == 1
        rank.locator("button").click()
        assert rows(page) == before
        nmi.locator("button").click()
        assert nmi.get_attribute("aria-sort") == "descending"


_SORT_KEYS = """i => [...document.querySelectorAll(
  '#overview .version:not([hidden]) tbody:not(.controls) tr:not(.apart)')]
  .map(r => Number(r.cells[i].dataset.sort))"""


def test_choices_filters_and_further_columns(browser, report):
    with opened(browser, report, 1400) as page:
        page.select_option("[data-choose=overview]", label="sim_rna")
        assert "tied" in page.locator("#overview .version:not([hidden]) thead").inner_text()
        page.fill("[data-filter=overview]", "nmf")
        assert rows(page) == ["nmf"]
        assert page.locator("[data-count=overview]").inner_text().startswith("1 of ")
        shown = page.locator("#overview .version:not([hidden]) .extra:visible")
        assert shown.count() == 0
        page.check("[data-toggle=all]")
        assert shown.count() > 0
        page.check("[data-toggle=spreads]")
        assert "±" in page.locator("#overview tbody tr:visible", has_text="nmf").inner_text()
        page.select_option("[data-choose=quality] >> nth=1", label="peak memory")
        assert page.locator("#cost .version:visible .plot").count() == 1


def test_names_beside_marks_do_not_cover_each_other(browser, report):
    for width in (390, 1400):
        with opened(browser, report, width) as page:
            boxes = page.locator("#cost .version:not([hidden]) .area text").evaluate_all(
                "all => all.filter(t => t.style.visibility !== 'hidden')"
                ".map(t => t.getBoundingClientRect()).map(b => [b.left, b.top, b.right, b.bottom])"
            )
            assert len(boxes) > 2
            for i, (left, top, right, bottom) in enumerate(boxes):
                for x1, y1, x2, y2 in boxes[:i]:
                    wide, high = min(right, x2) - max(left, x1), min(bottom, y2) - max(top, y1)
                    assert min(wide, high) <= 6


def test_cells_and_their_clusters(browser, report):
    with opened(browser, report, 1400) as page:
        cells = page.locator("canvas.cells:visible")
        assert cells.count() == 8
        cells.first.scroll_into_view_if_needed()
        page.wait_for_function(_INK)
        page.select_option("[data-colour]", "k-means cluster")
        assert page.locator("[data-legend=type]").first.is_hidden()
        _hover(page, cells.first)
        assert page.locator("#confusion tbody tr").count() == 6
        page.select_option("[data-choose=umap]", label="sim_rna")
        page.wait_for_function(_INK)


_INK = """() => {
  const c = [...document.querySelectorAll('canvas.cells')].find(c => c.clientWidth);
  return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0); }"""


def _hover(page, canvas) -> None:
    tip = page.locator("#tip")
    box = canvas.bounding_box()
    for i in range(1, 20):
        for j in range(1, 20):
            page.mouse.move(box["x"] + box["width"] * i / 20, box["y"] + box["height"] * j / 20)
            if tip.is_visible():
                assert "type: " in tip.inner_text()
                assert "k-means cluster: 0" in tip.inner_text()
                return
    raise AssertionError("no cell answers the pointer")


def test_the_keyboard_reaches_every_control_and_its_tip(browser, report):
    with opened(browser, report, 1400) as page:
        unnamed = page.evaluate(
            "[...document.querySelectorAll('button, input, select, a[href]')].filter(e =>"
            " !(e.labels?.length || e.textContent.trim())).length"
        )
        assert unnamed == 0
        reached = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.closest('th')?.dataset.name ?? ''"))
            if "kNN purity" in reached:
                break
        assert {"rank", "ARI (k-means)", "kNN purity"} <= reached
        assert page.locator("#tip").is_visible()
        page.keyboard.press("Escape")
        assert page.locator("#tip").is_hidden()
        head = page.locator("#overview-0 th[data-name='kNN purity']")
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "descending"


def test_print_is_no_wider_than_the_paper(browser, report):
    # 297 mm of landscape A4 without margins of 12 mm, in CSS pixels.
    paper = int((297 - 24) / 25.4 * 96)
    with opened(browser, report, paper) as page:
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= paper
        assert page.locator("nav").is_hidden()


TEXT = {"light": "rgb(27, 31, 36)", "dark": "rgb(230, 232, 234)"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_of_system_and_button(browser, report, scheme):
    with opened(browser, report, color_scheme=scheme) as page:
        label = page.locator("#cost .version:not([hidden]) .area text").first
        colours = "e => [getComputedStyle(document.body).color, getComputedStyle(e).fill]"
        assert label.evaluate(colours) == [TEXT[scheme]] * 2
        page.click("[data-theme-button]")
        other = "light" if scheme == "dark" else "dark"
        assert label.evaluate(colours) == [TEXT[other]] * 2


def test_an_existing_report(browser, existing):
    assert existing.stat().st_size < 15e6
    with opened(browser, existing) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for select in page.locator("[data-choose]").all():
            key = select.get_attribute("data-choose")
            for number in range(select.locator("option").count()):
                select.select_option(index=number)
                shown = page.locator(f"[data-key='{key}']:visible, [data-nothing='{key}']:visible")
                assert key == "confusion" or shown.count() == 1
            select.select_option(index=0)
