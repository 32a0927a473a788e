"""The texts of `bench metrics` and of the page of metrics are those of the declarations."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import pytest
from _command import bench, bench_json, error_code

from bench.scoring.aggregates import AGGREGATES
from bench.scoring.metric_cards import metric_card, metrics_page
from bench.scoring.metrics import built_in_metrics

EVERY = [*built_in_metrics().values(), *AGGREGATES]


def test_the_page_names_each_metric_once():
    headings = re.findall("^### (.+)", metrics_page(), flags=re.MULTILINE)
    named = [name for heading in headings for name in heading.split(", ")]
    assert sorted(named) == sorted(metric.name for metric in EVERY)


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_the_command_shows_what_the_page_says(metric):
    shown, page = bench_json("metrics", metric.name), metrics_page().replace("`", "")
    assert shown["metric"] == metric.name
    assert len(shown["definition"]) > 20
    for heading in ("definition", "convention", "not defined", "scib-metrics"):
        if heading in shown:
            assert f"**{heading}**: {shown[heading]}\n" in page


def ratio(true, predicted):
    """Return the *share* of cells.

    Over ``two`` lines
    of text.

    Notes
    -----
    Ties count half.

    Raises
    ------
    ValueError
        For other lengths.
    UndefinedMetric
        Without cells.
    """


def test_the_parts_of_a_docstring():
    declared = replace(built_in_metrics()["ari"], function=partial(ratio, predicted=1))
    card = metric_card(replace(declared, scib_metrics="", bounds=(0.0, float("inf"))))
    assert card["definition"] == "The *share* of cells. Over `two` lines of text."
    assert card["convention"] == "Ties count half."
    assert card["not defined"] == "Without cells."
    assert card["range"] == "0 to any number"
    assert "scib-metrics" not in card


def test_the_list_and_the_name_of_a_score():
    rows = bench_json("metrics")
    assert {row["metric"] for row in rows} == {metric.name for metric in EVERY}
    assert bench_json("metrics", "leiden/nmi")["metric"] == "nmi"
    assert "Rautenstrauch" in bench("metrics", "bras").stdout


def test_an_unknown_metric_is_refused():
    result = bench("metrics", "arii")
    assert (result.exit_code, error_code(result)) == (2, "unknown_name")
    assert "'ari'" in result.stderr


def test_a_metric_of_a_plugin_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bench("new", "metric", "my_purity").exit_code == 0
    card = bench_json("metrics", "my_purity", "--plugin", "my_purity.py")
    assert card["definition"].startswith("The share of cells")
    assert "Purity = " in card["definition"]
    assert {"convention", "not defined"} <= set(card)
