"""Marker lists of datasets: of the user, of the data, or of the literature (``markers.yaml``)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract.markers import Markers, check_marker_lists, read_markers
from bench.yaml_file import read_yaml

if TYPE_CHECKING:
    from bench.contract import Dataset

_FILE = Path(__file__).with_name("markers.yaml")


def dataset_markers(dataset: Dataset) -> Markers | None:
    """Return a dataset's marker lists: the user's file, else its own, else from the literature."""
    if dataset.markers_file is not None:
        return read_markers(dataset.markers_file)
    return dataset.own_markers() or literature_markers(dataset.name)


def literature_markers(dataset: str) -> Markers | None:
    """Return the lists in ``markers.yaml`` for the dataset of this name, if there are any."""
    content = _content()
    name = content["datasets"].get(dataset)
    if name is None:
        return None
    chosen = content["sets"][name]
    return Markers(check_marker_lists(chosen["lists"], f"{_FILE.name}: {name}"), chosen["source"])


@cache
def _content() -> dict[str, Any]:
    return read_yaml(_FILE)
