"""Checks of the declarations of a method; nothing is fitted."""

from __future__ import annotations

from bench.contract import ATAC, MULTIOME, OPTIONAL_INPUTS, RNA
from bench.errors import UsageError
from bench.plan.search_space import Space, make_space

from .case import Case, NotApplicable, check_list

CHECKS, check = check_list()


@check("Name, summary, reference, family, modalities and cost are given.")
def _complete_description(case: Case) -> None:
    for name in ("name", "summary", "reference", "family"):
        assert str(getattr(case.cls, name, "")).strip(), f"{name} is missing"
    known = {RNA, ATAC, MULTIOME}
    unknown = sorted(case.cls.modalities - known)
    assert not unknown, f"unknown modality '{unknown[0]}', expected some of {sorted(known)}"
    cost = case.cls.cost
    assert cost in ("light", "heavy"), f"cost is '{cost}', expected light or heavy"


@check("Every parameter has a description and every number a bound.")
def _documented_parameters(case: Case) -> None:
    for row in case.cls.Params.describe():
        assert row["meaning"], f"parameter '{row['parameter']}' has no description"
        if row["type"] in ("int", "float"):
            assert row["valid"], f"parameter '{row['parameter']}' has no bound"


@check("The constructor only stores its parameters.")
def _constructor_only_stores_parameters(case: Case) -> None:
    params = case.cls.Params()
    method = case.cls(params)
    assert method.params is params, "self.params is not the object passed to the constructor"
    others = sorted(set(vars(method)) - {"params"})
    assert not others, f"the constructor also sets {others}"


@check("Every preset is valid and changes a parameter.")
def _valid_presets(case: Case) -> None:
    if not case.cls.Params.presets:
        raise NotApplicable("it has no presets")
    for preset in case.cls.Params.presets:
        params = case.cls.Params.build(presets=(preset,), owner=case.cls.name)
        assert params != case.cls.Params(), f"preset '{preset}' equals the default"


@check("The search space contains the default configuration and every preset.")
def _search_space_contains_presets(case: Case) -> None:
    space = _space(case)
    for preset in ((), *((name,) for name in case.cls.Params.presets)):
        source = f"preset {preset[0]}" if preset else "the default"
        values = case.cls.Params.build(presets=preset, owner=case.cls.name).resolved()
        # Each parameter alone, also where its condition does not hold.
        for dimension in space.dimensions:
            name, search = dimension.name, dimension.search
            step = f", step {search.step:g}" if search.step else ""
            assert dimension.encode(values[name]) is not None, (
                f"{name}={values[name]!r} of {source} lies outside its search range "
                f"{search.describe()}{step}"
            )
        assert space.encode(values) is not None, f"{source} lies outside the search space"


def _space(case: Case) -> Space:
    """Return the search space of the method."""
    params = case.cls.Params
    if not params.search_space():
        raise NotApplicable("no parameter has a search range")
    base = params.build(owner=case.cls.name).resolved()
    try:
        return make_space(case.cls.name, params, base, modality=case.modality)
    except UsageError as error:
        raise AssertionError(str(error)) from None


@check("Both ends, or all choices, of every search range are valid values.")
def _valid_search_ranges(case: Case) -> None:
    if not case.cls.Params.search_space():
        raise NotApplicable("no parameter has a search range")
    for name, search in case.cls.Params.search_space().items():
        ends = search.choices if search.choices is not None else (search.low, search.high)
        for value in ends:
            if value is None:
                raise AssertionError(f"the search range of {name} has only one end")
            kind = case.cls.Params.model_fields[name].annotation
            try:
                case.cls.Params.build(
                    {name: int(value) if kind is int else value}, owner=case.cls.name
                )
            except UsageError as error:
                # The value may need another parameter; only its own bounds count here.
                if f".{name}=" in str(error):
                    raise AssertionError(str(error)) from None


@check("recipe(), needs() and may_use() depend on parameters and dataset facts only.")
def _deterministic_declarations(case: Case) -> None:
    info = case.info(case.counts())
    one, other = case.cls(case.cls.Params()), case.cls(case.cls.Params())
    recipes = one.recipe(info), other.recipe(info), one.recipe(info)
    assert recipes[0] == recipes[1] == recipes[2], "recipe() returns different recipes"
    for name in ("needs", "may_use"):
        inputs = getattr(one, name)()
        assert inputs == getattr(other, name)(), f"{name}() returns different inputs"
        unknown = sorted(inputs - OPTIONAL_INPUTS)
        assert not unknown, f"{name}() names unknown inputs: {unknown}"
    both = sorted(one.needs() & one.may_use())
    assert not both, f"needs() and may_use() both name {both}"
    assert set(vars(one)) == {"params"}, "recipe(), needs() or may_use() sets attributes"
