"""The baseline file: values by method, dataset, protocol, metric and seed, as readable YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import DataError
from bench.settings import Profile

FORMAT = 1
"""Raised when the file changes its meaning; older files are refused with the way out."""
_HEAD = (
    "# Written by 'bench baseline write' and 'bench baseline update'; compared by 'bench check'.\n"
    "# values: one number a seed, in the order of 'seeds'. docs/ci.md explains the rest.\n"
)
_DIGITS = 8


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateSettings(_Part):
    """What decides the results besides methods and datasets."""

    seeds: tuple[int, ...] = Field(min_length=1)
    profile: Profile
    threads: int = Field(ge=1)
    device: Literal["cpu", "cuda"]
    label_key: str | None = None
    batch_key: str | None = None
    plugins: tuple[str, ...] = ()


class Data(_Part):
    """One dataset: how to select it, and what it was."""

    select: str
    """Name or path, as for ``--datasets``."""
    n_cells: int
    n_features: int
    n_types: int
    counts: str
    """Digest of counts, cells and features."""
    labels: str
    """Digest of the true types."""


class Entry(_Part):
    """The results of one method on one dataset."""

    method: str
    """Selector and display name, ``vae[n_latent=16]`` say."""
    dataset: str
    protocol: str
    control: bool
    environment: str
    """Key of ``environments``."""
    source: str
    """Digest of the method's source."""
    tolerance: float = Field(gt=0)
    """Largest difference between two runs of equal code in one environment."""
    seeds: tuple[int, ...] = Field(min_length=1)
    values: dict[str, tuple[float, ...]]
    """Metric → value of each seed."""
    seconds: float | None = None
    """Middle time of a fit; shown, never compared."""
    peak_memory_mb: float | None = None
    """Middle peak memory in MiB; shown, never compared."""

    @model_validator(mode="after")
    def _lengths(self) -> Entry:
        for metric, values in self.values.items():
            if len(values) != len(self.seeds):
                raise ValueError(
                    f"{metric} has {len(values)} values for {len(self.seeds)} seeds"
                )  # fmt: skip
        return self


class Reason(_Part):
    """Why entries were replaced."""

    date: str
    methods: tuple[str, ...]
    reason: str
    changes: tuple[str, ...] = ()


class Baseline(_Part):
    """A whole file."""

    format: Literal[1]
    settings: GateSettings
    metrics: tuple[str, ...] = Field(min_length=1)
    """Keys of scores: ``kmeans/ari``."""
    datasets: dict[str, Data] = Field(min_length=1)
    environments: dict[str, dict[str, str]]
    entries: tuple[Entry, ...] = Field(min_length=1)
    reasons: tuple[Reason, ...] = ()

    @model_validator(mode="after")
    def _references(self) -> Baseline:
        for entry in self.entries:
            where = f"entry {entry.method} × {entry.dataset}"
            if entry.dataset not in self.datasets:
                raise ValueError(f"{where}: no dataset '{entry.dataset}' under 'datasets'")
            if entry.environment not in self.environments:
                raise ValueError(f"{where}: no environment '{entry.environment}'")
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, each once, in the order of the file."""
        return tuple(dict.fromkeys(entry.method for entry in self.entries))


def read(path: Path) -> Baseline:
    """Return the baseline in ``path``; raises ``DataError`` that names the line or the field."""
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such baseline; 'bench baseline write --out {path}' makes one."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise DataError(f"{path}{line}: not a baseline: {problem}.") from None
    if not isinstance(content, dict) or "format" not in content:
        raise DataError(f"{path}: not a baseline: expected 'format: {FORMAT}' and entries.")
    if content["format"] != FORMAT:
        raise DataError(
            f"{path}: format {content['format']!r}, this version reads {FORMAT}; write it again "
            "with 'bench baseline write'."
        )
    try:
        return Baseline.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "baseline"
        message = first["msg"].removeprefix("Value error, ")
        raise DataError(f"{path}: {where}: {message}.") from None


def write(baseline: Baseline, path: Path) -> None:
    """Write the file whole, or not at all; raises ``DataError`` if that is not possible."""
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
        raise DataError(f"{path}: cannot be written: {error.strerror}.") from None
