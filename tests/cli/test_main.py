"""The command as a program: start, list of verbs, errors, log, completion."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from _command import bench, bench_json, error_code
from typer.testing import CliRunner

from bench.cli.main import VERBS
from bench.cli.options import verb
from bench.messages import log_note
from bench.settings import Settings

HEAVY = {
    "numpy", "pandas", "scipy", "torch", "anndata", "scanpy", "sklearn", "mlflow", "optuna",
    "matplotlib", "plotly", "h5py", "pooch", "requests",
}  # fmt: skip
LIGHT_CALLS = [
    ["--help"], ["--version"], ["methods"], ["methods", "vae"], ["datasets"],
    ["datasets", "sim_rna"], ["datasets", "pbmc68k"], ["datasets", "forebrain"], ["metrics"],
    ["metrics", "bras"],
    *([name, "--help"] for verbs in VERBS.values() for name in verbs),
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder and an empty cache."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))


def test_help_and_lists_import_nothing_heavy():
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from bench.cli.main import app\n"
        f"for words in {LIGHT_CALLS!r}:\n"
        "    result = CliRunner().invoke(app, words)\n"
        "    assert result.exit_code == 0, (words, result.output)\n"
        f"    heavy = {HEAVY!r} & set(sys.modules)\n"
        "    assert not heavy, (words, heavy)\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_the_list_of_verbs_imports_no_verb():
    code = (
        "import sys\nfrom bench.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'pydantic', 'bench.settings', 'bench.registry'} & set(sys.modules)\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    names = [name for verbs in VERBS.values() for name in verbs]
    words = [line.strip(" │").partition(" ")[0] for line in process.stdout.splitlines()]
    shown = [word for word in words if word in names]
    assert shown == names
    assert shown[:4] == ["run", "plan", "report", "fit"]


def test_the_version():
    from bench import __version__

    assert bench("--version").stdout.strip() == __version__


def test_a_misspelt_verb_gets_a_suggestion():
    result = bench("reprot")
    assert result.exit_code == 2
    assert "'report'" in result.stderr


def test_every_method_of_the_family_is_listed():
    names = {row["method"] for row in bench_json("methods")}
    assert {"ae", "vae", "nmf", "lsnmf", "pca", "lsi", "random", "truth"} <= names


def test_a_card_shows_parameters_with_bounds_and_search():
    card = bench_json("methods", "vae")
    rows = {row["parameter"]: row for row in card["parameters"]}
    assert rows["learning_rate"]["valid"]
    assert "log" in rows["learning_rate"]["search"]
    assert card["reference"]


RUN = ["run", "-m", "vae", "-d", "sim_rna"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "-m", "vea", "-d", "sim_rna"], "unknown_name"),
        (["run", "-m", "vae", "-d", "pbmc68"], "unknown_name"),
        (["run", "-m", "tag:deep", "-d", "sim_rna"], "unknown_name"),
        (["methods", "vea"], "unknown_name"),
        ([*RUN, "--seeds", "x"], "invalid_value"),
        ([*RUN, "--seeds", "20260101"], "invalid_value"),
        ([*RUN, "--profile", "fast"], "invalid_value"),
        ([*RUN, "--jobs", "0"], "invalid_value"),
        ([*RUN, "--plugin", "no.py"], "missing_file"),
        ([*RUN, "--config", "no.toml"], "missing_file"),
        ([*RUN, "--protocol", "oracle"], "option_needs_another"),
        (["report"], "no_results"),
        (["score"], "no_results"),
        (["ui"], "no_results"),
        (["compare", "a", "b"], "no_results"),
        (["data", "clean", "--max-size", "5"], "invalid_value"),
        (["data", "clean", "--max-size", "manyGB"], "invalid_value"),
        (["data", "clean", "--max-size=-1GB"], "invalid_value"),
        (["data", "clean", "--max-size", "nanGB"], "invalid_value"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(words: list[str], code: str):
    result = bench(*words)
    assert result.exit_code == 2, result.output
    assert error_code(result) == code
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("bench: ")
    assert result.stdout == ""
    assert list(Path().iterdir()) == []


def test_the_program_ends_with_the_exit_code_of_the_error():
    process = subprocess.run(
        [sys.executable, "-m", "bench", "methods", "vea"], capture_output=True, text=True
    )
    assert process.returncode == 2
    assert process.stderr.startswith("bench: no method named 'vea'. Did you mean 'vae'")


@pytest.mark.parametrize(
    ("fault", "code"), [("one type", "single_type"), ("no column", "missing_column")]
)
def test_bad_data_are_one_line_and_leave_nothing(
    fault: str, code: str, tmp_path: Path, toy_counts: Any
):
    adata = toy_counts.copy()
    if fault == "one type":
        adata.obs["cell_type"] = "only"
    else:
        adata.obs = adata.obs.rename(columns={"cell_type": "kind"})
    path = tmp_path / "mine.h5ad"
    adata.write_h5ad(path)
    result = bench("run", "-m", "random", "-d", str(path))
    assert result.exit_code == 2, result.output
    assert error_code(result) == code
    assert "mine" in result.stderr
    assert list(Path().iterdir()) == []
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    other = ("users", "file_digests")
    cached = [path for path in files if path.suffix != ".lock" and path.parent.name not in other]
    assert cached == []


def call(function: Any, *words: str) -> dict[str, Any]:
    """Call a verb and return what it was given."""
    given: dict[str, Any] = {}
    app = typer.Typer()
    app.command()(function(given))
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return given


def verb_with_flags(given: dict[str, Any]) -> Any:
    @verb("seeds", "jobs", "plugins", "offline", "profile")
    def command(
        name: Annotated[str, typer.Option(metavar="NAME")] = "x", *, flags: dict[str, Any]
    ) -> None:
        given.update(name=name, flags=flags)

    return command


def verb_with_settings(given: dict[str, Any]) -> Any:
    @verb("seeds", "jobs", "plugins")
    def command(*, settings: Settings) -> None:
        given["settings"] = settings

    return command


def test_only_typed_options_are_flags(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BENCH_JOBS", "7")
    assert call(verb_with_flags) == {"name": "x", "flags": {}}
    words = ["--seeds", "0,1,2", "--plugin", "a.py", "--plugin", "b.py", "--config", "c.toml"]
    assert call(verb_with_flags, *words, "--offline")["flags"] == {
        "seeds": "0,1,2", "plugins": ("a.py", "b.py"), "offline": True, "config": Path("c.toml"),
    }  # fmt: skip


def test_a_verb_gets_the_settings_of_all_sources(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BENCH_JOBS", "7")
    Path("mine.toml").write_text("seeds = 5\njobs = 3\n")
    settings = call(verb_with_settings, "--config", "mine.toml", "--plugin", "a.py")["settings"]
    assert (len(settings.seeds), settings.jobs, settings.plugins) == (5, 7, ("a.py",))


def test_the_log_is_on_stderr_and_ends_with_the_command(tmp_path: Path):
    plugin = Path(__file__).parents[1] / "plugins" / "toy.py"
    result = bench("plan", "-m", "pca", "-d", "toy", "--seeds", "1", "--plugin", str(plugin))
    assert result.exit_code == 0, result.output
    assert "toy: loading and checking" in result.stderr
    assert "loading" not in result.stdout
    assert "pca" in result.stdout
    logger = logging.getLogger("bench")
    assert (logger.handlers, logger.level) == ([], logging.NOTSET)


def test_in_python_the_user_sets_the_level(caplog: pytest.LogCaptureFixture):
    log_note("first")
    assert caplog.messages == []
    with caplog.at_level(logging.INFO, "bench"):
        log_note("second")
    assert caplog.messages == ["second"]


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("bench re", {"report", "regulate"}),
        ("bench run --meth", {"--methods"}),
        ("bench run -m lsn", {"lsnmf"}),
        ("bench run -m pca,lsn", {"pca,lsnmf"}),
        ("bench plan -d sim_r", {"sim_rna"}),
        ("bench datasets pbmc6", {"pbmc68k"}),
        ("bench run --device c", {"cpu", "cuda"}),
    ],
)
def test_the_shell_completes_names(words: str, completions: set[str]):
    from bench.cli.main import app

    environment = {
        "_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }  # fmt: skip
    result = CliRunner().invoke(app, [], prog_name="bench", env=environment)
    assert set(result.stdout.split()) == completions


def test_completion_is_installed_by_the_command_itself():
    assert "--install-completion" in bench("--help").stdout


LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "pca", f"{LONG}.h5ad"], ["transform", LONG, "x.h5ad"],
        ["report", "--results", LONG], ["plan", "-m", "pca", "-d", "sim_rna", "--plugin", LONG],
        ["merge", LONG, LONG], ["compare", LONG, LONG], ["new", "method", LONG],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_name_too_long_for_a_file_is_one_line(words: list[str]):
    result = bench(*words)
    assert result.exit_code == 2
    (line,) = [text for text in result.stderr.splitlines() if text.startswith("bench: ")]
    assert LONG in line


def test_a_selector_of_many_datasets_may_be_longer_than_a_file_name(cache: Path):
    many = ",".join(f"sim_rna[n_cells={number}]" for number in range(60, 76))
    words = ["plan", "-m", "pca", "-d", many, "--seeds", "1", "--cache-dir", str(cache)]
    assert len(many) > 255
    assert len(bench_json(*words)["jobs"]) == 16
