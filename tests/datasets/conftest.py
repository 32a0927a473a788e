"""What tests of loaders share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from _served import Server

from bench.data.remote import download as _download
from bench.registry import datasets


@pytest.fixture
def loader(tmp_path: Path):
    """Make the loader of a set, with a cache of its own."""

    def make(name: str, **params: str):
        cls = datasets().get(name)
        built = cls.Params.build(params, owner=name)
        return cls(built, cache=tmp_path / "cache", offline=True)

    return make


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(_download, "PAUSE", 0.01)
    for name in ("BENCH_DATA_DIR", "BENCH_MIRROR", "BENCH_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.close()


@pytest.fixture
def said() -> list[str]:
    return []
