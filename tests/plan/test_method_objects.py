"""Methods as classes and objects become selectors and plugin files."""

from __future__ import annotations

import linecache
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UsageError
from bench.plan.method_objects import select_methods
from bench.registry import import_method
from bench.registry import methods as registry
from bench.settings import Settings

CELLS = """
import concurrent.futures
from typing import Annotated, Literal
from pydantic import Field
import numpy as np
from bench.contract import RNA, Fit, Method, Parameters, Recipe
SCALE = 2.5
table = np.zeros(3)
def outer(values):
    return inner(values) * SCALE
def inner(values):
    return np.asarray(values)
class Sizes(Parameters):
    kind: Literal["a", "b"] = Field("a", description="kind")
    width: int = Field(3, ge=1, description="width")
# %%
class Plain(Method):
    name, summary, reference = "plain", "s", "r"
    modalities, family = frozenset({RNA}), "baseline"
    Params = Sizes
    def recipe(self, info):
        return Recipe()
    def fit(self, data, context):
        len(data)
        concurrent.futures.ThreadPoolExecutor
        return Fit(outer(data))
# %%
class Derived(Plain):
    name = "derived"
    def fit(self, data, context):
        return super(Derived, self).fit(data, context)
# %%
class Peeking(Plain):
    name = "peeking"
    def fit(self, data, context):
        return Fit(table)
"""


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of a notebook whose cells were executed as IPython does."""
    module = types.ModuleType("__main__")
    names = vars(module)
    names["In"] = [""]
    monkeypatch.setitem(sys.modules, "__main__", module)
    for number, cell in enumerate(CELLS.split("# %%\n")):
        names["In"].append(cell)
        exec(compile(cell, f"<ipython-input-{number}>", "exec", dont_inherit=True), names)
    return names


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path)


def test_a_class_of_a_notebook_is_a_module_with_all_it_names(notebook, settings):
    selector, (file,) = select_methods(notebook["Plain"], settings)
    assert selector == "plain"
    text = Path(file).read_text()
    assert "table" not in text
    assert "__future__" not in text
    fitted = import_method(file, "plain")
    assert fitted.Params().width == 3
    assert fitted(fitted.Params()).fit([1.0, 2.0], None).embedding.tolist() == [2.5, 5.0]
    assert select_methods(notebook["Plain"], settings)[1] == (file,)


def test_a_base_that_is_a_method_is_no_method_of_the_file(notebook, settings):
    selector, files = select_methods([notebook["Plain"], notebook["Derived"]], settings)
    assert selector == "plain,derived"
    assert {"plain", "derived"} <= set(registry(files).entries)
    derived = import_method(files[1], "derived")
    assert derived(derived.Params()).fit([2.0], None).embedding.tolist() == [5.0]


def test_a_changed_cell_is_another_file(notebook, settings):
    _, before = select_methods(notebook["Plain"], settings)
    cell = CELLS.split("# %%\n")[1].replace("outer(data)", "inner(data)")
    notebook["In"].append(cell)
    exec(cell, notebook)
    _, after = select_methods(notebook["Plain"], settings)
    assert before != after
    assert "outer" not in Path(after[0]).read_text()


def test_cells_without_history_are_found(notebook, settings, monkeypatch):
    for number, cell in enumerate(CELLS.split("# %%\n")):
        entry = (len(cell), None, cell.splitlines(keepends=True), f"<ipython-input-{number}>")
        monkeypatch.setitem(linecache.cache, f"<ipython-input-{number}>", entry)
    notebook["In"].clear()
    assert select_methods(notebook["Plain"], settings)[0] == "plain"


def test_what_goes_with_no_class_is_named(notebook, settings):
    with pytest.raises(UsageError, match="'table'") as raised:
        select_methods(notebook["Peeking"], settings)
    assert raised.value.code == "missing_names"


def test_objects_give_their_parameters(notebook, settings):
    cls = notebook["Plain"]
    other = cls(notebook["Sizes"](kind="b", width=4))
    selector, files = select_methods([cls, other, "pca"], settings)
    assert selector == "plain,plain[kind=b,width=4],pca"
    assert len(files) == 1
    pca = registry().get("pca")
    assert select_methods(pca(pca.Params(n_components=7)), settings) == ("pca[n_components=7]", ())


@pytest.mark.parametrize("wrong", [3, dict, None])
def test_what_is_no_method(wrong: Any, settings):
    with pytest.raises(UsageError) as raised:
        select_methods(wrong, settings)
    assert raised.value.code == "not_a_method"


def test_incomplete_and_hidden_classes(notebook, settings):
    method = notebook["Method"]
    for cls in (type("Half", (method,), {}), type("Hidden", (notebook["Plain"],), {"name": "x"})):
        with pytest.raises(UsageError) as raised:
            select_methods(cls, settings)
        assert raised.value.code == "not_a_method"


def test_a_class_without_source(notebook, settings):
    notebook["In"].clear()
    with pytest.raises(UsageError) as raised:
        select_methods(notebook["Plain"], settings)
    assert raised.value.code == "no_source"


def test_a_class_of_an_imported_file(tmp_path: Path, settings):
    text = CELLS.replace("# %%\n", "").replace("np.zeros(3)", "np.ones(3)")
    (tmp_path / "own_methods.py").write_text(text)
    code = (
        "from own_methods import Plain\nfrom bench.settings import Settings\n"
        "from bench.plan.method_objects import select_methods\n"
        "print(select_methods(Plain, Settings()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert f"('plain', ('{tmp_path / 'own_methods.py'}',))" in ran.stdout, ran.stderr
