"""All methods keep the contract, and each check finds the fault it is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from pydantic import Field

from bench.cli.test_method import check_methods
from bench.contract import ATAC, RNA, Fit, Method, Parameters, Recipe, Search, log_normalized
from bench.errors import Pruned, UsageError
from bench.registry import methods
from bench.testing import CHECKS, Check, NotApplicable, check_method, run_check

SLOW = {"wnn"}
"""Methods whose libraries compile for a minute in each process."""
NAMES = [
    pytest.param(entry.name, marks=[pytest.mark.slow] if entry.name in SLOW else [])
    for entry in methods() if not entry.unavailable
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_methods_conform(name: str, check: Check):
    run_check(methods().get(name), check)


class Sound(Method):
    """Two random projections of log-normalised counts; every fault below is one change to it."""

    name = "sound"
    summary = "random projection"
    reference = "none"
    modalities = frozenset({RNA})
    family = "baseline"

    class Params(Parameters):
        n_components: Annotated[int, Search(2, 40)] = Field(20, ge=1, description="dimensions")
        max_epochs: int = Field(3, ge=0, description="epochs")
        presets: ClassVar = {"small": {"n_components": 2}}

    def uses(self):
        return frozenset({"n_clusters"})

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


def described(cls: Any) -> None:
    cls.summary = " "


def parameters_documented_and_bounded(cls: Any) -> None:
    class Params(Sound.Params):
        extra: float = Field(1.0, description="no bound")

    cls.Params = Params


def parameters_stored(cls: Any) -> None:
    def init(self: Any, params: Any) -> None:
        self.params, self.more = params, 1

    cls.__init__ = init


def presets_valid(cls: Any) -> None:
    class Params(Sound.Params):
        presets: ClassVar = {"small": {"n_components": 20}}

    cls.Params = Params


def search_holds_the_default_and_presets(cls: Any) -> None:
    class Params(Sound.Params):
        presets: ClassVar = {"large": {"n_components": 50}}

    cls.Params = Params


def search_within_the_bounds(cls: Any) -> None:
    class Params(Sound.Params):
        n_components: Annotated[int, Search(0, 40)] = Field(20, ge=1, description="dimensions")

    cls.Params = Params


def declarations_pure(cls: Any) -> None:
    cls.uses = lambda self: frozenset({"n_clusters", "everything"})


def output_finite(cls: Any) -> None:
    cls.transform = lambda self, data: np.asarray(data.X @ self.axes).astype(int)


def seed_decides(cls: Any) -> None:
    def draw(self: Any, rng: Any, n_features: int) -> Any:
        return np.random.default_rng().normal(size=(n_features, self.params.n_components))

    cls.draw = draw


def global_state_untouched(cls: Any) -> None:
    def draw(self: Any, rng: Any, n_features: int) -> Any:
        np.random.random()  # noqa: NPY002
        return Sound.draw(self, rng, n_features)

    cls.draw = draw


def input_unchanged(cls: Any) -> None:
    def transform(self: Any, data: Any) -> Any:
        embedding = Sound.transform(self, data)
        data.layers["counts"].data[:] = 7
        return embedding

    cls.transform = transform


def sparse_equals_dense(cls: Any) -> None:
    def recipe(self: Any, info: Any) -> Recipe:
        return log_normalized(info, scale=info.density > 2)

    cls.recipe = recipe

    def draw(self: Any, rng: Any, n_features: int) -> Any:
        # The counts of the caller, sparse or dense, seen through the frames above.
        scale = 1.0
        frame = sys._getframe()
        while frame is not None:
            if "adata" in frame.f_locals and frame.f_code.co_name == "ran":
                scale = 2.0 if isinstance(frame.f_locals["adata"].X, np.ndarray) else 1.0
            frame = frame.f_back
        return scale * Sound.draw(self, rng, n_features)

    cls.draw = draw


def labels_unreachable(cls: Any) -> None:
    def draw(self: Any, rng: Any, n_features: int) -> Any:
        first = 0
        frame = sys._getframe()
        while frame is not None:
            if "adata" in frame.f_locals and frame.f_code.co_name == "ran":
                first = int(frame.f_locals["adata"].obs["cell_type"].iloc[0][-1])
            frame = frame.f_back
        return (1.0 + first) * Sound.draw(self, rng, n_features)

    cls.draw = draw


def odd_data(cls: Any) -> None:
    def transform(self: Any, data: Any) -> Any:
        whole = np.asarray(data.X.sum(axis=1)).reshape(-1, 1)
        with np.errstate(all="ignore"):
            return Sound.transform(self, data) / whole

    cls.transform = transform


def clusters_as_asked(cls: Any) -> None:
    def fit(self: Any, data: Any, context: Any) -> Fit:
        done = Sound.fit(self, data, context)
        done.labels["own"] = np.array([f"c{i % 7}" for i in range(data.n_obs)])
        return done

    cls.fit = fit


def reports_progress(cls: Any) -> None:
    def tell(self: Any, context: Any, epoch: int) -> None:
        if epoch == 0:
            Sound.tell(self, context, epoch)

    cls.tell = tell


def stops_when_pruned(cls: Any) -> None:
    def tell(self: Any, context: Any, epoch: int) -> None:
        try:
            Sound.tell(self, context, epoch)
        except Pruned:
            pass

    cls.tell = tell


def new_cells_consistent(cls: Any) -> None:
    def fit(self: Any, data: Any, context: Any) -> Fit:
        done = Sound.fit(self, data, context)
        done.embedding[0] *= 2
        return done

    cls.fit = fit


def new_cells_independent(cls: Any) -> None:
    def transform(self: Any, data: Any) -> Any:
        embedding = Sound.transform(self, data)
        return embedding / np.abs(embedding).max()

    cls.transform = transform


def save_and_load(cls: Any) -> None:
    def load(self: Any, path: Path) -> None:
        self.axes = 2 * np.load(path / "axes.npy")

    cls.load = load


def beats_the_negative_control(cls: Any) -> None:
    def transform(self: Any, data: Any) -> Any:
        depth = np.asarray(data.layers["counts"].sum(axis=1)).ravel()
        return np.column_stack([np.sin(1e3 * depth), np.cos(1e3 * depth)])

    cls.transform = transform


BY_NAME = {check.name: check for check in CHECKS}
FAULTS = {
    name: value
    for name, value in globals().items()
    if callable(value) and name in {check.name for check in CHECKS}
}


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
"""What a fit may do to its data, one change each."""


@pytest.mark.parametrize("change", WRITES)
def test_every_change_of_the_data_is_seen(change: Any):
    class Writes(Sound):
        def fit(self, data, context):
            done = Sound.fit(self, data, context)
            change(data)
            return done

    with pytest.raises(AssertionError, match=r"changed|is new|is gone"):
        run_check(Writes, BY_NAME["input_unchanged"])


@pytest.mark.parametrize(("step", "found"), [(3, True), (4, False)])
def test_a_default_beside_the_grid_cannot_be_proposed(step: int, found: bool):
    class Gridded(Sound):
        class Params(Sound.Params):
            @classmethod
            def search_space(cls):
                return {"n_components": Search(2, 40, step=step)}

    check = BY_NAME["search_holds_the_default_and_presets"]
    if found:  # 2 + 6 × 3
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


@pytest.mark.parametrize("name", ["reports_progress", "stops_when_pruned"])
def test_iterations_count_like_epochs_if_any_is_reported(name: str):
    assert passes(Iterating, name)
    faults = {
        "reports_progress": lambda self, context, n: n or Iterating.tell(self, context, n),
        "stops_when_pruned": swallow,
    }
    planted = type("Planted", (Iterating,), {"tell": faults[name]})
    with pytest.raises(AssertionError, match=r"fewer than 3 reports with max_iter|went on after"):
        run_check(planted, BY_NAME[name])
    silent = type("Silent", (Iterating,), {"tell": lambda self, context, number: None})
    with pytest.raises(NotApplicable, match="nothing is reported"):
        run_check(silent, BY_NAME[name])
    epochs = type("Epochs", (Sound,), {"tell": lambda self, context, number: None})
    with pytest.raises(AssertionError, match=r"fewer than 3 reports|went on after"):
        run_check(epochs, BY_NAME[name])


def swallow(self: Any, context: Any, number: int) -> None:
    try:
        Iterating.tell(self, context, number)
    except Pruned:
        pass


def test_every_check_has_a_planted_fault():
    assert set(FAULTS) == {check.name for check in CHECKS}


def test_the_sound_method_passes():
    assert {finding.status for finding in check_method(Sound)} == {"passed"}


def test_what_does_not_apply_is_not_passed():
    class Bare(Method):
        name, summary, reference, family = "bare", "counts", "none", "baseline"
        modalities = frozenset({RNA})

        def fit(self, data, context):
            return Fit(data.layers["counts"].toarray())

    statuses = {finding.check: finding.status for finding in check_method(Bare)}
    without = {name for name, status in statuses.items() if status == "not applicable"}
    assert without == {
        "presets_valid", "search_holds_the_default_and_presets", "search_within_the_bounds",
        "clusters_as_asked", "reports_progress", "stops_when_pruned", "new_cells_consistent",
        "new_cells_independent", "save_and_load",
    }  # fmt: skip
    assert {statuses[name] for name in statuses.keys() - without} == {"passed"}
    Bare.exceptions = {"save_and_load": "it cannot"}
    with pytest.raises(AssertionError, match=r"does not apply .* exception is declared"):
        run_check(Bare, BY_NAME["save_and_load"])


@pytest.mark.parametrize("name", [check.name for check in CHECKS])
def test_a_planted_fault_fails_its_check(name: str):
    cls = type("Planted", (Sound,), {"name": "planted"})
    FAULTS[name](cls)
    failed = {finding.check for finding in check_method(cls) if finding.status == "failed"}
    assert name in failed
    assert failed - {name} <= ALSO.get(name, set())


ALSO = {
    # A method without a repeatable fit cannot pass any check that compares two fits.
    "seed_decides": {"sparse_equals_dense", "labels_unreachable"},
    # Both look at the embedding in the same way.
    "output_finite": {"odd_data"},
    # What may not be proposed cannot hold the default.
    "search_within_the_bounds": {"search_holds_the_default_and_presets"},
    # A constructor that sets more than its parameters is also found by the check of purity.
    "parameters_stored": {"declarations_pure"},
}


def test_a_declared_exception_is_kept_and_must_be_needed():
    class Declared(Sound):
        name = "declared"
        exceptions: ClassVar = {"described": "it has no words"}

    by_name = {finding.check: finding for finding in check_method(Declared)}
    assert by_name["described"].status == "failed"
    assert "passes although" in by_name["described"].reason
    Declared.summary = ""
    by_name = {finding.check: finding for finding in check_method(Declared)}
    assert by_name["described"].status == "excepted"
    assert by_name["described"].reason == "it has no words"


@pytest.mark.parametrize("error", [ValueError, AssertionError])
def test_a_declared_exception_does_not_excuse_a_crash(error: type[Exception]):
    class Crashes(Sound):
        name = "crashes"
        exceptions: ClassVar = {"new_cells_consistent": "it is a step behind"}

        def transform(self, data):
            if sys._getframe(1).f_code.co_name != "fit":
                raise error("broken")
            return Sound.transform(self, data)

    by_name = {finding.check: finding for finding in check_method(Crashes)}
    for name in ("new_cells_consistent", "new_cells_independent"):
        assert by_name[name].status == "failed"
        assert by_name[name].reason == f"{error.__name__}: broken"


def test_a_declared_exception_of_one_modality_does_not_hide_a_crash_on_the_other():
    class Crashes(Sound):
        name = "crashes"
        modalities = frozenset({RNA, ATAC})
        exceptions: ClassVar = {"beats_the_negative_control": "it is noise"}

        def recipe(self, info):
            return Recipe() if info.modality == ATAC else Sound.recipe(self, info)

        def transform(self, data):
            if data.var_names[0].startswith("gene"):
                raise ValueError("no genes")
            return np.tile([[1.0], [-1.0]], (data.n_obs, 1))[: data.n_obs]

    by_name = {finding.check: finding for finding in check_method(Crashes)}
    assert by_name["beats_the_negative_control"].reason == "ValueError: no genes"


def test_pytest_shows_skips_with_their_reasons(tmp_path: Path):
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n"
        "import bench.testing\n"
        "from bench.registry import methods\n"
        "CHECKS = [one for one in bench.testing.CHECKS\n"
        "          if one.name in ('described', 'save_and_load', 'beats_the_negative_control')]\n"
        "@pytest.mark.parametrize('check', CHECKS, ids=str)\n"
        "def test_random(check):\n"
        "    bench.testing.run_check(methods().get('random'), check)\n"
    )
    words = ["-m", "pytest", "-rs", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "."]
    ran = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    assert "1 passed, 2 skipped" in ran.stdout
    assert "it has no save" in ran.stdout
    assert "it is the negative control" in ran.stdout


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
    assert "mine: beats_the_negative_control failed: ARI" in text
    assert "mine: save_and_load not applicable: it has no save" in text
    assert f"mine: {len(CHECKS) - 10} of {len(CHECKS)} checks passed, 9 not applicable" in text


def test_the_method_of_the_readme_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    plugin = tmp_path / "my_method.py"
    block = readme.partition("## Your own method")[2].partition("```python\n")[2]
    plugin.write_text(block.partition("```")[0])
    passed = check_methods(str(plugin), (str(plugin),))
    text = capsys.readouterr().out
    assert passed, text
    assert "svd: " in text


def test_a_plugin_file_without_a_method_is_said(tmp_path: Path):
    none, only = tmp_path / "none.py", tmp_path / "only.py"
    none.write_text("from bench.contract import Method\nvalue = 1\n")
    with pytest.raises(UsageError) as error:
        methods((str(none),))
    assert error.value.code == "empty_plugin"
    only.write_text("METRICS = ()\n")
    with pytest.raises(UsageError) as error:
        check_methods(str(only), (str(only),))
    assert error.value.code == "empty_plugin"
