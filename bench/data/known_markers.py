"""The marker lists of the literature that are kept with the datasets (``markers.yaml``)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from bench.contract.markers import Markers, checked_lists

_FILE = Path(__file__).with_name("markers.yaml")


def listed(dataset: str) -> Markers | None:
    """Return the lists chosen for a dataset by its name, if there are any."""
    content = _content()
    name = content["datasets"].get(dataset)
    if name is None:
        return None
    chosen = content["sets"][name]
    return Markers(checked_lists(chosen["lists"], f"{_FILE.name}: {name}"), chosen["source"])


@cache
def _content() -> dict[str, Any]:
    import yaml

    content: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return content
