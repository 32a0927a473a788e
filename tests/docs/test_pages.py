"""The commands of the documents run, links lead somewhere, and codes that are named exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest
from _pages import PAGES, REASONS, ROOT, Block, bench_commands, blocks, write_files

from bench.cli.main import load_verb
from bench.registry import datasets, methods

EVERY = [(page, block) for page in PAGES for block in blocks(page)]
CODE = [(page, block) for page, block in EVERY if block.language in ("sh", "python")]
GENERATED = {
    "methods": methods().entries.keys() | {"index"},
    "datasets": datasets().entries.keys() | {"index"},
    "docs": {"metrics"},
}
"""By folder: names of the pages that are made when the site is built."""


def place(page: Path, block: Block) -> str:
    return f"{page.relative_to(ROOT)}:{block.line}"


SHELL = [
    pytest.param(words, id=f"{place(page, block)} {' '.join(words[:2])}")
    for page, block in CODE
    if block.language == "sh"
    for words in bench_commands(block)
]


@pytest.mark.parametrize("words", SHELL)
def test_verb_and_options_exist(words: list[str]):
    command, arguments = load_verb(words[0]), words[1:]
    if isinstance(command, click.Group):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    with suppress(click.exceptions.Exit):  # of --help
        command.make_context(words[0], list(arguments))


def test_what_is_not_run_has_a_reason_and_is_less_than_two_fifths():
    left_out = [(place(page, block), block.reason) for page, block in CODE if block.reason]
    assert [one for one in left_out if not one[1].startswith(REASONS)] == []
    unknown = [place(page, block) for page, block in EVERY if block.words and not block.file]
    assert sorted(unknown) == sorted(where for where, _ in left_out)
    assert len(left_out) * 5 < len(CODE) * 2, f"{len(left_out)} of {len(CODE)} blocks are not run"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path):
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" in target:
            continue
        path = (page.parent / target).resolve()
        made = path.stem in GENERATED.get(path.parent.name, ())
        assert made or path.exists(), f"{page.name}: {target}"


def test_codes_of_messages_exist():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    named = {
        name for group in re.findall(r"\(`([a-z_`, ]+)`\)", page) for name in group.split("`, `")
    }
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench").rglob("*.py"))
    assert named
    assert {name for name in named if f'code="{name}"' not in sources} == set()


def environment(folder: Path) -> dict[str, str]:
    """Return variables under which commands are quick and keep to a folder."""
    return os.environ | {
        "BENCH_CACHE_DIR": str(folder / "cache"), "BENCH_OFFLINE": "1", "BENCH_SEEDS": "1",
        "BENCH_PROFILE": "quick", "MPLBACKEND": "agg", "PYTHONPATH": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip


@pytest.fixture(scope="session")
def user_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of a user and the results of an earlier run."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    command = [sys.executable, "-m", "bench", "run", "-m", "pca", "-d", "sim_rna", "--no-report"]
    subprocess.run(command, cwd=folder, env=environment(folder), check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.runs for block in blocks(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_blocks_run(page: Path, user_files: Path, tmp_path: Path):
    """All blocks of a page run one after the other in one folder."""
    shutil.copytree(user_files, tmp_path, dirs_exist_ok=True)
    for block in blocks(page):
        if block.file:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        if not block.runs:
            continue
        if block.language == "sh":
            command = ["bash", "-euo", "pipefail", "-c", block.text]
        else:
            script = tmp_path / f"line_{block.line}.py"
            script.write_text(block.text, encoding="utf-8")
            command = [sys.executable, str(script)]
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True
        )
        said = f"{ended.stdout[-2000:]}\n{ended.stderr[-3000:]}"
        assert ended.returncode == 0, f"{place(page, block)}\n{block.text}\n{said}"
