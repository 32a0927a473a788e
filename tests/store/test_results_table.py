"""A part of the store, chosen by names as they are shown."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.errors import UsageError
from bench.store.results_table import choose_columns, filter_results, load_results

METHODS = ("vae", "vae[preset=faithful]", "vae[n_latent=16]", "vaep", "nmf")


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [(m, d, s) for m in METHODS for d in ("one", "two") for s in (0, 1, 7)]
    return pd.DataFrame(rows, columns=["method", "dataset", "seed"])


@pytest.mark.parametrize(
    ("selection", "methods"),
    [
        ("vae", {"vae"}),
        ("vae[preset=faithful]", {"vae[preset=faithful]"}),
        ("nmf,vae[n_latent=16]", {"nmf", "vae[n_latent=16]"}),
        ("vae[*]", {"vae[preset=faithful]", "vae[n_latent=16]"}),
        ("vae*", set(METHODS) - {"nmf"}),
        ("all", set(METHODS)),
        (None, set(METHODS)),
    ],
)
def test_a_name_is_exact_and_a_glob_is_not(table, selection, methods):
    assert set(filter_results(table, selection, None)["method"]) == methods


def test_seeds_and_datasets(table):
    found = filter_results(table, "nmf", "two", (0, 1, 2))
    assert found[["dataset", "seed"]].to_numpy().tolist() == [["two", 0], ["two", 1]]


def test_names_without_a_match(table, caplog):
    with caplog.at_level("WARNING", logger="bench"):
        filter_results(table, "vae,scale", "one,thr*")
    assert caplog.messages == ["no finished job matches: scale, thr*"]
    for selection in (("vae,scale", "one", (5,)), ("NMFF", None), (None, "three")):
        with pytest.raises(UsageError) as error:
            filter_results(table, *selection)
        assert error.value.code == "no_match"


def test_a_folder_without_a_store(tmp_path):
    with pytest.raises(UsageError) as error:
        load_results(tmp_path / "nope")
    assert error.value.code == "no_results"
    assert not list(tmp_path.iterdir())


SCORED = pd.DataFrame({
    "method": ["pca", "nmf"], "dataset": "one", "seed": 0, "protocol": "default",
    "status": ["done", "failed"], "score_key": ["x", "y"], "kmeans/ari": [0.5, None],
    "own/ari": [0.1, None], "leiden/ari": None, "seconds": [1.0, 2.0],
})  # fmt: skip


def test_few_columns_or_those_that_are_named():
    identity = ["method", "dataset", "seed", "status"]
    assert list(choose_columns(SCORED)) == [*identity, "kmeans/ari", "seconds"]
    assert list(choose_columns(SCORED, columns="own/ari")) == [*identity, "own/ari"]
    assert list(choose_columns(SCORED, columns="all")) == list(SCORED)
    several = SCORED.assign(protocol=["default", "oracle"])
    assert "protocol" in choose_columns(several)
    with pytest.raises(UsageError) as raised:
        choose_columns(SCORED, columns=["kmeans/arri"])
    assert raised.value.code == "unknown_name"


def test_a_long_table_has_a_row_a_score():
    long = choose_columns(SCORED, long=True)
    values = long[["method", "score", "value"]].to_numpy().tolist()
    assert values == [["pca", "kmeans/ari", 0.5], ["pca", "own/ari", 0.1],
                      ["pca", "seconds", 1.0], ["nmf", "seconds", 2.0]]  # fmt: skip
    assert set(choose_columns(SCORED, long=True, columns="own/ari")["score"]) == {"own/ari"}
    assert choose_columns(pd.DataFrame(), long=True).empty
