from __future__ import annotations

from pathlib import Path

import pytest

from bench import digests, source_files


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a small methods folder: a uses nn.train inside a function, b is alone."""
    folder = tmp_path / "methods"
    (folder / "nn").mkdir(parents=True)
    (folder / "big").mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "nn" / "__init__.py").write_text("")
    (folder / "nn" / "train.py").write_text("from . import losses\n")
    (folder / "nn" / "losses.py").write_text("x = 1\n")
    (folder / "a.py").write_text("def fit():\n    from .nn.train import Trainer\n")
    (folder / "b.py").write_text("import numpy\n")
    (folder / "big" / "__init__.py").write_text("from .part import x\n")
    (folder / "big" / "part.py").write_text("from ..nn.losses import x\n")
    (folder / "big" / "unused.py").write_text("")
    monkeypatch.setattr(source_files, "_FOLDER", tmp_path)
    yield folder
    digests.source_digest.cache_clear()


def method_digests(*names: str) -> list[str]:
    digests.source_digest.cache_clear()
    return [digests.source_digest(f"bench.methods.{name}") for name in names]


@pytest.mark.parametrize(
    ("edited", "changed"),
    [
        ("a.py", [True, False, False]),
        ("b.py", [False, True, False]),
        ("nn/train.py", [True, False, False]),
        ("nn/losses.py", [True, False, True]),
        ("big/part.py", [False, False, True]),
        ("big/unused.py", [False, False, False]),
    ],
)
def test_an_edit_changes_exactly_the_methods_that_import_it(
    tree: Path, edited: str, changed: list[bool]
):
    before = method_digests("a", "b", "big")
    with (tree / edited).open("a") as stream:
        stream.write("y = 2\n")
    after = method_digests("a", "b", "big")
    assert [x != y for x, y in zip(before, after, strict=True)] == changed


def test_a_plugin_file_counts_with_what_it_imports(tree: Path, tmp_path: Path):
    plugin = tmp_path / "mine.py"
    plugin.write_text("from bench.methods.nn.losses import x\n")
    before = digests.source_digest(str(plugin))
    (tree / "nn" / "losses.py").write_text("x = 3\n")
    digests.source_digest.cache_clear()
    assert digests.source_digest(str(plugin)) != before


def test_an_installed_package_counts_as_far_as_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "mylab_of_tests"
    (package / "tools").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "one.py": "def fit():\n    from .tools.steps import x\n",
        "two.py": "",
        "tools/__init__.py": "",
        "tools/steps.py": "import mylab_of_tests.tools.far\n",
        "tools/far.py": "",
        "tools/other.py": "",
    }.items():
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))

    def of(name: str) -> str:
        digests.source_digest.cache_clear()
        return digests.source_digest(f"mylab_of_tests.{name}")

    for edited, changed in {
        "one.py": True, "two.py": False, "tools/steps.py": True, "tools/far.py": True,
        "tools/other.py": False,
    }.items():  # fmt: skip
        before = of("one")
        with (package / edited).open("a") as stream:
            stream.write("y = 2\n")
        assert (of("one") != before) == changed, edited


def test_modules_beside_a_plugin_count_if_it_imports_them(tmp_path: Path):
    plugin = tmp_path / "mine.py"
    plugin.write_text("import helper\nimport bench.contract.method\n")
    for name in ("helper.py", "other.py", "bench.py"):
        (tmp_path / name).write_text("")
    found = []
    for edited in ("helper.py", "other.py", "bench.py"):
        before = digests.source_digest(str(plugin))
        (tmp_path / edited).write_text("x = 1\n")
        digests.source_digest.cache_clear()
        found.append(digests.source_digest(str(plugin)) != before)
    assert found == [True, False, False]


def test_other_clusterings_change_the_methods_that_use_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {}
    for name, text in {
        "with": "from bench.scoring import clustering\n",
        "without": "import numpy\n",
    }.items():
        files[name] = tmp_path / f"{name}.py"
        files[name].write_text(text)
    before = {name: digests.source_digest(str(path)) for name, path in files.items()}
    monkeypatch.setattr(digests, "CLUSTERINGS", {"kmeans": 1, "leiden": 2})
    digests.source_digest.cache_clear()
    after = {name: digests.source_digest(str(path)) for name, path in files.items()}
    digests.source_digest.cache_clear()
    assert {name: before[name] != after[name] for name in files} == {
        "with": True, "without": False,
    }  # fmt: skip


def test_digest_ignores_order_and_tells_values_apart():
    assert digests.digest({"a": 1, "b": 2}) == digests.digest({"b": 2, "a": 1})
    assert digests.digest({"a": 1}) != digests.digest({"a": 1.5})
    assert digests.digest(["a", "b"]) != digests.digest(["ab"])
