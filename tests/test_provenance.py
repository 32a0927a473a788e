from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import bench
from bench.provenance import git_commit


def test_git_of_the_current_folder_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its settings may name programs, such as a file monitor, that git would run."""
    program = tmp_path / "monitor"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    for words in (["init", "-q"], ["config", "core.fsmonitor", str(program)]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "__file__", str(tmp_path / "installed" / "bench" / "__init__.py"))
    git_commit.cache_clear()
    assert git_commit() == ""
    # In the checkout of the package itself monitors and hooks are off.
    (tmp_path / "bench").mkdir()
    monkeypatch.setattr(bench, "__file__", str(tmp_path / "bench" / "__init__.py"))
    git_commit.cache_clear()
    git_commit()
    git_commit.cache_clear()
    assert not (tmp_path / "ran").exists()
