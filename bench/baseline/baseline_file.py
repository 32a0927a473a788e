"""The baseline file: values by method, dataset, protocol, metric and seed, as readable YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import DataError
from bench.settings import Profile

FORMAT = 1
"""Version of the file format; files of another version are refused."""
_HEAD = (
    "# Written by 'bench baseline write' and 'bench baseline update'; compared by 'bench check'.\n"
    "# values: one number a seed, in the order of 'seeds'. docs/ci.md explains the rest.\n"
)
_DIGITS = 8


class _FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateSettings(_FrozenModel):
    """Settings that affect the results, besides methods and datasets."""

    seeds: tuple[int, ...] = Field(min_length=1)
    profile: Profile
    threads: int = Field(ge=1)
    device: Literal["cpu", "cuda"]
    label_key: str | None = None
    batch_key: str | None = None
    plugins: tuple[str, ...] = ()


class BaselineDataset(_FrozenModel):
    """One dataset: its selector, size and digests."""

    select: str
    """Name or path, as for ``--datasets``."""
    n_cells: int
    n_features: int
    n_types: int
    counts: str
    """Digest of counts, cells and features."""
    labels: str
    """Digest of the true types."""


class BaselineEntry(_FrozenModel):
    """The results of one method on one dataset."""

    method: str
    """Selector and display name, such as ``vae[n_latent=16]``."""
    dataset: str
    protocol: str
    control: bool
    environment: str
    """Key in ``environments``."""
    source: str
    """Digest of the method's source."""
    tolerance: float = Field(gt=0)
    """Largest difference between runs of equal code in the same environment."""
    seeds: tuple[int, ...] = Field(min_length=1)
    values: dict[str, tuple[float, ...]]
    """Metric → value of each seed."""
    seconds: float | None = None
    """Median time of a fit; shown, never compared."""
    peak_memory_mb: float | None = None
    """Median peak memory in MiB; shown, never compared."""

    @model_validator(mode="after")
    def _check_lengths(self) -> BaselineEntry:
        for metric, values in self.values.items():
            if len(values) != len(self.seeds):
                raise ValueError(f"{metric} has {len(values)} values for {len(self.seeds)} seeds")
        return self


class UpdateReason(_FrozenModel):
    """The reason for an update of entries."""

    date: str
    methods: tuple[str, ...]
    reason: str
    changes: tuple[str, ...] = ()


class Baseline(_FrozenModel):
    """A whole file."""

    format: Literal[1]
    settings: GateSettings
    metrics: tuple[str, ...] = Field(min_length=1)
    """Keys of scores: ``kmeans/ari``."""
    datasets: dict[str, BaselineDataset] = Field(min_length=1)
    environments: dict[str, dict[str, str]]
    entries: tuple[BaselineEntry, ...] = Field(min_length=1)
    reasons: tuple[UpdateReason, ...] = ()

    @model_validator(mode="after")
    def _check_references(self) -> Baseline:
        for entry in self.entries:
            where = f"entry {entry.method} × {entry.dataset}"
            if entry.dataset not in self.datasets:
                raise ValueError(f"{where}: no dataset '{entry.dataset}' under 'datasets'")
            if entry.environment not in self.environments:
                raise ValueError(f"{where}: no environment '{entry.environment}'")
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods, each once, in the order of the file."""
        return tuple(dict.fromkeys(entry.method for entry in self.entries))


def read_baseline(path: Path) -> Baseline:
    """Return the baseline in ``path``; raises ``DataError`` with the line or the field."""
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such baseline; 'bench baseline write --out {path}' makes one.",
            code="missing_file",
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())
        raise DataError(f"{path}: not a readable baseline: {line}.", code="unreadable") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(
            f"{path}: not a baseline of format {FORMAT}; write it again with 'bench baseline "
            "write'.",
            code="unknown_format",
        )
    try:
        return Baseline.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "baseline"
        message = first["msg"].removeprefix("Value error, ")
        raise DataError(f"{path}: {field}: {message}.", code="invalid_value") from None


def save_baseline(baseline: Baseline, path: Path) -> None:
    """Write the file in one step; raises ``DataError`` if that is not possible."""
    content: dict[str, Any] = baseline.model_dump(mode="json", exclude_defaults=True)
    for entry in content["entries"]:
        entry["values"] = {
            metric: [round(value, _DIGITS) for value in values]
            for metric, values in entry["values"].items()
        }
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=99)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(_HEAD + text)
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror}.", code="cannot_write"
        ) from None
