from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.settings import Settings, load_settings, parse_seeds


def test_later_sources_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "bench.toml"
    file.write_text('seeds = 5\nprofile = "quick"\njobs = 1\n')
    monkeypatch.setenv("BENCH_PROFILE", "faithful")
    monkeypatch.setenv("BENCH_JOBS", "3")
    settings = load_settings({"jobs": 4, "threads": None}, file)
    assert settings.seeds == (0, 1, 2, 3, 4)
    assert settings.profile == "faithful"
    assert settings.jobs == 4
    assert settings.threads == Settings().threads


def test_bench_toml_of_the_current_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("bench.toml").write_text('experiment = "mine"\n')
    assert load_settings({}).experiment == "mine"


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (0, 1, 2)), ("7,11", (7, 11)), ("7,", (7,)), ("1", (0,))]
)
def test_seeds(text: str, seeds: tuple[int, ...]):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["0", "-1", "1,1", "1,-2", "x", "", "1.5", ","])
def test_wrong_seeds_are_refused(text: str):
    with pytest.raises(UsageError, match="seeds"):
        load_settings({"seeds": text})


@pytest.mark.parametrize("many", ["20260101", "9" * 20, 10_001])
def test_one_large_seed_is_not_taken_as_a_number_of_seeds(many: str | int):
    with pytest.raises(UsageError, match=rf"would be {many} seeds.* the one seed write '{many},'"):
        load_settings({"seeds": many})
    assert parse_seeds(f"{many},") == (int(many),)


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], (), ["x"]])
def test_lists_of_seeds_are_checked_like_text(
    seeds: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UsageError, match=r"--seeds=.*seed|--seeds='x'"):
        load_settings({"seeds": seeds})
    file = tmp_path / "bench.toml"
    file.write_text(f"seeds = {list(seeds)}\n")
    with pytest.raises(UsageError, match=r"bench\.toml: seeds="):
        load_settings({}, file)
    assert load_settings({"seeds": [11, 7]}).seeds == (11, 7)


def test_errors_name_source_and_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "bench.toml"
    file.write_text("job = 2\n")
    with pytest.raises(UsageError, match=r"bench.toml: no setting named 'job'.*'jobs'"):
        load_settings({}, file)
    file.write_text("jobs = \n")
    with pytest.raises(UsageError, match="not valid TOML"):
        load_settings({}, file)
    with pytest.raises(UsageError, match="no such configuration file"):
        load_settings({}, tmp_path / "none.toml")
    file.write_bytes(b'jobs = 1\nexperiment = "M\xfcnchen"\n')
    with pytest.raises(UsageError, match="line 2 is not UTF-8"):
        load_settings({}, file)
    with pytest.raises(UsageError, match="a folder; expected a file"):
        load_settings({}, tmp_path)
    monkeypatch.setenv("BENCH_TIMEOUT", "soon")
    with pytest.raises(UsageError, match="BENCH_TIMEOUT: timeout='soon'"):
        load_settings({})
