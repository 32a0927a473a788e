from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from _exchange import WrittenResults

from bench.store.result import Result


@pytest.fixture
def written(tmp_path: Path, empty_store: Path) -> Callable[..., WrittenResults]:
    """Make a results folder with the results of some seeds."""

    def make(name: str, *results: Result) -> WrittenResults:
        made = WrittenResults(tmp_path / name, empty_store)
        for result in results:
            made.add(result)
        return made

    return make
