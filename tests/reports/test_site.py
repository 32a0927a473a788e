"""The report as a site."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from bench.cli.main import app
from bench.reports.page.report_page import ReportSource
from bench.reports.page.site import write_site


@pytest.fixture(scope="module")
def site(make_realistic, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    results = make_realistic(folder, artifacts=False)
    kept = ["pca", "vae", "sparse_ae[n_latent=16]", "scsmd", "truth"]
    results = results[results["method"].isin(kept)].reset_index(drop=True)
    results["run_id"] = [f"run{i}" for i in range(len(results))]
    points = [
        {"run_id": "run0", "name": "loss", "step": i, "value": 1 / (i + 1)} for i in range(9)
    ]
    source = ReportSource("t", "bench run", {}, curves=pd.DataFrame(points))
    write_site(results, folder / "site", source)
    return folder / "site"


def test_a_page_of_each_dataset_and_method(site):
    assert {path.stem for path in (site / "datasets").iterdir()} == {"pbmc68k", "sim_rna"}
    assert {path.stem for path in (site / "methods").iterdir()} == {
        "pca", "vae", "sparse_ae_n_latent_16_", "scsmd__k_given_", "truth"
    }  # fmt: skip


def test_every_link_leads_to_a_file_and_every_library_stands_once(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert "<style>" not in text
        assert "placeLabels" not in text
        found = re.findall(r'(?:href|src)="([^"#:]+)(?:#[^"]*)?"', text)
        assert any(link.endswith("page.js") for link in found)
        for link in found:
            assert (page.parent / link).is_file(), (page.name, link)


def test_curves_stand_where_their_job_does(site):
    texts = {path.stem: path.read_text() for path in site.rglob("*.html")}
    assert {name for name, text in texts.items() if 'id="training"' in text} == {"pbmc68k", "pca"}


def test_the_pages_claim_what_the_index_claims(site):
    index = (site / "index.html").read_text()
    page = (site / "datasets" / "sim_rna.html").read_text()
    own = re.search(r"<li><strong>sim_rna:</strong> (.*?)</li>", index, re.DOTALL)[1]
    assert own in page
    assert "pbmc68k" not in re.search(r"<tbody.*</table>", page, re.DOTALL)[0].split("</table>")[0]


def test_a_method_page_has_its_row_of_each_dataset(site):
    page = (site / "methods" / "vae.html").read_text()
    table = re.search(r'<table id="overview-0".*?</table>', page, re.DOTALL)[0]
    assert table.count("<tr>") == 3  # head and two datasets
    assert "../datasets/sim_rna.html" in table


def test_a_method_page_has_its_notes(site):
    page = (site / "methods" / "scsmd__k_given_.html").read_text()
    notes = re.findall(r'<p class="small"><strong>(.*?)</strong>: not ranked', page)
    assert notes == ["all 2 datasets, pbmc68k, sim_rna"]
    assert not re.findall(r"</strong>: not ranked", (site / "methods" / "pca.html").read_text())


def test_without_labels_there_is_a_site_too(make_job, tmp_path):
    rows = [make_job("pca", labels_digest="none"), make_job("vae", labels_digest="none")]
    index = write_site(pd.DataFrame(rows), tmp_path, ReportSource("t", "bench run", {}))
    assert "Scores without labels" in index.read_text()
    assert (tmp_path / "methods" / "pca.html").is_file()


def test_no_results_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no results"):
        write_site(pd.DataFrame(), tmp_path, ReportSource("t", "c", {}))


@pytest.mark.slow
def test_the_verb_writes_the_site_of_a_store(store, tmp_path):
    options = ["--results", str(store), "--site", str(tmp_path / "site"), "--no-umap"]
    done = CliRunner().invoke(app, ["report", *options])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "site" / "datasets" / "one.html").is_file()
    assert "vae" in (tmp_path / "site" / "index.html").read_text()
    assert not (tmp_path / "site" / "umaps").exists()
