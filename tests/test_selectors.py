from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.selectors import (
    Selection,
    expand_grids,
    parse_selector,
    select_names,
    selector_label,
    split_selectors,
)

NAMES = ["ae", "nmf", "pca", "vae"]
TAGS = {"ae": {"deep"}, "vae": {"deep"}, "nmf": {"linear"}, "pca": {"linear"}}


def pick(text: str) -> list[str]:
    return [s.name for s in select_names(text, NAMES, lambda n: frozenset(TAGS[n]), noun="method")]


def test_names_keep_their_order_and_globs_sort():
    assert pick("vae,nmf") == ["vae", "nmf"]
    assert pick("*ae") == ["ae", "vae"]
    assert pick("pca,all") == ["pca", "ae", "nmf", "vae"]


def test_tags_and_exclusion():
    assert pick("tag:linear") == ["nmf", "pca"]
    assert pick("all,not:vae") == ["ae", "nmf", "pca"]
    assert pick("not:tag:linear") == ["ae", "vae"]


@pytest.mark.parametrize("text", ["vae,all", "all,vae", "*ae,vae", "vae,tag:deep"])
def test_a_name_given_in_full_stays_so(text: str):
    chosen = select_names(text, NAMES, lambda n: frozenset(TAGS[n]), noun="method")
    assert [s.name for s in chosen if s.explicit] == ["vae"]


def test_brackets_hold_commas_and_make_another_selection():
    chosen = select_names(
        "vae[n_latent=16,preset=faithful],vae", NAMES, lambda n: frozenset(), noun="method"
    )
    assert [s.values for s in chosen] == [{"n_latent": "16", "preset": "faithful"}, {}]
    assert selector_label(chosen[0].name, chosen[0].values) == "vae[n_latent=16,preset=faithful]"


def test_nothing_is_selected_twice():
    assert pick("vae,vae,*ae") == ["vae", "ae"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("vea", "unknown_name"),
        ("tag:deeep", "unknown_name"),
        ("x*", "unknown_name"),
        ("vae[n_latent", "invalid_selector"),
        ("vae]", "invalid_selector"),
        ("vae[[a=1]]", "invalid_selector"),
        ("vae[n_latent]", "invalid_selector"),
        ("vae[a=1,a=2]", "invalid_selector"),
        ("vae[a=1]x", "invalid_selector"),
        ("", "empty_selection"),
        ("vae,not:vae", "empty_selection"),
    ],
)
def test_faults_have_a_code(text: str, code: str):
    with pytest.raises(UsageError) as error:
        pick(text)
    assert error.value.code == code


word = st.text("abcxyz_019.-*", min_size=1, max_size=8)


@given(st.dictionaries(word, word, max_size=4), word)
def test_label_and_parse_are_inverse(values: dict[str, str], name: str):
    assert parse_selector(selector_label(name, values)) == Selection(name, values, explicit=True)


@given(st.text(max_size=40))
def test_split_either_raises_or_loses_nothing_but_space(text: str):
    try:
        parts = split_selectors(text)
    except UsageError:
        return
    kept = "".join(text.split()).replace(",", "")
    assert "".join("".join(parts).split()).replace(",", "") == kept


def test_a_grid_is_every_combination_of_its_values():
    text = "pca,nmf[n_components=10|20,preset=quick|faithful,tol=1]"
    assert expand_grids(text).split("],") == [
        "pca,nmf[n_components=10,preset=quick,tol=1",
        "nmf[n_components=10,preset=faithful,tol=1",
        "nmf[n_components=20,preset=quick,tol=1",
        "nmf[n_components=20,preset=faithful,tol=1]",
    ]


def test_a_grid_without_values_is_no_grid():
    assert expand_grids("vae,nmf[n_components=10]") == "vae,nmf[n_components=10]"
    with pytest.raises(UsageError) as error:
        expand_grids("nmf[n_components=10|20")
    assert error.value.code == "invalid_selector"
