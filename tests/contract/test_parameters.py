from __future__ import annotations

import math
import re
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from bench import registry
from bench.contract import Layers, Parameters, Search
from bench.errors import UsageError


class Toy(Parameters):
    presets = {"faithful": {"rate": 0.5, "hidden": "64"}, "small": {"hidden": (8,)}}
    hidden: Annotated[Layers, Search(choices=("", "128"))] = Field((128, 16), description="widths")
    rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(1e-3, gt=0, le=1)
    penalty: Annotated[float, Search(1e-6, 1e-2, log=True, zero=True)] = Field(0.0, ge=0)
    kind: Literal["a", "b"] = "a"
    epochs: int = Field(10, ge=0, lt=1000)


widths = st.lists(st.integers(1, 10**6), max_size=5).map(tuple)


@given(widths)
def test_layers_are_the_same_in_every_notation(layers: tuple[int, ...]):
    for text in (
        "-".join(map(str, layers)),
        ",".join(map(str, layers)),
        str(layers),
        str(list(layers)),
        f" {' - '.join(map(str, layers))} ",
        list(layers),
    ):
        assert Toy.build({"hidden": text}, owner="toy").hidden == layers


@given(st.one_of(st.just(math.nan), st.floats(), st.text("0123456789-, .e_()", max_size=9)))
def test_any_text_gives_positive_widths_or_a_usage_error(text: object):
    try:
        layers = Toy.build({"hidden": text}, owner="toy").hidden
    except UsageError:
        return
    assert all(width > 0 for width in layers)
    # Nothing that was written is lost: the same numbers in the same order.
    assert list(layers) == [int(number) for number in re.findall("[0-9]+", str(text))]


@pytest.mark.parametrize("text", ["-5", "128--64", "128,-64", "1_000", "1e3", "x", (0,), [-3], 0])
def test_wrong_layers_are_refused(text: object):
    with pytest.raises(UsageError) as error:
        Toy.build({"hidden": text}, owner="toy")
    assert error.value.code == "invalid_value"


def test_one_layer_may_be_a_number():
    assert Toy.build({"hidden": 128}, owner="toy").hidden == (128,)
    with pytest.raises(UsageError):
        Toy.build({"hidden": True}, owner="toy")


@given(
    hidden=widths,
    rate=st.floats(0, 1, exclude_min=True),
    penalty=st.floats(0, allow_infinity=False),
    kind=st.sampled_from("ab"),
    epochs=st.integers(0, 999),
)
def test_resolved_values_build_the_same_parameters(**values: object):
    built = Toy.build(values, owner="toy")
    plain = built.resolved()
    assert list(plain) == list(Toy.model_fields)
    assert Toy.build(plain, owner="toy") == built
    # As on the command line, where everything is text.
    assert Toy.build({key: str(value) for key, value in plain.items()}, owner="toy") == built


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"rat": 1}, "toy: no parameter 'rat'. Did you mean 'rate'?"),
        ({"zzz": 1}, "toy: no parameter 'zzz'. Known: epochs, hidden, kind, penalty, rate."),
        ({"rate": 0}, "toy.rate=0: Input should be greater than 0."),
        ({"rate": "2"}, "toy.rate='2': Input should be less than or equal to 1."),
        ({"rate": math.nan}, "toy.rate=nan: Input should be a finite number."),
        ({"penalty": math.inf}, "toy.penalty=inf: Input should be a finite number."),
        ({"kind": "c"}, "toy.kind='c': Input should be 'a' or 'b'."),
        ({"epochs": 2.5}, "toy.epochs=2.5: Input should be a valid integer, got a number with a "),
    ],
)
def test_messages_name_the_parameter_and_the_value(values: dict[str, object], line: str):
    with pytest.raises(UsageError) as caught:
        Toy.build(values, owner="toy")
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_presets_apply_in_turn_and_values_win():
    assert Toy.build(owner="toy") == Toy()
    assert Toy.build(presets=("faithful",), owner="toy").hidden == (64,)
    both = Toy.build({"rate": 0.1}, presets=("faithful", "small"), owner="toy")
    assert (both.hidden, both.rate) == ((8,), 0.1)


def test_an_unknown_preset_is_refused():
    with pytest.raises(UsageError) as error:
        Toy.build(presets=("faithfull",), owner="toy")
    assert error.value.code == "unknown_name"


def test_parameters_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Toy().rate = 0.5  # type: ignore[misc]


def test_the_description_has_bounds_search_and_default():
    rows = {row["parameter"]: row for row in Toy.describe()}
    assert rows["rate"]["valid"] == "> 0, ≤ 1"
    assert rows["rate"]["search"] == "0.0001 – 0.01, log"
    assert rows["penalty"]["search"].startswith("0 or ")
    assert rows["hidden"] == {
        "parameter": "hidden", "type": "layers", "default": "128-16", "valid": "",
        "search": " | 128", "meaning": "widths",
    }  # fmt: skip
    assert rows["kind"]["type"] == "a | b"


# Every registered method and dataset, whatever is there when the tests run.

REGISTERED = [
    pytest.param(entry.cls, id=entry.name)
    for entries in (registry.methods(), registry.datasets())
    for entry in entries
    if entry.cls is not None
]


@pytest.mark.parametrize("cls", REGISTERED)
def test_defaults_and_presets_are_valid_and_documented(cls):
    defaults = cls.Params.build(owner=cls.name)
    assert cls.Params.build(defaults.resolved(), owner=cls.name) == defaults
    for preset in cls.Params.presets:
        cls.Params.build(presets=(preset,), owner=cls.name)
    for row in cls.Params.describe():
        assert row["meaning"], f"{cls.name}.{row['parameter']} has no description"


@pytest.mark.parametrize("cls", REGISTERED)
def test_search_ranges_are_valid_values(cls):
    for name, search in cls.Params.search_space().items():
        where = f"{cls.name}.{name}"
        if search.choices is not None:
            values: list[object] = list(search.choices)
            assert len(set(values)) == len(values), where
        else:
            assert search.low is not None, where
            assert search.high is not None, where
            assert search.low < search.high, where
            assert not search.log or search.low > 0, where
            values = [search.low, search.high]
        others = {
            key: allowed[0] for key, allowed in search.when if key in cls.Params.model_fields
        }  # "a|b" and the modality are no parameters
        for value in [*values, *([0] if search.zero else [])]:
            cls.Params.build({**others, name: value}, owner=cls.name)


@pytest.mark.parametrize("cls", REGISTERED)
def test_the_default_is_where_a_search_looks(cls):
    """Trial 0 is the default: a search that cannot reach it compares unlike things."""
    defaults = cls.Params().resolved()
    for name, search in cls.Params.search_space().items():
        value = defaults[name]
        if search.choices is not None:
            assert value in search.choices, f"{cls.name}.{name}"
        elif not (search.zero and value == 0):
            assert search.low <= value <= search.high, f"{cls.name}.{name}"
