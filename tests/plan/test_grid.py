"""What a method declares decides which datasets are skipped and what a job is given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.contract import Markers, Recipe
from bench.errors import UsageError
from bench.methods.pca import PrincipalComponents
from bench.plan.grid import make_job, make_plan
from bench.plan.methods import ConfiguredMethod
from bench.settings import Settings


def declaring(needs: tuple[str, ...] = (), may_use: tuple[str, ...] = ()) -> ConfiguredMethod:
    """Return a method with these declarations."""

    class Declaring(PrincipalComponents):
        def needs(self):
            return frozenset(needs)

        def may_use(self):
            return frozenset(may_use)

    return ConfiguredMethod(Declaring, "bench.methods.pca", "one", Declaring(Declaring.Params()))


def test_a_dataset_without_an_input_is_skipped_only_if_the_method_needs_it(
    store, toy_counts, in_memory
):
    plain = store.load_dataset(in_memory(toy_counts), "code", "memory")
    for name in ("batch", "proteins", "markers"):
        skipped = make_plan([declaring(needs=(name,))], [plain], Settings(seeds=(0,)), store)
        assert not skipped.jobs
        assert skipped.excluded[0].reason.startswith("needs ")
        (job,) = make_plan([declaring(may_use=(name,))], [plain], Settings(seeds=(0,)), store).jobs
        assert job.uses == ()


def test_a_job_uses_what_is_declared_and_there(store, toy_counts, in_memory):
    plain = store.load_dataset(in_memory(toy_counts), "code", "memory")
    marked = replace(plain, markers=Markers({"a": ("gene1",)}, "here"))
    method = declaring(needs=("n_clusters",), may_use=("markers", "batch"))

    def job(dataset: Any) -> Any:
        return make_job(method, dataset, 0, Settings(), store)

    assert job(plain).uses == ("n_clusters",)
    assert job(plain).markers is None
    assert job(marked).uses == ("markers", "n_clusters")
    assert job(marked).fit_key != job(plain).fit_key


def test_a_recipe_by_batch_is_refused_without_a_batch(store, toy_counts, in_memory):
    class Careless(PrincipalComponents):
        def may_use(self):
            return frozenset({"batch"})

        def recipe(self, info):
            return Recipe(n_top_features=5, batch_aware=True)

    plain = store.load_dataset(in_memory(toy_counts), "code", "memory")
    method = ConfiguredMethod(Careless, "bench.methods.pca", "one", Careless(Careless.Params()))
    with pytest.raises(UsageError) as error:
        make_job(method, plain, 0, Settings(), store)
    assert error.value.code == "wrong_recipe"


def test_unknown_inputs_are_refused(store, toy_counts, in_memory):
    plain = store.load_dataset(in_memory(toy_counts), "code", "memory")
    with pytest.raises(UsageError) as error:
        make_job(declaring(may_use=("everything",)), plain, 0, Settings(), store)
    assert error.value.code == "unknown_name"
