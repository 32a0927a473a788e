"""A part of the store, chosen by names as they are shown."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.errors import UsageError
from bench.store.results_table import filter_results, load_results

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
