"""A run of MLflow, wherever it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class StoredRun(NamedTuple):
    """A run of MLflow as it is stored."""

    run_id: str
    experiment_id: str
    state: str
    """Status, stage of life and end, with a slash between."""
    started: int
    artifact_uri: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    """Without curves."""

    @property
    def unfinished(self) -> bool:
        """Whether the run was begun and not ended."""
        return self.state.startswith("RUNNING/")

    @property
    def active(self) -> bool:
        """Whether the run was not deleted in MLflow."""
        return "/active/" in self.state
