"""A part of the store, chosen by names as they are shown."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.errors import UsageError
from bench.store.results_table import load_results, filter_results

METHODS = ("vae", "vae[preset=faithful]", "vae[n_latent=16]", "vaep", "nmf")


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [(m, d, s) for m in METHODS for d in ("one", "two") for s in (0, 1, 7)]
    return pd.DataFrame(rows, columns=["method", "dataset", "seed"])


@pytest.mark.parametrize(
    ("asked", "kept"),
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
def test_a_name_is_exact_and_a_glob_is_not(table, asked, kept):
    assert set(filter_results(table, asked, None)["method"]) == kept


def test_seeds_and_datasets(table):
    found = filter_results(table, "nmf", "two", (0, 1, 2))
    assert found[["dataset", "seed"]].to_numpy().tolist() == [["two", 0], ["two", 1]]


def test_what_matches_nothing_is_said(table):
    said: list[str] = []
    filter_results(table, "vae,scale", "one,thr*", say=said.append)
    assert said == ["no finished job matches: scale, thr*"]
    with pytest.raises(UsageError, match="no finished job matches; 'bench report' without"):
        filter_results(table, "vae,scale", "one", (5,))
    with pytest.raises(UsageError, match=r"matches 'NMFF'\. Did you mean 'nmf'"):
        filter_results(table, "NMFF", None)
    with pytest.raises(UsageError, match=r"matches 'three'\. Known: one, two"):
        filter_results(table, None, "three")


def test_a_folder_without_a_store_is_said_and_nothing_is_made(tmp_path):
    with pytest.raises(UsageError, match=r"nope: no results there \(no mlflow\.db\)"):
        load_results(tmp_path / "nope")
    assert not list(tmp_path.iterdir())
