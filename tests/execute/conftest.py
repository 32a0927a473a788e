from __future__ import annotations

import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

PLUGINS = Path(__file__).parents[1] / "plugins"


@pytest.fixture
def results(tmp_path: Path, empty_store: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture
def flags(results: Path, cache: Path) -> dict[str, Any]:
    """Settings for a small run on the toy datasets and faulty methods."""
    return {
        "results": results,
        "cache_dir": cache,
        "plugins": (str(PLUGINS / "faulty.py"), str(PLUGINS / "toy.py")),
        "jobs": 2,
        "seeds": 1,
        "timeout": 60.0,
        "memory": 1.0,
    }


@pytest.fixture
def bench_run(flags: dict[str, Any], caplog: pytest.LogCaptureFixture) -> Callable[..., Any]:
    """Run with these settings; the outcome has the log and the progress as ``text``."""
    from rich.console import Console

    from bench.execute.run import run

    def go(methods: str, datasets: str = "toy", **more: Any) -> Any:
        stream = StringIO()
        console = Console(file=stream, width=200, soft_wrap=True)
        caplog.clear()
        with caplog.at_level("INFO", logger="bench"):
            outcome = run(
                methods, datasets, report=more.pop("report", False), console=console,
                **(flags | more),
            )  # fmt: skip
        outcome.text = "\n".join(record.getMessage() for record in caplog.records)
        outcome.text += "\n" + stream.getvalue()
        return outcome

    return go
