"""Spaces from parameter declarations, narrowed and extended by a file."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, model_validator

from bench.contract import Layers, Parameters, Search
from bench.errors import UsageError
from bench.plan.search_space import Space, make_space
from bench.registry import methods
from bench.tuning.space_file import read_space_file


class Params(Parameters):
    size: Annotated[int, Search(8, 128, log=True)] = Field(10, ge=1)
    rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(1e-3, gt=0, le=1)
    solver: Annotated[Literal["own", "nimfa"], Search(choices=("own", "nimfa"))] = "own"
    n_run: Annotated[int, Search(1, 5, when=(("solver", ("nimfa",)),))] = Field(1, ge=1)
    penalty: Annotated[
        float, Search(1e-5, 1e-2, log=True, zero=True, when=(("solver", ("own",)),))
    ] = Field(0.0, ge=0)
    ratio: Annotated[float, Search(0, 1, when=(("penalty", ("on",)),))] = 0.5
    peaks: Annotated[bool, Search(choices=(False, True), when=(("modality", ("atac",)),))] = False
    hidden: Annotated[Layers, Search(choices=("128", "512-64"))] = (128,)
    epochs: int = Field(100, ge=0, le=1000)


class Dice:
    """Draws as Optuna would, and remembers what was asked for."""

    def __init__(self, seed: int) -> None:
        self.random, self.asked = random.Random(seed), {}

    def suggest_float(self, name: str, low: float, high: float, **more: Any) -> float:
        self.asked[name] = self.random.uniform(low, high)
        return self.asked[name]

    def suggest_int(self, name: str, low: int, high: int, **more: Any) -> int:
        self.asked[name] = self.random.randint(low, high)
        return self.asked[name]

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.asked[name] = self.random.choice(choices)
        return self.asked[name]


def space(**more: Any) -> Space:
    return make_space("m", Params, Params().resolved(), **({"modality": "rna"} | more))


def draws(one: Space, n: int = 200) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    found = []
    for seed in range(n):
        dice = Dice(seed)
        found.append((one.draw(dice), dice.asked))
    return found


def test_conditions_decide_what_is_sampled():
    seen = set()
    for values, asked in draws(space()):
        seen.add((values["solver"], values["penalty"] > 0))
        assert ("n_run" in asked) == (values["solver"] == "nimfa")
        assert ("penalty.on" in asked) == (values["solver"] == "own")
        assert ("penalty" in asked) == (values["penalty"] > 0)
        assert ("ratio" in asked) == (values["penalty"] > 0)
        if values["solver"] == "own":
            assert values["n_run"] == 1
        else:
            assert values["penalty"] == 0
    assert seen == {("own", False), ("own", True), ("nimfa", False)}


def test_the_modality_decides_before_anything_is_drawn():
    assert "peaks" not in {d.name for d in space().dimensions}
    assert "peaks" in {d.name for d in space(modality="atac").dimensions}


def test_either_of_two_parameters_can_open_a_third():
    class Two(Parameters):
        a: Annotated[float, Search(0.1, 1, zero=True)] = 0.0
        b: Annotated[float, Search(0.1, 1, zero=True)] = 0.0
        c: Annotated[float, Search(0, 1, when=(("a|b", ("on",)),))] = 0.0

    for values, asked in draws(make_space("m", Two, Two().resolved())):
        assert ("c" in asked) == bool(values["a"] or values["b"])


def test_a_configuration_is_encoded_as_what_would_be_drawn():
    for values, asked in draws(space(), 50):
        assert space().encode(values) == asked
    assert space().encode(Params().resolved() | {"size": 200}) is None
    assert space().encode(Params(hidden="64").resolved()) is None


def test_what_the_user_sets_is_not_searched():
    one = make_space("m", Params, Params(size=3).resolved(), fixed=frozenset({"size"}))
    assert {values["size"] for values, _ in draws(one, 20)} == {3}


def test_unsuitable_combinations_are_said():
    class Picky(Parameters):
        a: Annotated[int, Search(1, 2)] = 1

        @model_validator(mode="after")
        def _odd(self) -> Picky:
            if self.a == 2:
                raise ValueError("a must be odd")
            return self

    one = make_space("m", Picky, Picky().resolved())
    with pytest.raises(UsageError, match="a must be odd"):
        draws(one, 50)
    assert one.grid() == [{"a": 1}]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return path


def changed(tmp_path: Path, text: str) -> Space:
    changes = read_space_file(write(tmp_path, text), {"m": Params})["m"]
    base = Params.build(changes.fixed, owner="m").resolved()
    return make_space("m", Params, base, changes=changes.searched, modality="rna")


def test_a_file_narrows_extends_and_fixes(tmp_path):
    one = changed(
        tmp_path,
        "m:\n  size: {low: 8, high: 16}\n  epochs: {low: 50, high: 100, step: 50}\n"
        "  solver: nimfa\n  rate: null\n  n_run: [2, 4]\n  hidden: [128, '512,64']\n",
    )
    assert {d.name for d in one.dimensions} == {
        "size", "epochs", "n_run", "hidden", "penalty", "ratio"
    }  # fmt: skip
    found = [values for values, _ in draws(one)]
    assert {values["solver"] for values in found} == {"nimfa"}
    assert {values["rate"] for values in found} == {1e-3}
    assert {values["n_run"] for values in found} == {2, 4}
    assert {values["hidden"] for values in found} == {"128", "512-64"}
    assert max(values["size"] for values in found) <= 16


def test_the_grid_lists_each_configuration_once_default_first(tmp_path):
    one = changed(
        tmp_path,
        "m:\n  size: [10, 20]\n  rate: null\n  penalty: null\n  ratio: null\n  n_run: [1, 2]\n",
    )
    grid = one.grid()
    # hidden × size × (own | nimfa × n_run)
    assert len(grid) == 2 * 2 * 3
    assert grid[0] == Params().resolved()
    with pytest.raises(UsageError, match=r"m: --sampler grid needs .* for size, rate, penalty"):
        space().grid()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m:\n  sise: [1, 2]", r"m: no parameter 'sise'. Did you mean 'size'"),
        ("n:\n  size: [1, 2]", "'n' is not among the searched methods"),
        ("m:\n  size: {low: 9, high: 9}", "9 – 9 is empty"),
        ("m:\n  size: {low: 9, high: 2}", "9 – 2 is inverted"),
        ("m:\n  size: {low: 0, high: 9}", "greater than or equal to 1"),
        ("m:\n  size: {low: 1.5, high: 9}", "takes whole numbers"),
        ("m:\n  rate: {low: 0, high: 1, log: true}", "must begin above 0"),
        ("m:\n  rate: {low: 1e-4, high: much}", "high is 'much'; expected a number"),
        ("m:\n  rate: {low: 1e-4}", "needs both low and high"),
        ("m:\n  rate: {low: 1e-4, high: 2}", "less than or equal to 1"),
        ("m:\n  rate: {lo: 1e-4, high: 1}", "no key 'lo'. Did you mean 'low'"),
        ("m:\n  solver: {low: 1, high: 2}", "is no number"),
        ("m:\n  solver: [own, other]", "cannot search at 'other'"),
        ("m:\n  solver: [own]", "at least two"),
        ("m:\n  size: [1, 2, 1]", "given twice"),
        ("m:\n  n_run: {low: 1, high: 3, when: {solve: [own]}}", "names 'solve'"),
        ("m:\n  size: {low: 1, high: 3, when: {size: [1]}}", "lead back to itself"),
        ("m: 3", "expected parameters with their ranges"),
        ("- m", "expected methods with their parameters"),
        ("m: [", "not valid YAML"),
    ],
)
def test_what_a_file_can_get_wrong(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        changed(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.yaml: No such file"):
        read_space_file(tmp_path / "none.yaml", {"m": Params})


def test_every_method_has_a_space_that_holds_its_default():
    for entry in methods():
        if entry.cls is None:
            continue
        base = entry.cls.Params().resolved()
        for modality in entry.cls.modalities:
            one = make_space(entry.name, entry.cls.Params, base, modality=modality)
            assert one.encode(base) is not None or not one.dimensions, entry.name
            for values, _ in draws(one, 20):
                assert one.complete(values) == values
