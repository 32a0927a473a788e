"""Checks of what a method declares; nothing is fitted."""

from __future__ import annotations

from bench.contract import ATAC, MULTIOME, OPTIONAL_INPUTS, RNA
from bench.errors import UsageError
from bench.plan.search_space import Space, make_space

from .case import Case, NotApplicable, checks

CHECKS, check = checks()


@check("Summary, citation, modalities, family and cost are given.")
def _described(case: Case) -> None:
    for name in ("name", "summary", "reference", "family"):
        assert str(getattr(case.cls, name, "")).strip(), f"{name} is missing"
    known = {RNA, ATAC, MULTIOME}
    assert case.cls.modalities <= known, f"modalities are not of {sorted(known)}"
    assert case.cls.cost in ("light", "heavy"), (
        f"cost is '{case.cls.cost}', expected light or heavy"
    )


@check("Every parameter has a description, every number a bound.")
def _parameters_documented_and_bounded(case: Case) -> None:
    for row in case.cls.Params.describe():
        assert row["meaning"], f"parameter '{row['parameter']}' has no description"
        if row["type"] in ("int", "float"):
            assert row["valid"], f"parameter '{row['parameter']}' has no bound"


@check("The constructor only stores its parameters.")
def _parameters_stored(case: Case) -> None:
    params = case.cls.Params()
    method = case.cls(params)
    assert method.params is params, "params is not the object that was given"
    assert set(vars(method)) == {"params"}, (
        f"it also sets {sorted(set(vars(method)) - {'params'})}"
    )


@check("Every preset can be built and sets something.")
def _presets_valid(case: Case) -> None:
    if not case.cls.Params.presets:
        raise NotApplicable("it has no presets")
    for preset in case.cls.Params.presets:
        assert (
            case.cls.Params.build(presets=(preset,), owner=case.cls.name) != case.cls.Params()
        ), f"preset '{preset}' equals the default"


@check("The default and every preset can be proposed to a search.")
def _search_holds_the_default_and_presets(case: Case) -> None:
    space = _space(case)
    for preset in ((), *((name,) for name in case.cls.Params.presets)):
        whose = f"preset {preset[0]}" if preset else "the default"
        values = case.cls.Params.build(presets=preset, owner=case.cls.name).resolved()
        # Each parameter by itself, also where its condition does not hold.
        for one in space.dimensions:
            assert one.encode(values[one.name]) is not None, (
                f"{one.name}={values[one.name]!r} of {whose} lies outside its search range "
                f"{one.search.describe()}"
                + (f", step {one.search.step:g}" if one.search.step else "")
            )
        assert space.encode(values) is not None, f"{whose} lies outside the search space"


def _space(case: Case) -> Space:
    """Return what a search of the method would draw from."""
    params = case.cls.Params
    if not params.search_space():
        raise NotApplicable("no parameter has a search range")
    base = params.build(owner=case.cls.name).resolved()
    try:
        return make_space(case.cls.name, params, base, modality=case.modality)
    except UsageError as error:
        raise AssertionError(str(error)) from None


@check("Both ends of every search range are valid values.")
def _search_within_the_bounds(case: Case) -> None:
    if not case.cls.Params.search_space():
        raise NotApplicable("no parameter has a search range")
    for name, search in case.cls.Params.search_space().items():
        ends = search.choices if search.choices is not None else (search.low, search.high)
        for value in ends:
            if value is None:
                raise AssertionError(f"the search range of {name} lacks an end")
            kind = case.cls.Params.model_fields[name].annotation
            try:
                case.cls.Params.build(
                    {name: int(value) if kind is int else value}, owner=case.cls.name
                )
            except UsageError as error:
                # A value may need another parameter to be set; only its own bounds count here.
                if f".{name}=" in str(error):
                    raise AssertionError(str(error)) from None


@check("recipe() and uses() depend on parameters and facts only, and uses() names what exists.")
def _declarations_pure(case: Case) -> None:
    info = case.info(case.counts())
    one, other = case.cls(case.cls.Params()), case.cls(case.cls.Params())
    assert one.recipe(info) == other.recipe(info) == one.recipe(info), "recipe() changes"
    assert one.uses() == other.uses(), "uses() changes"
    assert one.uses() <= OPTIONAL_INPUTS, f"uses() names {sorted(one.uses() - OPTIONAL_INPUTS)}"
    assert set(vars(one)) == {"params"}, "recipe() or uses() sets attributes"
