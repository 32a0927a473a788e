"""Different data under one dataset name are never compared with each other."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.reports.page.markdown import report_markdown
from bench.reports.page.pairwise_section import pairwise_differences
from bench.reports.tables.compare import compare_results
from bench.reports.tables.data_versions import newest_names
from bench.reports.tables.labels import MAIN_METRIC
from bench.reports.tables.leaderboard import complete_block, leaderboard, tidy
from bench.reports.tables.verdict import verdict, warnings

OLD = "leukemia (other data: aaaaaa)"


@pytest.fixture
def rows(make_job):
    """Rows of three seeds; ``day`` is when they were run, ``data`` their two digests."""

    def make(method: str, ari: float, day: int, data: tuple[str, str], dataset="leukemia"):
        counts, labels = data
        return [
            make_job(
                method, dataset, seed, ari=ari + seed / 1000, counts_digest=counts * 12,
                labels_digest=labels * 12, started=pd.Timestamp(2024, 1, day, seed, tz="UTC"),
            )
            for seed in range(3)
        ]  # fmt: skip

    return make


@pytest.fixture
def mixed(rows) -> pd.DataFrame:
    """``pca`` was run again after the data changed, ``vae`` was not; ``d`` never changed."""
    old = rows("pca", 0.4, 1, ("aa", "ll")) + rows("vae", 0.9, 1, ("aa", "ll"))
    new = rows("pca", 0.5, 2, ("bb", "ll")) + rows("ae", 0.6, 2, ("bb", "ll"))
    more = [row for name, ari in (("pca", 0.1), ("vae", 0.2), ("ae", 0.3))
            for row in rows(name, ari, 1, ("cc", "ll"), "d")]  # fmt: skip
    return pd.DataFrame(old + new + more)


def test_older_data_get_a_name_of_their_own(mixed):
    table = tidy(mixed)
    assert set(table["dataset"]) == {"leukemia", OLD, "d"}
    assert set(table.loc[table["dataset"] == OLD, "method"]) == {"pca", "vae"}
    assert set(table["dataset_name"]) == {"leukemia", "d"}
    again = tidy(pd.DataFrame(table.to_dict("records")))
    assert again["dataset"].tolist() == table["dataset"].tolist()


def test_data_versions_are_not_compared(mixed):
    block = complete_block(mixed)
    assert list(block.index) == ["pca", "ae"]
    assert sorted(block.columns) == ["d", "leukemia"]
    board = leaderboard(mixed).set_index("method")
    assert board["rank"].dropna().to_dict() == {"ae": 1, "pca": 2}
    assert board.at["vae", "note"] == "no mean, not ranked: run on older data only (leukemia)"
    assert board.at["vae", "datasets"] == "1 of 2"
    assert board.at["ae", "ARI (k-means)"] == pytest.approx((0.601 + 0.301) / 2)
    found = pairwise_differences(mixed)
    on = found[found["dataset"] == "leukemia"]
    assert set(on["method"]) | set(on["compared_with"]) == {"ae", "pca"}
    texts = {one.about: one.text for one in verdict(mixed)}
    assert texts["leukemia"].startswith("ae has the best")
    assert texts[OLD].startswith("vae has the best")
    assert verdict(mixed)[0].text.startswith("Use ae: ")


def test_warning_about_data_versions(mixed):
    (said,) = [text for text in warnings(mixed) if "versions of the data" in text]
    assert "leukemia (2)" in said
    assert "running the older ones again" in said
    assert OLD in report_markdown(mixed, title="t", command="c")
    assert not any("versions of the data" in t for t in warnings(mixed[mixed["dataset"] == "d"]))


def test_a_board_of_older_data_alone_ranks_them(mixed, rows):
    more = pd.concat([mixed, pd.DataFrame(rows("nmf", 0.3, 1, ("aa", "ll")))])
    table = tidy(more)
    board = leaderboard(table[table["dataset"] == OLD]).set_index("method")
    assert board["rank"].to_dict() == {"vae": 1, "pca": 2, "nmf": 3}


def test_other_labels_are_other_data(rows):
    table = pd.DataFrame(
        rows("pca", 0.4, 1, ("aa", "ll")) + rows("vae", 0.9, 2, ("aa", "mm"))
        + rows("ae", 0.9, 1, ("bb", "ll")) + rows("nmf", 0.9, 1, ("bb", "mm"))
    )  # fmt: skip
    names = tidy(table).drop_duplicates("method").set_index("method")["dataset"].to_dict()
    assert names == {
        "pca": "leukemia (other data: labels llllll)",
        "vae": "leukemia",
        "ae": "leukemia (other data: bbbbbb, labels llllll)",
        "nmf": "leukemia (other data: bbbbbb, labels mmmmmm)",
    }


@pytest.mark.parametrize(
    ("column", "word"),
    [("labels_digest", "labels"), ("batch_digest", "batch"), ("train_digest", "hold-out")],
)
def test_any_other_part_makes_other_data(rows, column, word):
    old = pd.DataFrame(rows("pca", 0.9, 1, ("aa", "ll")) + rows("vae", 0.8, 1, ("aa", "ll")))
    new = pd.DataFrame(rows("pca", 0.3, 2, ("aa", "ll")))
    table = tidy(pd.concat([old.assign(**{column: "x" * 24}), new.assign(**{column: "y" * 24})]))
    names = table.groupby("dataset")["method"].unique().map(set).to_dict()
    assert names == {f"leukemia (other data: {word} xxxxxx)": {"pca", "vae"}, "leukemia": {"pca"}}


def test_a_copy_of_a_dataset_is_the_same_dataset(rows):
    known = {"batch_digest": "none", "train_digest": "none", "proteins_digest": "none",
             "rare_type": ""}  # fmt: skip
    table = pd.DataFrame(
        rows("pca", 0.4, 1, ("aa", "ll"), "first") + rows("vae", 0.5, 2, ("aa", "ll"), "copy")
        + rows("pca", 0.4, 3, ("aa", "ll"), "copy") + rows("nmf", 0.6, 4, ("bb", "ll"), "first")
    ).assign(**known)  # fmt: skip
    found = tidy(table)
    assert found.groupby("dataset")["method"].unique().map(set).to_dict() == {
        "copy": {"pca", "vae"}, "first": {"nmf"},
    }  # fmt: skip
    assert len(found) == 9
    assert set(tidy(table.assign(batch_digest=None))["dataset"]) == {
        "copy", "first", "first (other data: aaaaaa)",
    }  # fmt: skip


def test_rows_without_digests_go_with_the_newest(mixed, make_left):
    left = pd.DataFrame([make_left("lsi", "leukemia")])
    table = tidy(pd.concat([mixed, left], ignore_index=True))
    assert table.loc[table["method"] == "lsi", "dataset"].tolist() == ["leukemia"]
    unknown = tidy(mixed.assign(labels_digest=None))
    assert set(unknown["dataset"]) == {"leukemia", OLD, "d"}
    for none in (mixed.drop(columns="counts_digest"), mixed.assign(counts_digest=None)):
        assert set(tidy(none)["dataset"]) == {"leukemia", "d"}


def test_rows_in_any_order_and_without_times(mixed):
    found = tidy(mixed.sample(frac=1, random_state=0))
    assert set(found.loc[found["dataset"] == OLD, "method"]) == {"pca", "vae"}
    found = tidy(mixed.drop(columns="started"))
    assert set(found.loc[found["dataset"] == OLD, "method"]) == {"pca", "vae"}


def test_a_comparison_pairs_by_the_digests(mixed, rows):
    old = pd.DataFrame(rows("pca", 0.4, 1, ("aa", "ll")) + rows("vae", 0.8, 1, ("aa", "ll")))
    found = compare_results(old, mixed)
    (one,) = found.differences_in(MAIN_METRIC)
    assert (one.method, one.dataset, one.n) == ("vae", "leukemia", 3)
    reasons = {part.methods: part.reason for part in found.unpaired if part.dataset != "d"}
    assert reasons == {("pca",): "the dataset has other counts", ("ae",): "only in B"}


def test_newest_names():
    assert newest_names(["a", "b" + OLD]) == ["a"]
    assert newest_names([OLD]) == [OLD]
    assert newest_names([]) == []
