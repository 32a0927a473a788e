from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from bench.reports.page import report_page as page
from bench.reports.page.overview_table import overview_tables
from bench.reports.page.report_page import ReportSource, write_page
from bench.reports.tables import labels as names
from bench.reports.tables.leaderboard import tidy

EVIL = "<script>alert(1)</script>"


def make(results: pd.DataFrame, folder: Path, **more) -> str:
    options = {key: more.pop(key) for key in ("umap", "static") if key in more}
    source = ReportSource(**({"title": "t", "command": "bench run", "provenance": {}} | more))
    return write_page(results, folder, source, **({"umap": False} | options)).read_text()


def without_libraries(text: str) -> str:
    """Drop inlined scripts, Plotly's above all, which contain what we look for."""
    return re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def written(make_realistic, tmp_path_factory) -> Path:
    """The folder of a report of 48 jobs, to be read only."""
    folder = tmp_path_factory.mktemp("report")
    make(make_realistic(folder, artifacts=False), folder)
    return folder


def test_files_beside_the_page(written):
    names = {path.name for path in written.iterdir()}
    assert names == {"report.html", "scores.csv", "scores.parquet", "summary.md"}
    assert "UMAPs were turned off" in (written / "report.html").read_text()
    csv = pd.read_csv(written / "scores.csv")
    assert len(csv) == len(pd.read_parquet(written / "scores.parquet"))
    assert not (csv["value"].isna() & csv["reason"].isna()).any()


@pytest.mark.slow
def test_static_twins_and_tables(make_realistic, tmp_path):
    results = make_realistic(tmp_path / "a", dims=2)
    results = results[results["dataset"] == "sim_rna"]
    text = make(results, tmp_path / "r", static=True)
    assert 'href="figures/"' in text
    figures = {path.name for path in (tmp_path / "r" / "figures").iterdir()}
    stems = ("scores", "quality_seconds", "quality_peak_memory_mb", "seeds", "clusters_sim_rna")
    assert figures == {f"{stem}.{end}" for stem in stems for end in ("svg", "png", "pdf")}
    tables = tmp_path / "r" / "tables"
    assert len(list(tables.iterdir())) == 12
    board = pd.read_csv(tables / "leaderboard.csv").set_index("method")
    own = results[results["method"] == "nmf"]
    assert board.at["nmf", "ARI (k-means)"] == pytest.approx(own["kmeans/ari"].mean())
    tex = (tables / "leaderboard.tex").read_text()
    assert "\\toprule" in tex
    assert "sparse\\_ae[n\\_latent=16]" in tex


def test_links_to_the_runs(make_job, tmp_path):
    rows = [make_job("x", seed=s, ari=0.5, run_id=f"{s}abcdef012") for s in range(2)]
    rows = pd.DataFrame(rows).assign(run_url=["http://server/#/experiments/1/runs/0", ""])
    text = make(rows, tmp_path)
    assert '<a href="http://server/#/experiments/1/runs/0">0abcdef0</a>' in text
    assert ">1abcdef0</td>" in text


def test_nothing_is_loaded_from_elsewhere(written):
    text = without_libraries((written / "report.html").read_text())
    text = re.sub(r"<a [^>]*>", "", text)  # a link loads nothing
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text)
    assert "@import" not in text
    assert "url(" not in text


def test_names_are_escaped_everywhere(make_job, make_left, tmp_path):
    texts = {"reason": EVIL, "log_tail": EVIL, "uses": EVIL, "profile": EVIL}
    rows = [make_job(EVIL, EVIL, seed, ari=0.5, **texts, family=EVIL) for seed in range(2)]
    rows += [make_job(EVIL, EVIL, 2, status="failed", **texts), make_left(EVIL, EVIL, reason=EVIL)]
    text = make(pd.DataFrame(rows), tmp_path, title=EVIL, command=EVIL, provenance={EVIL: EVIL})
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)" in text
    lines = (tmp_path / "summary.md").read_text().splitlines()
    # Indented lines are code in Markdown, which escapes it itself.
    assert not [line for line in lines if EVIL in line and not line.startswith("    ")]


@pytest.mark.parametrize("kind", ["failed", "left", "no metric", "no time", "controls"])
def test_odd_results_make_a_page(kind, make_job, make_left, tmp_path):
    rows = {
        "failed": [make_job("x", status="failed", reason="broken")],
        "left": [make_left("x", "a", "unavailable", "pip install x")],
        "no metric": [make_job("x")],
        "no time": [make_job("x", ari=0.5, seconds=float("nan"))],
        "controls": [make_job("truth", ari=1.0, family="control")],
    }[kind]
    text = make(pd.DataFrame(rows), tmp_path, umap=True)
    assert "Main results" in text
    if kind in ("failed", "left", "no metric"):
        assert 'id="seeds"' not in text


def test_no_results_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no results"):
        make(pd.DataFrame(), tmp_path)


def test_a_failed_write_leaves_the_old_page(make_job, tmp_path, monkeypatch):
    results = pd.DataFrame([make_job("x", ari=0.5)])
    before = make(results, tmp_path)

    def broken(*args):
        raise OSError("disk full")

    monkeypatch.setattr(page.os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        make(results, tmp_path, title="new")
    assert (tmp_path / "report.html").read_text() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_second_report_replaces_the_first(make_job, tmp_path):
    make(pd.DataFrame([make_job("old", ari=0.5)]), tmp_path)
    text = make(pd.DataFrame([make_job("new", ari=0.5)]), tmp_path)
    assert "old</th>" not in text


def test_umap_that_breaks_does_not_break_the_report(make_job, tmp_path, monkeypatch):
    def broken(*args):
        raise RuntimeError("no numba")

    monkeypatch.setattr(page, "choose_panels", broken)
    text = make(pd.DataFrame([make_job("x", ari=0.5)]), tmp_path, umap=True)
    assert "UMAPs could not be drawn: RuntimeError: no numba" in text


def test_quick_profile_is_a_warning(make_job, tmp_path):
    rows = pd.DataFrame([make_job("x", ari=0.5, profile="quick")])
    assert 'href="docs/results"' in make(rows, tmp_path, docs="docs/results")
    assert "This is a quick look" not in make(rows.assign(profile="default"), tmp_path)


def test_markdown_tables_hold_pipes(make_job, tmp_path):
    make(pd.DataFrame([make_job("a|b", ari=0.5)]), tmp_path)
    lines = (tmp_path / "summary.md").read_text().splitlines()
    (row,) = [line for line in lines if line.startswith("| 1 |")]
    assert "a\\|b" in row


@pytest.mark.parametrize(
    ("mean", "half", "digits", "text"),
    [
        (0.7123, 0.0341, 3, "0.712 ± 0.034"),
        (0.7123, float("nan"), 3, "0.712"),
        (float("nan"), float("nan"), 3, "–"),
        (0.0004, 0.00003, 1, "< 0.01"),
        (0.42, 0.003, 1, "0.42 ± 0.00"),
        (1234.5, 2.25, 1, "1,234.5 ± 2.2"),
        (-0.0004, float("nan"), 3, "0.000"),
    ],
)
def test_numbers_as_text(mean, half, digits, text):
    assert names.interval_text(mean, half, digits) == text


def test_modalities_are_apart(make_job):
    rows = [make_job(m, d, ari=0.5, modality="rna") for m in ("pca", "vae") for d in ("r", "q")]
    rows += [make_job(m, "a", ari=0.5, modality="atac") for m in ("lsi", "vae")]
    found = overview_tables(tidy(pd.DataFrame(rows)))
    assert found.selectors == [("data", ["all 2 rna datasets", "r", "q", "a"])]
    shown = [{row[1].text for row in table.all_rows} for table in found.tables.values()]
    assert shown == [{"pca", "vae"}, {"pca", "vae"}, {"pca", "vae"}, {"lsi", "vae"}]
