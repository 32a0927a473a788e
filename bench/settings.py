"""Settings: flags, then environment ``BENCH_*``, then ``bench.toml``, then defaults."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.addresses import public_address
from bench.errors import UsageError
from bench.messages import did_you_mean

Profile = Literal["quick", "default", "faithful"]

_DEFAULT_FILE = Path("bench.toml")
_MAX_SEEDS = 10_000
"""A larger number is an error: it is probably a seed, such as a date, not a number of seeds."""


def split_commas(text: str) -> list[str]:
    """Return the parts of a comma-separated list, stripped, without empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def default_cache_dir() -> Path:
    """Return ``BENCH_CACHE_DIR``, else the user's cache folder for this program."""
    return Path(os.environ.get("BENCH_CACHE_DIR") or platformdirs.user_cache_path("aebench"))


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_memory() -> float:
    """Return 80 % of the machine's memory divided by the number of usable cores, in GiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return round(0.8 * total / usable_cores(), 1)


SCHEDULERS = ("slurm", "pbs", "lsf", "sge")
"""Schedulers with a script that submits a job array."""


class CostRequest(BaseModel):
    """Time and memory requested for a job whose method was not fitted on the dataset before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minutes: float | None = Field(None, gt=0, description="default: the limit of a fit")
    memory: float | None = Field(None, gt=0, description="GiB; default: the limit of a fit")


class EngineOptions(BaseModel):
    """The table ``[engine]`` of ``bench.toml``: options of the tasks in a scheduler."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: str = Field("", description="partition or queue")
    gpu_partition: str = Field("", description="the one of jobs on GPUs")
    account: str = Field("", description="account that pays")
    gres: str = Field("gpu:1", description="what a job on a GPU asks SLURM for")
    setup: tuple[str, ...] = Field((), description="lines of the shell before each worker")
    python: str = Field("", description="Python of the workers; default: that of the driver")
    light: CostRequest = Field(
        default_factory=CostRequest, description="minutes and memory of light methods at first"
    )
    heavy: CostRequest = Field(
        default_factory=CostRequest, description="minutes and memory of heavy methods at first"
    )
    scratch: str = Field(
        "", description="folder on a disk of the node for data and temporary files, as '$TMPDIR'"
    )
    task_minutes: float = Field(
        10.0, gt=0, description="expected minutes up to which jobs of a dataset share a task"
    )
    max_array_size: int = Field(1001, ge=2, description="MaxArraySize of SLURM")
    open_jobs: int = Field(500, ge=1, description="jobs that are submitted at a time")
    cluster: Literal["slurm", "local"] = Field(
        "slurm", description="'local' starts processes of this machine in place of SLURM's tasks"
    )

    def partition_of(self, device: str) -> str:
        """Return the partition of jobs on a device."""
        return (self.gpu_partition if device == "cuda" else "") or self.partition


class Settings(BaseModel):
    """Settings of a run, besides its methods and datasets."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    seeds: tuple[int, ...] = Field(
        (0, 1, 2), description="'3' is 0, 1 and 2; '7,11' those two; '7,' only 7"
    )
    profile: Profile = Field("default", description="size of the fits")
    results: Path = Field(Path("results"), description="folder of the store and the reports")
    cache_dir: Path = Field(
        default_factory=default_cache_dir, description="folder of prepared data and downloads"
    )
    mirror: str = Field(
        "", description="folder or https address with <dataset>/<file>, tried before the original"
    )
    offline: bool = Field(default=False, description="fetch no file")
    tracking_uri: str = Field(
        "", description="address of an MLflow server, in place of SQLite in the results folder"
    )
    experiment: str = Field("bench", description="MLflow experiment")
    jobs: int = Field(default_factory=usable_cores, ge=1, description="processes at a time")
    threads: int = Field(1, ge=1, description="threads of each process; results may depend on it")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where networks train")
    timeout: float = Field(3600.0, gt=0, description="seconds that one fit may take")
    memory: float = Field(
        default_factory=default_memory, gt=0,
        description="GiB that one fit may use, beyond the loaded libraries",
    )  # fmt: skip
    retry: Literal["none", "failed", "timeout", "oom", "all"] = Field(
        "none", description="stored failures to run again"
    )
    engine: Literal["local", "slurm", "dask"] = Field(
        "local", description="what runs the jobs: this machine, SLURM or a Dask cluster"
    )
    scheduler: str = Field("", description="address of the Dask scheduler, as tcp://host:8786")
    allow_other_versions: bool = Field(
        default=False, description="let workers run whose packages have other versions"
    )
    engine_options: EngineOptions = Field(
        default_factory=EngineOptions, description="the table [engine] of bench.toml"
    )
    plugins: tuple[str, ...] = Field(
        (), description="Python file with own methods, datasets or metrics; repeatable"
    )
    label_key: str | None = Field(None, description="column of the cell types in files")
    batch_key: str | None = Field(None, description="column of the batches in files")
    labels: Path | None = Field(
        None, description="second file with columns of the cells of files, joined by barcode"
    )
    no_labels: bool = Field(
        default=False, description="hide labels: only scores that need none are computed"
    )
    n_clusters: int | None = Field(
        None, ge=2, description="number of clusters in data without labels, for k-means and for "
        "the methods that need one",
    )  # fmt: skip
    layer: str | None = Field(
        None, description="where files have their counts: X, raw or the name of a layer"
    )
    markers: Path | None = Field(
        None, description="marker lists (.yaml, .json, .gmt) in place of those of the datasets"
    )

    @field_validator("seeds", mode="before")
    @classmethod
    def _parse_seeds(cls, value: object) -> object:
        return parse_seeds(value) if isinstance(value, (str, int)) else value

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value:
            raise ValueError("no seed; give a number of seeds, or a list like 7,11")
        if min(value) < 0 or len(set(value)) < len(value):
            raise ValueError("seeds must be distinct and not negative")
        return value

    @field_validator("plugins", mode="before")
    @classmethod
    def _parse_plugins(cls, value: object) -> object:
        return tuple(split_commas(value)) if isinstance(value, str) else value

    @property
    def public_name(self) -> str:
        """The store for display: its address without a password, or its file."""
        return public_address(self.tracking_uri) or str(self.database)

    @property
    def database(self) -> Path:
        """The SQLite file of the default store."""
        return self.results / "mlflow.db"


def parse_seeds(value: str | int) -> tuple[int, ...]:
    """Return the seeds of ``3`` (0, 1, 2), of ``7,11`` (those two) or of ``7,`` (only 7)."""
    text = str(value).strip()
    try:
        numbers = [int(part) for part in split_commas(text)]
    except ValueError:
        raise ValueError(f"'{text}' is neither a number of seeds nor a list like 7,11") from None
    if "," in text:
        return tuple(numbers)
    if len(numbers) != 1 or numbers[0] < 1:
        raise ValueError("give a number of seeds of at least 1, or a list like 7,11")
    if numbers[0] > _MAX_SEEDS:
        raise ValueError(
            f"that would be {numbers[0]} seeds, at most {_MAX_SEEDS} are possible; for the one "
            f"seed write '{numbers[0]},'"
        )
    return tuple(range(numbers[0]))


def load_settings(flags: dict[str, Any], file: Path | None = None) -> Settings:
    """Return the settings of flags (``None``: not given), environment, file and defaults.

    ``file`` is the settings file in place of ``BENCH_CONFIG`` and of ``bench.toml``. Raises
    ``UsageError`` with the source and the key of an invalid value.
    """
    if file is None and os.environ.get("BENCH_CONFIG"):
        file = Path(os.environ["BENCH_CONFIG"])
    if file is not None and not file.exists():
        raise UsageError(f"{file}: no such configuration file.", code="missing_file")
    given = {name: value for name, value in flags.items() if value is not None}
    content = _read_toml(file or _DEFAULT_FILE)
    if file is None and "plugins" in content:
        raise UsageError(
            f"{_DEFAULT_FILE}: plugins= runs code, so it counts only in a file that you name: add "
            f"--config {_DEFAULT_FILE}, or take the line out and use --plugin.",
            code="plugins_in_found_file",
        )
    file = file or _DEFAULT_FILE
    if isinstance(content.get("engine"), dict):
        content = _split_engine_table(content)
    try:
        settings = Settings(**{**content, **_read_environment(), **given})
    except ValidationError as error:
        raise _explain(error, given, file) from None
    if given.get("scheduler") and settings.engine != "dask":
        raise UsageError(
            f"--scheduler {settings.scheduler}: is one of Dask; add --engine dask, or leave it "
            "out.",
            code="option_needs_another",
        )
    return settings


def _split_engine_table(content: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the table ``[engine]`` as options; its ``name`` is the engine."""
    options = dict(content["engine"])
    return {**content, "engine": options.pop("name", "local"), "engine_options": options}


def _explain(error: ValidationError, flags: dict[str, Any], file: Path) -> UsageError:
    """Return the error for the first invalid setting, with its source."""
    first = error.errors()[0]
    key = str(first["loc"][0])
    if key == "engine_options":
        return _explain_engine(first, file)
    variable = "BENCH_" + key.upper()
    flag = key.replace("_", "-")
    if key in flags:
        source, flag = "", f"--{flag}"
    else:
        source = f"{variable if os.environ.get(variable) else file}: "
    if first["type"] == "extra_forbidden":
        hint = did_you_mean(key, list(Settings.model_fields))
        return UsageError(f"{source}no setting named '{key}'.{hint}", code="unknown_name")
    message = first["msg"].removeprefix("Value error, ")
    return UsageError(f"{source}{flag}={first['input']!r}: {message}.", code="invalid_value")


def _explain_engine(fault: Any, file: Path) -> UsageError:
    """Return the error for an invalid setting of the table ``[engine]``."""
    key = str(fault["loc"][-1])
    if fault["type"] == "extra_forbidden":
        hint = did_you_mean(key, ["name", *EngineOptions.model_fields])
        return UsageError(f"{file}: [engine] has no setting '{key}'.{hint}", code="unknown_name")
    return UsageError(
        f"{file}: [engine] {key}={fault['input']!r}: {fault['msg']}.", code="invalid_value"
    )


def _read_environment() -> dict[str, str]:
    """Return the settings from environment variables; empty variables are ignored."""
    names = [name for name in Settings.model_fields if name != "engine_options"]
    texts = {name: os.environ.get("BENCH_" + name.upper(), "") for name in names}
    return {name: text for name, text in texts.items() if text}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except IsADirectoryError:
        raise UsageError(
            f"{path}: a folder; expected a file such as bench.toml.", code="not_a_file"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}.", code="unreadable") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{path}: line {line} is not UTF-8; save the file as UTF-8.", code="not_utf8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}.", code="invalid_toml") from None
