"""Published figures: the file itself, and how they stand beside ours."""

from __future__ import annotations

import pandas as pd
import pytest
from pydantic import ValidationError

from bench.registry import datasets
from bench.reports.page import published_section as published
from bench.reports.page.markdown import report_markdown
from bench.reports.page.published_section import (
    PublishedFile,
    published_pairs,
    published_section,
)
from bench.reports.page.report_page import ReportSource, write_page

CARDS = {entry.name: entry.cls.card for entry in datasets() if entry.cls is not None}


def test_published_file_is_complete():
    known = published.load_published()
    assert len(known.records) > 50
    used = {name for one in known.records for name in one.values}
    assert used == set(known.sets)
    assert {one.source for one in known.records} == set(known.sources)
    assert {one.verdict for one in known.records} == set(known.verdicts)


def test_a_figure_stands_once():
    seen = [
        (one.source, one.method, one.clustering, dataset, metric)
        for one in published.load_published().records
        for dataset, scores in one.values.items()
        for metric in scores
    ]
    assert len(seen) == len(set(seen))


def test_sizes_agree_with_the_cards_or_a_note_says_why():
    compared = 0
    for name, paper in published.load_published().sets.items():
        if name not in CARDS:
            continue
        card = CARDS[name]
        for ours, theirs in ((card.n_cells, paper.n_cells), (card.n_types, paper.n_types)):
            if ours is not None and theirs is not None:
                compared += 1
                assert ours == theirs or paper.note, name
    assert compared > 20


@pytest.mark.parametrize(
    ("dataset", "method", "clustering", "metric", "value"),
    [
        ("pbmc_10x4k", "scDeepCluster (Keras)", "own", "ari", 0.7841),
        ("worm_neuron", "RaceID", "own", "ari", 0.544),
        ("human_kidney", "scziDesk", "own", "ari", 0.697),
        ("forebrain", "SCARP", "louvain", "nmi", 0.7379),
        ("mouse_bladder", "scDeepCluster (DANCE 2.0)", "own", "ari", 0.80),
        ("zeisel", "scVI (2018, TensorFlow)", "kmeans", "ari", 0.811),
        ("pbmc_10x4k", "PCA", "kmeans", "ari", (0.698, 0.031)),
    ],
)
def test_published_scores_equal_their_sources(dataset, method, clustering, metric, value):
    (found,) = [
        one.values[dataset][metric]
        for one in published.load_published().records
        if (one.method, one.clustering) == (method, clustering)
        and metric in one.values.get(dataset, {})
    ]
    assert found == value


def test_warnings_of_the_sources_are_flags():
    by_name = {one.method: one for one in published.load_published().records}
    assert by_name["scDCC (DANCE 1.0)"].labels_in_training
    assert all(one.selected_by_labels for name, one in by_name.items() if "DANCE 2.0" in name)
    assert not by_name["scDeepCluster (PyTorch)"].k_from_truth


def file(**record) -> dict:
    one = {
        "source": "s", "method": "theirs", "ours": "pca", "clustering": "kmeans", "verdict": "V",
        "n_runs": 3, "k_from_truth": True, "how": "as printed",
        "values": {"a": {"ari": [0.5, 0.1], "nmi": 0.6}},
    }  # fmt: skip
    return {
        "verdicts": {"V": "read"},
        "notes": ["Careful."],
        "sets": {"a": {"paper": "A", "n_cells": 100, "n_types": 3}},
        "sources": {"s": {"citation": "Someone 2020", "where": "there"}},
        "records": [one | record],
    }


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"source": "x"}, "no source 'x'"),
        ({"verdict": "x"}, "no verdict 'x'"),
        ({"values": {"x": {"ari": 0.5}}}, "no set x"),
        ({"values": {"a": {"ari": 81.0}}}, "81.0"),
        ({"values": {"a": {"arri": 0.5}}}, "arri"),
        ({"clustering": "magic"}, "clustering"),
    ],
)
def test_a_wrong_file_is_refused(record, said):
    with pytest.raises(ValidationError, match=said):
        PublishedFile.model_validate(file(**record))


@pytest.fixture
def known(monkeypatch):
    def use(**record):
        content = PublishedFile.model_validate(file(**record))
        monkeypatch.setattr(published, "load_published", lambda: content)

    return use


@pytest.fixture
def ours(make_job):
    def rows(method: str = "pca", dataset: str = "a", **more) -> list[dict]:
        facts = {"n_cells": 100, "n_types": 3, "kmeans/nmi": 0.7, "leiden/ari": 0.1} | more
        return [make_job(method, dataset, s, ari=0.6 + s / 100, **facts) for s in range(3)]

    return rows


def texts(results, kind: str = "rows") -> list[dict[str, str]]:
    (block,) = published_section(pd.DataFrame(results)).datasets
    heads = [column.text for column in block.table.columns]
    lines = []
    blocks = block.table.blocks.values()
    for row in block.table.rows if kind == "rows" else [row for own in blocks for row in own]:
        assert len(row) == len(heads)
        # Two metrics have a column "difference": the first counts.
        line = {h: c.text for h, c in reversed(list(zip(heads, row, strict=True)))}
        lines.append(line | {"remark": block.remarks[int(line["remark"]) - 1]})
    return lines


def test_ours_minus_published(known, ours):
    known()
    (line,) = texts(ours())
    assert line["ARI, published"] == "0.500 ± 0.100"
    assert line["ARI, ours"].startswith("0.610 ± 0.025")
    assert line["difference"] == "+0.110"
    assert line["flags"] == "k given, V"
    assert texts(ours(), "controls") == []


@pytest.mark.parametrize(
    ("record", "here", "why"),
    [
        ({"labels_in_training": True}, {}, "labels in training there"),
        ({"selected_by_labels": True}, {}, "chosen by labels there"),
        ({"not_comparable": "cut short"}, {}, "cut short"),
        ({"other_definition": {"ari": "other ARI"}}, {}, "other ARI"),
        ({"k_from_truth": False}, {}, "given here only"),
        ({}, {"n_cells": 99}, "100 cells there, 99 here"),
        ({}, {"n_types": 4}, "3 types there, 4 here"),
        ({}, {"profile": "quick"}, "ours with profile quick"),
        ({}, {"dataset": "a[thin=0.1]"}, "other data (a[thin=0.1])"),
        ({}, {"protocol": "oracle"}, "ours with protocol oracle"),
        ({}, {"method": "pca[n_components=9]"}, "ours with other settings"),
    ],
)
def test_incomparable_scores_have_no_difference(known, ours, record, here, why):
    known(**record)
    (line,) = texts(ours(**here))
    assert line["difference"] == "not comparable"
    assert why in line["remark"]
    assert "not comparable" in line["flags"]


def test_defaults_are_taken_before_variants(known, ours):
    known()
    (line,) = texts([*ours("pca[n_components=9]", **{"kmeans/ari": 0.9}), *ours()])
    assert line["difference"] == "+0.110"


def test_other_clusterings_are_references_only(known, ours):
    known(clustering="ward")
    (line,) = texts(ours(), "controls")
    assert "ARI, ours" not in line
    assert line["ARI, published"] == "0.500 ± 0.100"
    known(clustering="leiden", k_from_truth=False)
    (line,) = texts(ours())
    assert line["difference"] == "−0.400"


def test_own_clusters_of_a_method(known, ours):
    known(clustering="own", ours="scale", k_from_truth=False)
    (line,) = texts(ours("scale", **{"mixture/ari": 0.55}))
    assert line["difference"] == "+0.050"


def test_no_published_dataset_no_section(known, ours, make_job, tmp_path):
    known()
    elsewhere = pd.DataFrame(ours(dataset="b"))
    assert published_section(elsewhere).datasets == []
    assert "Published" not in report_markdown(elsewhere, title="t", command="c")
    page = write_page(elsewhere, tmp_path, ReportSource("t", "c", {}), umap=False).read_text()
    assert 'id="published"' not in page


def test_the_page_and_its_markdown_show_the_same(known, ours, tmp_path):
    known(warning="Take care | <b>.")
    page = write_page(
        pd.DataFrame(ours()), tmp_path, ReportSource("t", "c", {}), umap=False
    ).read_text()
    assert "Published figures beside ours" in page
    assert "+0.110</td>" in page
    assert "Take care | &lt;b&gt;." in page
    text = (tmp_path / "summary.md").read_text()
    assert "| theirs | k-means | k given, V | 1 | 0.500 ± 0.100 | 0.610 ± 0.025 | +0.110 |" in text
    assert "Take care \\| &lt;b&gt;." in text
    assert "1. As printed. Take care" in text
    assert "- [1] Someone 2020: there" in text


def test_sets_with_parameters(known, ours):
    known()
    (line,) = texts(ours(dataset="a[cells=50]", n_cells=50))
    assert line["difference"] == "not comparable"


def test_pairs_of_published_scores_and_ours(known, ours):
    known()
    table = pd.DataFrame([*ours(), *ours(dataset="a[thin=0.1]"), *ours(dataset="b")])
    pairs = {(one["dataset"], one["metric"]): one for one in published_pairs(table)}
    assert set(pairs) == {(name, m) for name in ("a", "a[thin=0.1]") for m in ("ari", "nmi")}
    one = pairs["a", "ari"]
    assert (one["published"], one["deviation"], one["not_comparable"]) == (0.5, 0.1, "")
    assert one["ours"] == pytest.approx(0.61)
    assert pairs["a[thin=0.1]", "ari"]["not_comparable"]
