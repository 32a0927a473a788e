"""What tests of loaders share."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.registry import datasets


@pytest.fixture
def loader(tmp_path: Path):
    """Make the loader of a set, with a cache of its own."""

    def make(name: str, **params: str):
        cls = datasets().get(name)
        built = cls.Params.build(params, owner=name)
        return cls(built, cache=tmp_path / "cache", offline=True)

    return make
