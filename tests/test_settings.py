from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UsageError
from bench.settings import Settings, default_cache_dir, load_settings, parse_seeds

# Of each setting: TOML, text in the environment, value of a flag; then what the three mean.
VALUES: dict[str, tuple[str, str, Any, tuple[Any, Any, Any]]] = {
    "seeds": ("[7, 11]", "4", "5,", ((7, 11), (0, 1, 2, 3), (5,))),
    "profile": ("'quick'", "faithful", "default", ("quick", "faithful", "default")),
    "results": ("'a'", "b", Path("c"), (Path("a"), Path("b"), Path("c"))),
    "cache_dir": ("'a'", "b", Path("c"), (Path("a"), Path("b"), Path("c"))),
    "mirror": ("'a'", "b", "c", ("a", "b", "c")),
    "offline": ("true", "0", True, (True, False, True)),
    "tracking_uri": ("'a'", "b", "c", ("a", "b", "c")),
    "experiment": ("'a'", "b", "c", ("a", "b", "c")),
    "jobs": ("91", "92", 93, (91, 92, 93)),
    "threads": ("2", "3", 4, (2, 3, 4)),
    "device": ("'cpu'", "cuda", "auto", ("cpu", "cuda", "auto")),
    "timeout": ("1", "2.5", 3, (1.0, 2.5, 3.0)),
    "memory": ("1", "2.5", 3, (1.0, 2.5, 3.0)),
    "retry": ("'failed'", "oom", "all", ("failed", "oom", "all")),
    "engine": ("'slurm'", "dask", "local", ("slurm", "dask", "local")),
    "scheduler": ("'tcp://a:1'", "tcp://b:2", "tcp://c:3", ("tcp://a:1", "tcp://b:2", "tcp://c:3")),
    "allow_other_versions": ("true", "0", True, (True, False, True)),
    "plugins": ("['a.py', 'b.py']", "b.py, c.py", ("c.py",),
                (("a.py", "b.py"), ("b.py", "c.py"), ("c.py",))),
    "label_key": ("'a'", "b", "c", ("a", "b", "c")),
    "batch_key": ("'a'", "b", "c", ("a", "b", "c")),
    "labels": ("'a'", "b", Path("c"), (Path("a"), Path("b"), Path("c"))),
    "no_labels": ("true", "0", True, (True, False, True)),
    "n_clusters": ("2", "3", 4, (2, 3, 4)),
    "layer": ("'a'", "b", "c", ("a", "b", "c")),
    "markers": ("'a'", "b", Path("c"), (Path("a"), Path("b"), Path("c"))),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a file nor the environment holds a setting."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BENCH_")]:
        monkeypatch.delenv(name)


def test_every_setting_has_values_here_and_a_description():
    # The table [engine] has a test of its own in tests/cluster.
    assert set(VALUES) == set(Settings.model_fields) - {"engine_options"}
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("name", VALUES)
def test_flags_come_before_the_environment_before_the_file_before_defaults(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    in_file, in_environment, flag, meanings = VALUES[name]
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    file = tmp_path / "mine.toml"
    file.write_text(f"{name} = {in_file}\n")

    assert getattr(load_settings({}), name) == default
    of_file = getattr(load_settings({}, file), name)
    monkeypatch.setenv("BENCH_" + name.upper(), in_environment)
    of_environment = getattr(load_settings({name: None}, file), name)
    more = {"engine": "dask"} if name == "scheduler" else {}
    of_flag = getattr(load_settings({name: flag, **more}, file), name)
    assert (of_file, of_environment, of_flag) == meanings


def test_bench_toml_of_the_current_folder_is_read():
    Path("bench.toml").write_text('experiment = "mine"\n')
    assert load_settings({}).experiment == "mine"


def test_plugins_of_a_file_that_nobody_named_are_refused(monkeypatch: pytest.MonkeyPatch):
    Path("bench.toml").write_text('plugins = ["a.py"]\n')
    with pytest.raises(UsageError, match=r"--config bench\.toml") as error:
        load_settings({})
    assert error.value.code == "plugins_in_found_file"
    assert load_settings({}, Path("bench.toml")).plugins == ("a.py",)
    monkeypatch.setenv("BENCH_CONFIG", "bench.toml")
    assert load_settings({}).plugins == ("a.py",)


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BENCH_JOBS", "")
    assert load_settings({}).jobs == Settings.model_fields["jobs"].get_default(
        call_default_factory=True
    )


def test_the_cache_is_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "aebench"
    monkeypatch.setenv("BENCH_CACHE_DIR", "elsewhere")
    assert default_cache_dir() == Path("elsewhere")


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (0, 1, 2)), ("7,11", (7, 11)), ("7,", (7,)), ("1", (0,))]
)
def test_seeds(text: str, seeds: tuple[int, ...]):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "value",
    ["0", "-1", "1,1", "1,-2", "x", "", "1.5", ",", "20260101", "9" * 20, 10_001,
     [], [1, 1], [-1], (), ["x"]],
)  # fmt: skip
def test_wrong_seeds_are_refused(value: object, tmp_path: Path):
    with pytest.raises(UsageError, match="seeds=") as error:
        load_settings({"seeds": value})
    assert error.value.code == "invalid_value"
    file = tmp_path / "mine.toml"
    file.write_text(f"seeds = {list(value) if isinstance(value, tuple) else value!r}\n")
    with pytest.raises(UsageError, match=r"mine\.toml: seeds="):
        load_settings({}, file)


def test_lists_of_seeds_and_large_seeds():
    assert load_settings({"seeds": [11, 7]}).seeds == (11, 7)
    assert parse_seeds("20260101,") == (20260101,)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"job = 2\n", "unknown_name"),
        (b"jobs = 0\n", "invalid_value"),
        (b"jobs = \n", "invalid_toml"),
        (b'jobs = 1\nexperiment = "M\xfcnchen"\n', "not_utf8"),
    ],
)
def test_faults_of_a_file_name_it(content: bytes, code: str, tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"mine\.toml: ") as error:
        load_settings({}, file)
    assert error.value.code == code


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    for path, code in ((tmp_path / "none.toml", "missing_file"), (tmp_path, "not_a_file")):
        with pytest.raises(UsageError) as error:
            load_settings({}, path)
        assert error.value.code == code


def test_faults_of_flags_and_of_the_environment_name_them(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match=r"no setting named 'job'.*'jobs'") as error:
        load_settings({"job": 2})
    assert error.value.code == "unknown_name"
    monkeypatch.setenv("BENCH_TIMEOUT", "soon")
    with pytest.raises(UsageError, match="BENCH_TIMEOUT: timeout='soon'"):
        load_settings({})
