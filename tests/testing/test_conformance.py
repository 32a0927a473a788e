"""All methods pass the checks, and each check finds its planted fault."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar
from unittest import SkipTest

import numpy as np
import pytest
from pydantic import Field

from bench.cli.test_method import check_methods
from bench.contract import ATAC, RNA, Fit, Method, Parameters, Recipe, Search, log_normalized
from bench.errors import Pruned, UsageError
from bench.registry import methods
from bench.testing import CHECKS, Check, NotApplicable, check_method, run_check

SLOW_METHODS = {"cnmf", "lda", "sccrossrec", "wnn"} | {
    entry.name for entry in methods() if "aebench[" in entry.cls.install
}  # fmt: skip
"""Methods whose fits, or whose libraries in each process, take long."""
LONG_FITS = {"deepscena", "scsmd", "stacked_ae"}
"""Methods of which the check with the longest fit runs in the long tests only."""
PERMUTED_METHODS = {"ae", "nmf", "pca"}
"""Methods of which the order of cells is checked in the short tests, too: it takes six fits."""


def conformance_cases() -> list[Any]:
    """Return each method with each check, one method after the other."""
    return [
        pytest.param(
            entry.name, check, id=f"{entry.name}-{check}",
            marks=[pytest.mark.slow] * _is_slow(entry.name, check),
        )
        for entry in methods() if not entry.unavailable
        for check in CHECKS
    ]  # fmt: skip


def _is_slow(name: str, check: Check) -> bool:
    six_fits = check.name == "order_of_cells" and name not in PERMUTED_METHODS
    long_fit = check.name == "separates_clear_types" and name in LONG_FITS
    return name in SLOW_METHODS or six_fits or long_fit


@pytest.mark.parametrize(("name", "check"), conformance_cases())
def test_methods_conform(name: str, check: Check):
    run_check(methods().get(name), check)


class Sound(Method):
    """Random projections of log-normalised counts; each planted fault is one change of it."""

    name = "sound"
    summary = "random projection"
    reference = "none"
    modalities = frozenset({RNA})
    family = "baseline"

    class Params(Parameters):
        n_components: Annotated[int, Search(2, 40)] = Field(20, ge=1, description="dimensions")
        max_epochs: int = Field(3, ge=0, description="epochs")
        presets: ClassVar = {"small": {"n_components": 2}}

    def needs(self):
        return frozenset({"n_clusters"})

    def may_use(self):
        return frozenset({"batch"})

    def recipe(self, info):
        return log_normalized(info, scale=False)

    def fit(self, data, context):
        rng = np.random.default_rng(context.seed)
        self.axes = self.draw(rng, data.n_vars)
        for epoch in range(self.params.max_epochs):
            self.tell(context, epoch)
        embedding = self.transform(data)
        return Fit(
            embedding, labels={"own": np.array(["a", "b", "c"])[np.arange(len(embedding)) % 3]}
        )

    def draw(self, rng, n_features):
        return rng.normal(size=(n_features, self.params.n_components))

    def tell(self, context, epoch):
        context.report(epoch + 1, self.params.max_epochs, loss=1.0)

    def transform(self, data):
        return np.asarray(data.X @ self.axes)

    def save(self, path):
        np.save(path / "axes.npy", self.axes)

    def load(self, path):
        self.axes = np.load(path / "axes.npy")


def complete_description(cls: Any) -> None:
    cls.summary = " "


def documented_parameters(cls: Any) -> None:
    class Params(Sound.Params):
        extra: float = Field(1.0, description="no bound")

    cls.Params = Params


def constructor_only_stores_parameters(cls: Any) -> None:
    def init(self: Any, params: Any) -> None:
        self.params, self.more = params, 1

    cls.__init__ = init


def valid_presets(cls: Any) -> None:
    class Params(Sound.Params):
        presets: ClassVar = {"small": {"n_components": 20}}

    cls.Params = Params


def search_space_contains_presets(cls: Any) -> None:
    class Params(Sound.Params):
        presets: ClassVar = {"large": {"n_components": 50}}

    cls.Params = Params


def valid_search_ranges(cls: Any) -> None:
    class Params(Sound.Params):
        n_components: Annotated[int, Search(0, 40)] = Field(20, ge=1, description="dimensions")

    cls.Params = Params


def deterministic_declarations(cls: Any) -> None:
    cls.needs = lambda self: frozenset({"n_clusters", "everything"})


def finite_output(cls: Any) -> None:
    cls.transform = lambda self, data: np.asarray(data.X @ self.axes).astype(int)


def reproducible_by_seed(cls: Any) -> None:
    def draw(self: Any, rng: Any, n_features: int) -> Any:
        return np.random.default_rng().normal(size=(n_features, self.params.n_components))

    cls.draw = draw


def unchanged_global_random_state(cls: Any) -> None:
    def draw(self: Any, rng: Any, n_features: int) -> Any:
        np.random.random()  # noqa: NPY002
        return Sound.draw(self, rng, n_features)

    cls.draw = draw


def unchanged_input(cls: Any) -> None:
    def transform(self: Any, data: Any) -> Any:
        embedding = Sound.transform(self, data)
        data.layers["counts"].data[:] = 7
        return embedding

    cls.transform = transform


def dataset_of_the_check() -> Any:
    """Return the counts with labels that the method must not reach, from the frames above."""
    frame = sys._getframe()
    while not {"prepared", "inputs", "cells"} <= frame.f_locals.keys():
        assert frame.f_back is not None
        frame = frame.f_back
    return frame.f_locals["cells"]


def same_for_sparse_and_dense(cls: Any) -> None:
    def draw(self: Any, rng: Any, n_features: int) -> Any:
        scale = 2.0 if isinstance(dataset_of_the_check().X, np.ndarray) else 1.0
        return scale * Sound.draw(self, rng, n_features)

    cls.draw = draw


def labels_not_used(cls: Any) -> None:
    def draw(self: Any, rng: Any, n_features: int) -> Any:
        first_type = int(dataset_of_the_check().obs["cell_type"].iloc[0][-1])
        return (1.0 + first_type) * Sound.draw(self, rng, n_features)

    cls.draw = draw


def unusual_data(cls: Any) -> None:
    def transform(self: Any, data: Any) -> Any:
        whole = np.asarray(data.X.sum(axis=1)).reshape(-1, 1)
        with np.errstate(all="ignore"):
            return Sound.transform(self, data) / whole

    cls.transform = transform


def without_optional_inputs(cls: Any) -> None:
    def fit(self: Any, data: Any, context: Any) -> Fit:
        assert len(context.knowledge.batch) == data.n_obs
        return Sound.fit(self, data, context)

    cls.fit = fit


def number_of_clusters(cls: Any) -> None:
    def fit(self: Any, data: Any, context: Any) -> Fit:
        done = Sound.fit(self, data, context)
        done.labels["own"] = np.array([f"c{i % 7}" for i in range(data.n_obs)])
        return done

    cls.fit = fit


def reports_every_epoch(cls: Any) -> None:
    def tell(self: Any, context: Any, epoch: int) -> None:
        if epoch == 0:
            Sound.tell(self, context, epoch)

    cls.tell = tell


def stops_when_pruned(cls: Any) -> None:
    def tell(self: Any, context: Any, epoch: int) -> None:
        with contextlib.suppress(Pruned):
            Sound.tell(self, context, epoch)

    cls.tell = tell


def transform_equals_fit(cls: Any) -> None:
    def fit(self: Any, data: Any, context: Any) -> Fit:
        done = Sound.fit(self, data, context)
        done.embedding[0] *= 2
        return done

    cls.fit = fit


def transform_of_each_cell_alone(cls: Any) -> None:
    def transform(self: Any, data: Any) -> Any:
        embedding = Sound.transform(self, data)
        return embedding / np.abs(embedding).max()

    cls.transform = transform


def save_and_load(cls: Any) -> None:
    def load(self: Any, path: Path) -> None:
        self.axes = 2 * np.load(path / "axes.npy")

    cls.load = load


def separates_clear_types(cls: Any) -> None:
    def transform(self: Any, data: Any) -> Any:
        depth = np.asarray(data.layers["counts"].sum(axis=1)).ravel()
        return np.column_stack([np.sin(1e3 * depth), np.cos(1e3 * depth)])

    cls.transform = transform


def order_of_cells(cls: Any) -> None:
    def fit(self: Any, data: Any, context: Any) -> Fit:
        done = Sound.fit(self, data, context)
        padded = np.pad(done.embedding, ((10, 10), (0, 0)), mode="edge")
        done.embedding = np.array([padded[row : row + 21].mean(0) for row in range(data.n_obs)])
        return done

    cls.fit = fit


def names_of_cells(cls: Any) -> None:
    def fit(self: Any, data: Any, context: Any) -> Fit:
        done = Sound.fit(self, data, context)
        done.embedding[:, 0] += [len(name) for name in data.obs_names]
        return done

    cls.fit = fit


BY_NAME = {check.name: check for check in CHECKS}
FAULTS = {name: globals()[name] for name in BY_NAME}
ALSO_FAILED = {
    # A method without a repeatable fit fails every check that compares two fits.
    "reproducible_by_seed": {"same_for_sparse_and_dense", "labels_not_used", "names_of_cells"},
    "order_of_cells": {"transform_equals_fit", "separates_clear_types"},
    "names_of_cells": {"transform_equals_fit"},
    "finite_output": {"unusual_data", "without_optional_inputs"},
    "valid_search_ranges": {"search_space_contains_presets"},
    "constructor_only_stores_parameters": {"deterministic_declarations"},
}
"""Further checks that a planted fault fails."""


@pytest.mark.parametrize("name", BY_NAME)
def test_a_planted_fault_fails_its_check(name: str):
    cls = type("Planted", (Sound,), {"name": "planted"})
    FAULTS[name](cls)
    failed = {finding.check for finding in check_method(cls) if finding.status == "failed"}
    assert name in failed
    assert failed - {name} <= ALSO_FAILED.get(name, set())


def passes(cls: type[Method], name: str) -> bool:
    """Return whether a check passes; a check that does not apply would skip the test instead."""
    try:
        run_check(cls, BY_NAME[name])
    except NotApplicable:
        return False
    return True


def obs_value(data: Any) -> None:
    data.obs.loc[data.obs_names[3], "size_factor"] = 9.0


def obs_column(data: Any) -> None:
    data.obs["mine"] = 1


def var_column(data: Any) -> None:
    data.var["mine"] = 1


def var_names(data: Any) -> None:
    data.var_names = [f"{name}x" for name in data.var_names]


def new_layer(data: Any) -> None:
    data.layers["mine"] = data.X.copy()


def lost_layer(data: Any) -> None:
    del data.layers["counts"]


def row_pointers(data: Any) -> None:
    data.X.indptr[1] = data.X.indptr[2]


def other_matrix(data: Any) -> None:
    data.X = data.X * 2


def new_embedding(data: Any) -> None:
    data.obsm["mine"] = np.ones((data.n_obs, 2))


def unstructured(data: Any) -> None:
    data.uns["mine"] = 1


WRITES = [
    obs_value, obs_column, var_column, var_names, new_layer, lost_layer, row_pointers,
    other_matrix, new_embedding, unstructured,
]  # fmt: skip
"""Changes of the input of a fit."""


@pytest.mark.parametrize("change", WRITES)
def test_every_change_of_the_input_is_found(change: Any):
    class Writes(Sound):
        def fit(self, data, context):
            done = Sound.fit(self, data, context)
            change(data)
            return done

    with pytest.raises(AssertionError, match=r"was (changed|added|removed)"):
        run_check(Writes, BY_NAME["unchanged_input"])


@pytest.mark.parametrize(("step", "on_grid"), [(3, True), (4, False)])
def test_a_default_between_grid_points_is_not_in_the_search_space(step: int, on_grid: bool):
    class Gridded(Sound):
        class Params(Sound.Params):
            @classmethod
            def search_space(cls):
                return {"n_components": Search(2, 40, step=step)}

    check = BY_NAME["search_space_contains_presets"]
    if on_grid:  # 2 + 6 × 3
        assert passes(Gridded, check.name)
    else:
        with pytest.raises(AssertionError, match=r"n_components=20 of the default .* step 4"):
            run_check(Gridded, check)


class Iterating(Sound):
    """The sound method with iterations instead of epochs."""

    name = "iterating"

    class Params(Parameters):
        n_components: int = Field(20, ge=1, description="dimensions")
        max_iter: int = Field(9, ge=1, description="iterations")

    def fit(self, data, context):
        self.axes = self.draw(np.random.default_rng(context.seed), data.n_vars)
        for number in range(self.params.max_iter):
            self.tell(context, number)
        return Fit(self.transform(data))

    def tell(self, context, epoch):
        context.report(epoch + 1, self.params.max_iter, loss=1.0)


@pytest.mark.parametrize("name", ["reports_every_epoch", "stops_when_pruned"])
def test_iterations_count_like_epochs_if_any_is_reported(name: str):
    assert passes(Iterating, name)
    faults = {
        "reports_every_epoch": lambda self, context, n: n or Iterating.tell(self, context, n),
        "stops_when_pruned": swallow,
    }
    planted = type("Planted", (Iterating,), {"tell": faults[name]})
    with pytest.raises(
        AssertionError, match=r"fewer than 3 reports with max_iter|went on after Pruned"
    ):
        run_check(planted, BY_NAME[name])
    silent = type("Silent", (Iterating,), {"tell": lambda self, context, number: None})
    with pytest.raises(NotApplicable, match="does not report"):
        run_check(silent, BY_NAME[name])
    epochs = type("Epochs", (Sound,), {"tell": lambda self, context, number: None})
    with pytest.raises(AssertionError, match=r"fewer than 3 reports|went on after"):
        run_check(epochs, BY_NAME[name])


def swallow(self: Any, context: Any, number: int) -> None:
    with contextlib.suppress(Pruned):
        Iterating.tell(self, context, number)


def test_the_sound_method_passes():
    assert {finding.status for finding in check_method(Sound)} == {"passed"}


def test_checks_that_do_not_apply():
    class Bare(Method):
        name, summary, reference, family = "bare", "counts", "none", "baseline"
        modalities = frozenset({RNA})

        def fit(self, data, context):
            return Fit(data.layers["counts"].toarray())

    statuses = {finding.check: finding.status for finding in check_method(Bare)}
    without = {name for name, status in statuses.items() if status == "not applicable"}
    assert without == {
        "valid_presets", "search_space_contains_presets", "valid_search_ranges",
        "number_of_clusters", "reports_every_epoch", "stops_when_pruned", "transform_equals_fit",
        "transform_of_each_cell_alone", "save_and_load", "without_optional_inputs",
    }  # fmt: skip
    assert {statuses[name] for name in statuses.keys() - without} == {"passed"}
    Bare.exceptions = {"save_and_load": "it cannot"}
    with pytest.raises(AssertionError, match=r"does not apply .* exception is declared"):
        run_check(Bare, BY_NAME["save_and_load"])


def test_a_declared_exception_must_be_needed():
    class Declared(Sound):
        name = "declared"
        exceptions: ClassVar = {"complete_description": "it has no words"}

    by_name = {finding.check: finding for finding in check_method(Declared)}
    assert by_name["complete_description"].status == "failed"
    assert "passes although" in by_name["complete_description"].reason
    Declared.summary = ""
    by_name = {finding.check: finding for finding in check_method(Declared)}
    assert by_name["complete_description"].status == "excepted"
    assert by_name["complete_description"].reason == "it has no words"


@pytest.mark.parametrize("error", [ValueError, AssertionError])
def test_a_declared_exception_does_not_excuse_a_crash(error: type[Exception]):
    class Crashes(Sound):
        name = "crashes"
        exceptions: ClassVar = {"transform_equals_fit": "it is a step behind"}

        def transform(self, data):
            if sys._getframe(1).f_code.co_name != "fit":
                raise error("broken")
            return Sound.transform(self, data)

    by_name = {finding.check: finding for finding in check_method(Crashes)}
    for name in ("transform_equals_fit", "transform_of_each_cell_alone"):
        assert by_name[name].status == "failed"
        assert by_name[name].reason == f"{error.__name__}: broken"


def test_a_declared_exception_of_one_modality_does_not_hide_a_crash_on_the_other():
    class Crashes(Sound):
        name = "crashes"
        modalities = frozenset({RNA, ATAC})
        exceptions: ClassVar = {"separates_clear_types": "it is noise"}

        def recipe(self, info):
            return Recipe() if info.modality == ATAC else Sound.recipe(self, info)

        def transform(self, data):
            if data.var_names[0].startswith("gene"):
                raise ValueError("no genes")
            return np.tile([[1.0], [-1.0]], (data.n_obs, 1))[: data.n_obs]

    by_name = {finding.check: finding for finding in check_method(Crashes)}
    assert by_name["separates_clear_types"].reason == "ValueError: no genes"


def test_declared_failures_and_checks_that_do_not_apply_are_skips():
    random = methods().get("random")
    with pytest.raises(SkipTest, match="it is the negative control"):
        run_check(random, BY_NAME["separates_clear_types"])
    with pytest.raises(SkipTest, match="it has no save"):
        run_check(random, BY_NAME["save_and_load"])


def test_command_checks_a_plugin_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import numpy as np\n"
        "from bench.contract import Fit, Method, RNA\n"
        "class Mine(Method):\n"
        "    name, summary, reference, family = 'mine', 'zeros', 'none', 'baseline'\n"
        "    modalities = frozenset({RNA})\n"
        "    def fit(self, data, context):\n"
        "        return Fit(np.zeros((data.n_obs, 2)))\n"
    )
    assert not check_methods(str(plugin), (str(plugin),))
    text = capsys.readouterr().out
    assert "mine: separates_clear_types failed: ARI" in text
    assert "mine: save_and_load not applicable: it has no save" in text
    assert f"mine: {len(CHECKS) - 11} of {len(CHECKS)} checks passed, 10 not applicable" in text


def test_the_method_of_the_readme_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    plugin = tmp_path / "my_method.py"
    block = readme.partition("## Your own method")[2].partition("```python file=my_method.py\n")[2]
    plugin.write_text(block.partition("```")[0])
    passed = check_methods(str(plugin), (str(plugin),))
    text = capsys.readouterr().out
    assert passed, text
    assert "my_svd: " in text


def test_a_plugin_file_without_a_method(tmp_path: Path):
    none, only = tmp_path / "none.py", tmp_path / "only.py"
    none.write_text("from bench.contract import Method\nvalue = 1\n")
    with pytest.raises(UsageError) as error:
        methods((str(none),))
    assert error.value.code == "empty_plugin"
    only.write_text("METRICS = ()\n")
    with pytest.raises(UsageError) as error:
        check_methods(str(only), (str(only),))
    assert error.value.code == "empty_plugin"


def test_a_recipe_by_batch_gets_the_batch():
    class ByBatch(Sound):
        def recipe(self, info):
            recipe = log_normalized(info, n_top_genes=40, scale=False)
            return replace(recipe, batch_aware=info.has_batch)

    assert passes(ByBatch, "finite_output")
    assert passes(ByBatch, "without_optional_inputs")
