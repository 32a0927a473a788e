"""Two experiments side by side: pairing, differences, what is not the same."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from typer.testing import CliRunner

from bench.cli.main import app
from bench.errors import BenchError
from bench.reports.page import compare_page
from bench.reports.tables.compare import (
    bootstrap_interval,
    change_sentences,
    compare_results,
    comparison_warnings,
    signed_number,
)
from bench.settings import load_settings
from bench.store.mlflow_store import Tracker
from bench.store.result_store import ResultStore

DIGESTS = {"counts_digest": "c1", "labels_digest": "l1"}


@pytest.fixture
def jobs(make_job):
    def rows(method: str = "pca", dataset: str = "a", aris=(0.5, 0.6, 0.7), **more):
        facts = DIGESTS | more
        return [make_job(method, dataset, s, ari=ari, **facts) for s, ari in enumerate(aris)]

    return rows


def comparison(a: list[dict], b: list[dict]):
    return compare_results(pd.DataFrame(a), pd.DataFrame(b), ("old", "new"))


def test_pairs_are_jobs_of_one_seed(jobs):
    found = comparison(jobs(aris=(0.5, 0.6, 0.7)), jobs(aris=(0.6, 0.7, 0.9))[::-1])
    (one,) = found.differences_in("kmeans/ari")
    assert (one.n, found.n_pairs, found.unpaired) == (3, 3, [])
    assert one.a == pytest.approx(0.6)
    assert one.b == pytest.approx(2.2 / 3)
    assert one.difference == pytest.approx((0.1 + 0.1 + 0.2) / 3)
    # Seed by seed: the means alone would hide that every seed gained at least 0.1.
    assert one.low == pytest.approx(0.1)
    assert one.high == pytest.approx(0.2)
    assert one.verdict == "better"


def test_the_same_data_under_another_name_are_one_dataset(jobs):
    found = comparison(jobs(dataset="copy"), jobs(dataset="a"))
    assert (found.n_pairs, found.unpaired) == (3, [])
    assert [one.dataset for one in found.differences_in("kmeans/ari")] == ["a"]
    other = comparison(jobs(dataset="copy", counts_digest="c2"), jobs(dataset="a"))
    assert other.n_pairs == 0


@pytest.mark.parametrize(
    ("b", "verdict"),
    [
        ((0.5, 0.6, 0.7), "equal"),
        ((0.5 + 1e-9, 0.6, 0.7), "equal"),
        ((0.4, 0.5, 0.6), "worse"),
        ((0.4, 0.6, 0.8), "unclear"),
    ],
)
def test_verdicts(jobs, b, verdict):
    (one,) = comparison(jobs(), jobs(aris=b)).differences_in("kmeans/ari")
    assert one.verdict == verdict


def test_costs_are_better_when_lower(jobs):
    found = comparison(jobs(seconds=2.0), jobs(seconds=1.0))
    assert [one.verdict for one in found.differences_in("seconds")] == ["better"]
    clusters = comparison(jobs(**{"leiden/n_clusters": 9.0}), jobs(**{"leiden/n_clusters": 8.0}))
    assert [one.verdict for one in clusters.differences_in("leiden/n_clusters")] == ["changed"]


def test_one_pair_has_no_interval(jobs):
    (one,) = comparison(jobs(aris=(0.5,)), jobs(aris=(0.8,))).differences_in("kmeans/ari")
    assert one.verdict == "one pair"
    assert math.isnan(one.low)


@pytest.mark.parametrize(
    ("b", "reason"),
    [
        ({"counts_digest": "c2"}, "the dataset has other counts"),
        (
            {"counts_digest": "c2", "labels_digest": "l2"},
            "the dataset has other counts and labels",
        ),
        ({"status": "oom"}, "oom in B"),
        ({"protocol": "holdout"}, "only in"),
        ({"dataset": "b", "counts_digest": "c2"}, "only in"),
    ],
)
def test_unpaired_jobs_have_a_reason(jobs, b, reason):
    found = comparison(jobs(n_cells=10), jobs(**({"n_cells": 10} | b)))
    assert found.differences == []
    assert all(reason in one.reason and one.seeds == (0, 1, 2) for one in found.unpaired)
    assert found.unpaired
    assert "No job of A has a partner" in comparison_warnings(found)[0]


def test_unpaired_methods_with_the_same_reason_are_grouped(jobs, make_left):
    found = comparison([*jobs(), *jobs("x"), *jobs("y")], [*jobs(), make_left("lsi", "a")])
    listed = {(one.methods, one.seeds, one.reason) for one in found.unpaired}
    assert listed == {
        (("x", "y"), (0, 1, 2), "only in A"),
        (("lsi",), (), "only in B"),
    }


def test_different_conditions(jobs):
    a = jobs(
        threads=1, source="s1", versions='{"numpy": "2.1", "torch": "2.5"}', params='{"k": 1}'
    )
    b = jobs(
        threads=2, source="s2", versions='{"numpy": "2.2", "torch": "2.5"}', params='{"k": 2}'
    )
    listed = {(one.name, one.a, one.b) for one in comparison(a, b).conditions}
    assert listed == {
        ("threads per job", "1", "2"),
        ("version of numpy", "2.1", "2.2"),
        ("source of pca", "s1", "s2"),
        ("k of pca", "1", "2"),
    }
    assert comparison(a, a).conditions == []


def test_change_sentences(jobs):
    a = [*jobs("up"), *jobs("down"), *jobs("same")]
    b = [*jobs("up", aris=(0.6, 0.7, 0.8)), *jobs("down", aris=(0.4, 0.5, 0.5)), *jobs("same")]
    first, *rest = change_sentences(comparison(a, b))
    assert first.endswith("B against A: 1 better, 1 equal, 1 worse.")
    assert rest[0].startswith("down on a: worse, 0.600 → 0.467, −0.133 (−0.200 to −0.100, 3 pairs")
    assert rest[1].startswith("up on a: better")
    assert len(rest) == 2


def test_bootstrap_against_scipy():
    import numpy as np
    from scipy.stats import bootstrap as reference

    values = np.random.default_rng(1).normal(0.1, 0.05, size=12)
    mean, low, high = bootstrap_interval(values)
    expected = reference((values,), np.mean, method="percentile", rng=0).confidence_interval
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(tuple(expected), abs=0.003)
    assert bootstrap_interval(values) == (mean, low, high)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "+0.012"), (-0.5, "−0.500"), (-1e-9, "0.000"), (math.nan, "–")]
)
def test_signed_numbers(value, text):
    assert signed_number(value) == text


def written(found, folder) -> str:
    page = compare_page.write_comparison(
        found, folder, command="bench compare", provenance={"aebench": "0"}
    )
    return page.read_text()


def test_page_markdown_and_table_hold_the_same(jobs, tmp_path):
    evil = "<script>alert(1)</script>"
    a = [*jobs(), *jobs("truth", family="control"), *jobs(evil), *jobs("gone|x")]
    b = [*jobs(aris=(0.6, 0.7, 0.9)), *jobs("truth", family="control"), *jobs(evil)]
    page = written(comparison(a, b), tmp_path)
    assert evil not in page
    assert "+0.133</td>" in page
    assert "Controls: not competing" in page
    text = (tmp_path / "compare.md").read_text()
    assert "| pca | a | 3 | 0.600 | 0.733 | +0.133 | +0.100 to +0.200 | better |" in text
    assert "| gone\\|x | a | 0, 1, 2 | only in A |" in text
    table = pd.read_csv(tmp_path / "differences.csv").set_index(["method", "metric"])
    assert table.loc[("pca", "kmeans/ari"), "difference"] == pytest.approx(0.4 / 3)
    assert {path.name for path in tmp_path.iterdir()} == {
        "compare.html", "compare.md", "differences.csv"
    }  # fmt: skip


def test_nothing_in_common_makes_a_page(jobs, tmp_path):
    page = written(comparison(jobs("x"), jobs("y")), tmp_path)
    assert "nothing can be compared" in page
    assert 'class="rows"' not in page


def test_json_has_no_nan(jobs, tmp_path):
    found = comparison(jobs(aris=(0.5,)), jobs(aris=(0.8,)))
    content = json.loads(
        json.dumps(compare_page.comparison_json(found, tmp_path / "p.html"), allow_nan=False)
    )
    one = next(d for d in content["differences"] if d["metric"] == "kmeans/ari")
    assert (one["low"], one["verdict"]) == (None, "one pair")
    assert one["difference"] == pytest.approx(0.3)


@pytest.fixture
def stores(jobs, tmp_path, monkeypatch):
    """Folders with a store each, whose content is made up."""
    content = {"one": jobs(), "two": jobs(aris=(0.6, 0.7, 0.9))}
    for name in content:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mlflow.db").touch()

    def table(settings, methods, datasets):
        name = settings.results.name
        return pd.DataFrame(content[settings.experiment if name == "both" else name])

    monkeypatch.setattr("bench.cli.comparison._read_results", table)
    return tmp_path


def run(*words: object):
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def test_command_line(stores):
    ran = run(stores / "one", stores / "two")
    assert ran.exit_code == 0, ran.output
    assert "+0.133" in ran.output
    assert "better" in ran.output
    assert (stores / "two" / "reports" / "compare" / "compare.html").is_file()


def test_command_line_as_json(stores):
    ran = run(stores / "one", stores / "two", "--json", "--out", stores / "out")
    assert json.loads(ran.stdout)["pairs"] == 3
    assert (stores / "out" / "compare.md").is_file()


def test_two_experiments_of_one_store(stores):
    (stores / "both").mkdir()
    (stores / "both" / "mlflow.db").touch()
    ran = run("one", "two", "--results", stores / "both")
    assert ran.exit_code == 0, ran.output
    assert "+0.133" in ran.output


@pytest.mark.parametrize(
    ("words", "said"),
    [(("one", "three"), "three: no results there"), (("one", "two", "--metric", "x"), "metric x")],
)
def test_wrong_use_is_one_line(stores, words, said):
    sides = [stores / word for word in words[:2]]
    ran = run(*sides, *words[2:])
    assert ran.exit_code == 2
    (line,) = ran.stderr.strip().splitlines()
    assert said in line


def test_reading_makes_no_experiment(tmp_path):
    settings = load_settings({"results": tmp_path, "experiment": "there"})
    Tracker(settings)
    wrong = settings.model_copy(update={"experiment": "typo"})
    for _ in range(2):
        with pytest.raises(BenchError, match=r"no experiment 'typo'; there are: .*there"):
            ResultStore(wrong).require_experiment()
