"""Hostile, damaged and odd inputs: one line and exit code 2, nothing executed, little memory."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing.forkserver
import os
import resource
import shutil
import signal
import sys
import traceback
from pathlib import Path

import pytest
from _odd_inputs import CASES
from _reliability import Row, write_part
from anndata import AnnData

SECONDS = 60
GIB = 2**30
FEW = (
    "external_storage", "a_pickle_in_npz", "a_device_without_end",
    "a_database_with_a_damaged_page", "a_plugin_named_by_a_found_bench_toml",
)  # fmt: skip
"""Those of the short form."""


def command(words: list[str]) -> int:
    """Run ``bench`` in this process; returns its exit code."""
    from bench.cli.main import main

    sys.argv = ["bench", *words]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def run_in_fork(words: list[str], folder: Path) -> tuple[int, str, float]:
    """Run ``bench`` in a fork of this process, which has the libraries loaded.

    Returns its exit code (that of a signal is negative), its messages and its memory in GiB.
    """
    messages = folder / "messages.txt"
    child = os.fork()
    if not child:
        code = 99
        try:
            os.setsid()
            # The server of earlier tests is no child of this process, which starts its own.
            multiprocessing.forkserver._forkserver._forkserver_pid = None
            stream = os.open(messages, os.O_WRONLY | os.O_CREAT)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            os.chdir(folder)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            code = command(words)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    with contextlib.suppress(ProcessLookupError):  # the server that it started
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(status), messages.read_text(), used.ru_maxrss * 1024 / GIB


def try_inputs(
    names: list[str], tmp_path: Path, toy: AnnData, empty_store: Path, cache: Path
) -> list[Row]:
    for module in ("bench.data.file_dataset", "bench.execute.driver", "bench.plan.build"):
        importlib.import_module(module)
    rows = []
    for name in names:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(empty_store, folder / "empty.db")
        words = ["run", "-m", "pca", "--no-report", "--seeds", "1"]
        words += ["--results", str(folder / "results"), "--cache-dir", str(cache)]
        code, text, gib = run_in_fork([*words, *CASES[name](folder, toy)], folder)
        lines = [line for line in text.splitlines() if line.startswith("bench: ")]
        wrong = [
            word
            for word, found in {
                f"exit code {code}": code != 2, f"{len(lines)} lines": len(lines) != 1,
                "traceback": "Traceback" in text, f"{gib:.1f} GiB": gib > 2,
                "executed": (folder / "executed").exists() or (tmp_path / "executed").exists(),
            }.items()
            if found
        ]  # fmt: skip
        if wrong:
            print(f"{name}: {', '.join(wrong)}\n{text[-1500:]}")
        row = Row(name.replace("_", " "), ", ".join(wrong) or "one line, exit code 2", 1)
        row.expected = not wrong
        rows.append(row)
    return rows


def test_some_odd_inputs(tmp_path: Path, toy_counts: AnnData, empty_store: Path, cache: Path):
    rows = try_inputs(list(FEW), tmp_path, toy_counts, empty_store, cache)
    assert [row for row in rows if not row.expected] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_odd_inputs(tmp_path: Path, toy_counts: AnnData, empty_store: Path, cache: Path):
    assert len(CASES) >= 30
    rows = try_inputs(list(CASES), tmp_path, toy_counts, empty_store, cache)
    write_part("Hostile, damaged and odd inputs", rows)
    assert [row for row in rows if not row.expected] == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < 3 * GIB
