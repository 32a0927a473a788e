"""Cards of datasets and methods, figures of searches, and words of sentences."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from bench.reports.figures.study_plots import study_figure
from bench.reports.page.cards import dataset_cards, linked, method_cards
from bench.reports.page.report_page import explain
from bench.reports.tables.leaderboard import tidy


def test_cards_hold_the_declared_facts_and_what_was_changed(make_job):
    params = json.dumps({"n_latent": "16", "n_hidden": "128"})
    rows = [make_job("vae[n_latent=16]", "pbmc68k", ari=0.5, params=params, n_cells=700)]
    table = tidy(pd.DataFrame(rows))
    (dataset,) = dataset_cards(table)
    facts = dict(dataset.facts)
    assert facts["size"] == "700 cells, RNA"
    assert "bulk" in facts["labels"]
    assert ("doi 10.1038/ncomms14049", "https://doi.org/10.1038/ncomms14049") in dataset.citation
    (method,) = method_cards(table)
    assert dict(method.facts)["parameters"].startswith("n_latent = 16 (default ")
    assert "n_hidden" not in dict(method.facts)["parameters"]


def test_what_is_not_registered_has_a_card_too(make_job):
    table = tidy(pd.DataFrame([make_job("mine", "my.h5ad", ari=0.5)]))
    assert [card.title for card in dataset_cards(table) + method_cards(table)] == [
        "my.h5ad",
        "mine",
    ]


def test_links_of_a_citation():
    assert linked("A 2020, doi 10.1000/x; B, https://b.org/y") == [
        ("A 2020, ", ""), ("doi 10.1000/x", "https://doi.org/10.1000/x"), ("; B, ", ""),
        ("https://b.org/y", "https://b.org/y"),
    ]  # fmt: skip


def test_words_are_explained_once_and_escaped():
    text = str(explain("<b> ARI and ARI (k-means)", {"ARI": 'a "score"', "NMI": "x"}))
    assert text.count("<abbr") == 1
    assert 'data-tip="a &#34;score&#34;"' in text
    assert "<b>" not in text


@pytest.mark.parametrize("values", [[1.0, 2, 3], np.array([1.0, 2, 3]), ["a", "b", "c"]])
def test_points_of_a_study(values):
    figure = go.Figure(go.Scatter(x=values, y=[0.1, 0.2, 0.3], mode="markers", name="trial"))
    html = study_figure(figure.to_json(), "alt")
    assert html.count('class="mark') == 3
    assert (">b</span>" in html) == (values[0] == "a")


def test_bars_and_several_axes_of_a_study():
    bars = go.Figure(go.Bar(x=[0.2, 0.8], y=["a", "b"], orientation="h"))
    html = study_figure(bars.to_json(), "alt")
    assert html.index(">b<") < html.index(">a<")  # the longest first
    assert 'x2="100.0%"' in html
    slices = go.Figure([go.Scatter(x=[1], y=[2], xaxis=axis) for axis in ("x", "x2")])
    assert study_figure(slices.to_json(), "alt").count('class="plot"') == 2


def test_a_front_in_three_dimensions_is_left_out():
    assert study_figure(go.Figure(go.Scatter3d(x=[1], y=[1], z=[1])).to_json(), "alt") == ""
