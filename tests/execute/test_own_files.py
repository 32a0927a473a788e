"""What a fit can read is in its key: an edit of it fits again, and all else is out of reach."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from _sources import forget_sources

from bench import source_files
from bench.data.cache.data_cache import DataCache
from bench.errors import UsageError
from bench.execute import landlock
from bench.plan.build import build_plan
from bench.settings import load_settings

METHOD = """
{head}
from pathlib import Path
from bench.contract import RNA, Fit, Method

HERE = Path(__file__).parent
{top}

class Mine(Method):
    name, summary, reference, family = "mine", "own files", "none, doi 10.0/0", "baseline"
    modalities = frozenset({{RNA}})
    {declared}

    def fit(self, data, context):
        import numpy as np
        {body}
        return Fit(np.random.default_rng(context.seed).normal(size=(data.n_obs, 2)))
"""
LOAD = (
    "from importlib import util\n{indent}spec = util.spec_from_file_location('tool', {path})\n"
    "{indent}tool = util.module_from_spec(spec)\n{indent}spec.loader.exec_module(tool)"
)
CASES: dict[str, tuple[dict[str, str], str]] = {
    "module beside": ({"head": "import helper_of_mine"}, "helper_of_mine.py"),
    "module beside, in the fit": ({"body": "import helper_of_mine"}, "helper_of_mine.py"),
    "module in a folder": ({"body": "import lib_of_mine.inner"}, "lib_of_mine/inner.py"),
    "loaded by path": (
        {"top": LOAD.format(indent="", path="HERE / 'lib_of_mine' / 'by_path.py'")},
        "lib_of_mine/by_path.py",
    ),
    "loaded by path in the fit": (
        {"body": LOAD.format(indent="        ", path="HERE / 'by_path.py'")}, "by_path.py",
    ),
    "declared": (
        {"declared": 'files = ("net.yaml",)', "body": "(HERE / 'net.yaml').read_text()"},
        "net.yaml",
    ),
    "declared folder": (
        {"declared": 'files = ("weights",)', "body": "(HERE / 'weights/a.txt').read_text()"},
        "weights/a.txt",
    ),
    "on PYTHONPATH": ({"body": "import elsewhere_of_mine.net"}, "../lib/elsewhere_of_mine/net.py"),
}  # fmt: skip


FILES = [
    "helper_of_mine.py", "lib_of_mine/inner.py", "lib_of_mine/by_path.py", "by_path.py",
    "net.yaml", "weights/a.txt", "other.yaml", "../lib/elsewhere_of_mine/net.py",
    "../lib/elsewhere_of_mine/other.py",
]  # fmt: skip


def write_plugin(folder: Path, **parts: str) -> Path:
    texts = {"head": "", "top": "", "declared": "", "body": ""} | parts
    plugin = folder / "mine.py"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.write_text(METHOD.format(**texts))
    return plugin


@pytest.fixture(autouse=True)
def _forget_sources():
    path, before = sys.path[:], set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if "of_mine" in name or name == "bench_plugin_mine":
            del sys.modules[name]


@pytest.fixture
def go(bench_run, flags) -> Callable[[Path], Any]:
    def run(plugin: Path, **more: Any) -> Any:
        forget_sources()
        return bench_run("mine", plugins=(*flags["plugins"], str(plugin)), **more)

    return run


@pytest.fixture
def fit_key(flags) -> Callable[[Path], str]:
    """Return the key of the fit of a plugin with its files as they are now."""

    def key(plugin: Path) -> str:
        forget_sources()
        settings = load_settings(flags | {"plugins": (*flags["plugins"], str(plugin))})
        plan = build_plan("mine", "toy", (), settings, DataCache(settings.cache_dir))
        return plan.jobs[0].fit_key

    return key


@pytest.mark.parametrize("case", CASES)
def test_an_own_file_can_be_read_and_its_edit_fits_again(
    case: str, tmp_path: Path, go, fit_key, monkeypatch: pytest.MonkeyPatch
):
    parts, edited = CASES[case]
    folder = tmp_path / "project"
    plugin = write_plugin(folder, **parts)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x = 1\n")
    first = go(plugin)
    assert list(first.table["status"]) == ["done"], list(first.table["reason"])
    assert fit_key(plugin) == first.table["fit_key"][0]
    for other in ("other.yaml", "../lib/elsewhere_of_mine/other.py"):
        (folder / other).write_text("x = 2\n")
    assert fit_key(plugin) == first.table["fit_key"][0]
    (folder / edited).write_text("x = 3\n")
    assert fit_key(plugin) != first.table["fit_key"][0]


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
def test_a_file_that_is_not_declared_cannot_be_read(tmp_path: Path, go):
    plugin = write_plugin(tmp_path / "project", body="(HERE / 'net.yaml').read_text()")
    (plugin.parent / "net.yaml").write_text("x: 1\n")
    outcome = go(plugin)
    assert list(outcome.table["status"]) == ["failed"]
    assert "class attribute files" in outcome.table["reason"][0]


def test_a_declared_file_that_is_not_there_is_named(tmp_path: Path, go):
    plugin = write_plugin(tmp_path / "project", declared='files = ("net.yaml",)')
    with pytest.raises(UsageError) as error:
        go(plugin)
    assert error.value.code == "missing_file"
    assert "net.yaml" in str(error.value)


def test_with_plugin_data_and_results_in_one_folder_the_second_run_fits_nothing(
    tmp_path: Path, go, toy_counts, empty_store: Path
):
    folder = tmp_path / "project"
    plugin = write_plugin(folder, body="import helper_of_mine")
    (folder / "helper_of_mine.py").write_text("x = 1\n")
    toy_counts.write_h5ad(folder / "cells.h5ad")
    (folder / "results").mkdir()
    shutil.copy(empty_store, folder / "results" / "mlflow.db")
    runs = [
        go(plugin, datasets=str(folder / "cells.h5ad"), results=folder / "results")
        for _ in range(2)
    ]
    assert [run.counts["done"] for run in runs] == [1, 1]
    assert [run.reused for run in runs] == [0, 1]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "mine_package"
    plugin = write_plugin(folder, head="from .net import x", body="(HERE / 'a.yaml').read_text()")
    plugin.rename(folder / "__init__.py")
    (folder / "net.py").write_text("x = 1\n")
    (folder / "a.yaml").write_text("x: 1\n")
    return folder


def test_a_package_is_a_plugin_and_counts_as_a_whole(package: Path, go):
    first = go(package)
    assert list(first.table["status"]) == ["done"], list(first.table["reason"])
    assert go(package).reused == 1
    (package / "a.yaml").write_text("x: 2\n")
    assert go(package).reused == 0


@pytest.mark.parametrize("setting", ["results", "cache_dir", "datasets", "BENCH_DATA_DIR"])
def test_a_package_that_holds_results_or_data_is_refused(
    setting: str, package: Path, go, toy_counts, monkeypatch: pytest.MonkeyPatch
):
    more: dict[str, Any] = {}
    if setting == "datasets":
        toy_counts.write_h5ad(package / "cells.h5ad")
        more = {"datasets": str(package / "cells.h5ad")}
    elif setting == "BENCH_DATA_DIR":
        monkeypatch.setenv(setting, str(package / "data"))
    else:
        more = {setting: package / "inner"}
    with pytest.raises(UsageError) as error:
        go(package, **more)
    assert error.value.code == "data_in_package"


def test_labelled_data_cannot_be_declared(tmp_path: Path, go, toy_counts):
    plugin = write_plugin(tmp_path / "project", declared='files = ("cells.h5ad",)')
    toy_counts.write_h5ad(plugin.parent / "cells.h5ad")
    with pytest.raises(UsageError) as error:
        go(plugin, datasets=str(plugin.parent / "cells.h5ad"))
    assert error.value.code == "data_in_package"


def test_two_modules_of_one_name_are_refused(tmp_path: Path, go):
    for name in ("one", "two"):
        plugin = write_plugin(tmp_path / name, head="import helper_of_mine")
        (plugin.parent / "helper_of_mine.py").write_text(f"x = '{name}'\n")
    go(tmp_path / "one" / "mine.py")
    with pytest.raises(UsageError) as error:
        go(tmp_path / "two" / "mine.py")
    assert error.value.code == "duplicate_names"


def test_versions_of_imported_packages_count(tmp_path: Path):
    plugin = write_plugin(tmp_path, head="import sklearn.cluster, os, helper_of_mine")
    (tmp_path / "helper_of_mine.py").write_text("import scipy\n")
    versions = source_files.package_versions(str(plugin))
    packages = {"numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn"}
    assert versions == {name: version(package) for name, package in packages.items()}


@pytest.mark.slow
def test_processes_of_joblib_run_functions_of_a_plugin(tmp_path: Path, go):
    plugin = write_plugin(
        tmp_path / "project",
        head="from helper_of_mine import cube\nfrom joblib import Parallel, delayed",
        top="def square(x):\n    return x * x\n",
        body="assert Parallel(2)(delayed(f)(3) for f in (cube, square)) == [27, 9]",
    )
    (plugin.parent / "helper_of_mine.py").write_text("def cube(x):\n    return x**3\n")
    outcome = go(plugin)
    assert list(outcome.table["status"]) == ["done"], list(outcome.table["reason"])


def install_editable(folder: Path, site: Path) -> None:
    """Do what ``pip install -e`` does: a path file in a folder of packages, and entry points."""
    folder.mkdir(parents=True)
    plugin = write_plugin(folder, body="import net_of_mine")
    plugin.rename(folder / "editable_of_mine.py")
    (folder / "net_of_mine.py").write_text("x = 1\n")
    info = site / "editable_of_mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: editable_of_mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.methods]\nmine = editable_of_mine:Mine\n")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["editable", "user site"])
def test_an_installed_plugin_runs(kind: str, tmp_path: Path, results: Path, cache: Path):
    user_base = tmp_path / "user"
    site = user_base / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    source = tmp_path / "project" if kind == "editable" else site / "code"
    install_editable(source, site)
    (site / "mine.pth").write_text(f"{source}\n")
    toy = Path(__file__).parents[1] / "plugins" / "toy.py"
    # A virtual environment has no user site: the folder is added as one is.
    code = f"import site; site.addsitedir({str(site)!r})\nfrom bench.cli.main import main; main()"
    environment = os.environ | {
        "PYTHONUSERBASE": str(user_base), "BENCH_CACHE_DIR": str(cache), "PYTHONPATH": str(site),
    }  # fmt: skip

    def run() -> str:
        ran = subprocess.run(
            [sys.executable, "-c", code, "run", "-m", "mine", "-d", "toy", "--plugin", str(toy),
             "--seeds", "1", "--results", str(results), "--no-report", "--jobs", "1"],
            capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=280,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout + ran.stderr

    assert "1 fitted now, 0 from the store: 1 done" in run()
    assert "0 fitted now, 1 from the store: 1 done" in run()
