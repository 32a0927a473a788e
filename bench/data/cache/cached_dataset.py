"""The facts of a dataset in the cache; reading them imports no array library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract.recipe import dataset_info_from_dict

if TYPE_CHECKING:
    from bench.contract import DatasetInfo, Markers


@dataclass(frozen=True)
class CachedDataset:
    """A checked dataset in the cache."""

    folder: Path
    label: str
    """Display name."""
    facts: dict[str, Any]
    markers: Markers | None = None
    """Marker lists chosen for the dataset; not stored with the counts."""
    where: str = ""
    """Path of its file, or its name (see ``Dataset.where``)."""

    @property
    def info(self) -> DatasetInfo:
        """The facts that a recipe may depend on; a ``PairedInfo`` for paired data."""
        return dataset_info_from_dict(self.facts["info"])

    @property
    def counts_digest(self) -> str:
        """Digest of counts, cells and features."""
        return str(self.facts["counts_digest"])

    @property
    def labels_digest(self) -> str:
        """Digest of the true types; empty for data without labels."""
        return str(self.facts["labels_digest"])

    @property
    def batch_digest(self) -> str:
        """Digest of the batches; empty if there are none."""
        return str(self.facts["batch_digest"])

    @property
    def train_digest(self) -> str:
        """Digest of the mask of training cells; empty if no cell is held out."""
        return str(self.facts["train_digest"])

    @property
    def proteins_digest(self) -> str:
        """Digest of counts and names of the proteins; empty if there are none."""
        return str(self.facts["proteins_digest"])

    @property
    def rare_type(self) -> str:
        """The type of a rare-population task; empty if there is none."""
        return str(self.facts["card"]["rare_type"])

    @property
    def n_types(self) -> int:
        """Number of true types; 0 for data without labels."""
        return len(self.facts["types"])
