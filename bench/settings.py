"""Settings: defaults < file (``bench.toml``) < environment ``BENCH_*`` < flags; same names."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import UsageError
from bench.messages import did_you_mean

Profile = Literal["quick", "default", "faithful"]
_MOST_SEEDS = 10_000
"""A larger number is a seed that was meant as one, such as a date."""


class Settings(BaseModel):
    """Everything that a run can be told, besides methods and datasets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    results: Path = Path("results")
    """Folder of the MLflow store, artifacts, spool and reports."""
    cache_dir: Path = Field(default_factory=lambda: default_cache_dir())
    """Folder of prepared data and downloads."""
    mirror: str = ""
    """Folder or https address that has ``<dataset>/<file>``; comes before the original address."""
    offline: bool = False
    """Never fetch a file."""
    tracking_uri: str = ""
    """MLflow server; empty: SQLite in the results folder."""
    experiment: str = "bench"
    seeds: tuple[int, ...] = (0, 1, 2)
    profile: Profile = "default"
    jobs: int = Field(default_factory=lambda: max(1, usable_cores()), ge=1)
    """Processes at the same time."""
    threads: int = Field(1, ge=1)
    """Threads of each process; part of the key of a fit."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    timeout: float = Field(3600.0, gt=0)
    """Seconds one fit may take."""
    memory: float = Field(default_factory=lambda: default_memory(), gt=0)
    """GiB one fit may hold in memory beyond the loaded libraries."""
    retry: Literal["none", "failed", "timeout", "oom", "all"] = "none"
    plugins: tuple[str, ...] = ()
    label_key: str | None = None
    batch_key: str | None = None
    markers: Path | None = None
    """File of marker lists, in place of those known for the datasets."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: object) -> object:
        return parse_seeds(value) if isinstance(value, (str, int)) else value

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _checked(value)

    @field_validator("plugins", mode="before")
    @classmethod
    def _plugins(cls, value: object) -> object:
        return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value

    @property
    def database(self) -> Path:
        """The SQLite file of the default store."""
        return self.results / "mlflow.db"


def parse_seeds(value: str | int) -> tuple[int, ...]:
    """``3`` means three seeds (0, 1, 2); ``7,11`` those two; ``7,`` the one seed 7."""
    text = str(value).strip()
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"'{text}' is neither a number of seeds nor a list like 7,11") from None
    if "," in text:
        return _checked(tuple(numbers))
    if len(numbers) != 1 or numbers[0] < 1:
        raise ValueError("give a number of seeds of at least 1, or a list like 7,11")
    if numbers[0] > _MOST_SEEDS:
        raise ValueError(
            f"that would be {numbers[0]} seeds, at most {_MOST_SEEDS} are possible; for the one "
            f"seed write '{numbers[0]},'"
        )
    return tuple(range(numbers[0]))


def _checked(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds:
        raise ValueError("no seed; give a number of seeds, or a list like 7,11")
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ValueError("seeds must be distinct and not negative")
    return seeds


def load_settings(flags: dict[str, Any], file: Path | None = None) -> Settings:
    """Merge defaults, file, environment and flags (``None`` means not given).

    Raises ``UsageError`` that names the source and the key.
    """
    merged: dict[str, tuple[Any, str]] = {}
    path = file or Path("bench.toml")
    if file is not None or path.is_file():
        merged |= {key: (value, f"{path}: ") for key, value in _read(path).items()}
    for key in Settings.model_fields:
        variable = "BENCH_" + key.upper()
        if os.environ.get(variable):
            merged[key] = (os.environ[variable], f"{variable}: ")
    merged |= {key: (value, "") for key, value in flags.items() if value is not None}
    try:
        return Settings.model_validate({key: value for key, (value, _) in merged.items()})
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        source = merged[key][1] if key in merged else ""
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(key, list(Settings.model_fields))
            raise UsageError(f"{source}no setting named '{key}'.{hint}") from None
        flag = key.replace("_", "-") if source else "--" + key.replace("_", "-")
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{source}{flag}={first['input']!r}: {message}.") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such configuration file.") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: a folder; expected a file such as bench.toml.") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}: line {line} is not UTF-8; save the file as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}.") from None


def default_cache_dir() -> Path:
    """Return ``BENCH_CACHE_DIR``, else the user's cache folder for this program."""
    if os.environ.get("BENCH_CACHE_DIR"):
        return Path(os.environ["BENCH_CACHE_DIR"])
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "aebench"


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_memory() -> float:
    """Return 80 % of the machine's memory in GiB, shared by as many jobs as there are cores."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return round(0.8 * total / max(1, usable_cores()), 1)
