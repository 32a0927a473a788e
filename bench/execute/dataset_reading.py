"""Reading of the user's files in a limited and restricted process.

A file from elsewhere may be malicious or damaged. The process that reads it can open no other
files of the user, can write only into the cache, and has a memory limit.
"""

from __future__ import annotations

import logging
import math
import pickle
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench import errors
from bench.data.cache.data_cache import DataCache
from bench.data.derived_dataset import DerivedDataset
from bench.data.file_dataset import FileDataset
from bench.data.named_file import NamedFile
from bench.errors import DataError
from bench.messages import verb_options

from .channel import ReadingTask
from .limited_process import Limits, ProcessOutcome, run_limited
from .server_start import short_temp_dir, warm_up
from .wall import Wall

if TYPE_CHECKING:
    from bench.contract import Dataset
    from bench.settings import Settings

logger = logging.getLogger(__name__)


def open_cache(settings: Settings) -> DataCache:
    """Return the cache of a run, which reads the user's files in a limited process."""
    return DataCache(settings.cache_dir, partial(_read_files, settings))


def _read_files(settings: Settings, cache: DataCache, dataset: Dataset) -> Path:
    """Store a dataset in the cache and return its folder; raises ``DataError``.

    Loaders of registered datasets, which are code of this program or of a plugin, run here.
    """
    files = _files_of(dataset)
    if not files or not _can_travel(dataset):
        return cache.store_dataset(dataset)
    warm_up(settings.threads)
    with TemporaryDirectory(
        prefix="bench-", dir=short_temp_dir(), ignore_cleanup_errors=True
    ) as scratch:
        own = {path.resolve() for path in files}
        wall = Wall(
            readable=tuple(own),
            sources=tuple(own),
            writable=(cache.root.resolve(), Path(scratch).resolve()),
            scratch=Path(scratch).resolve(),
        )
        task = ReadingTask(
            dataset, cache.root.resolve(), wall, Path(scratch), Path.cwd(), verb_options()
        )
        outcome = run_limited("read_dataset", task, Limits(math.inf, settings.memory))
    return cache.root / "datasets" / _folder_name(outcome, dataset.where, settings)


def _files_of(dataset: Dataset) -> list[Path]:
    """Return the files and folders of a dataset; none for a registered loader."""
    while isinstance(dataset, (DerivedDataset, NamedFile)):
        dataset = dataset.inner if isinstance(dataset, DerivedDataset) else dataset.file
    return [dataset.path, *dataset.files()] if isinstance(dataset, FileDataset) else []


def _can_travel(dataset: Dataset) -> bool:
    """Return whether the dataset can be sent to another process (not if from a plugin file)."""
    try:
        pickle.dumps(dataset)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def _folder_name(outcome: ProcessOutcome, where: str, settings: Settings) -> str:
    """Return the name of the written folder, or raise the error that ended the reading."""
    for level, line in outcome.value.get("log", []):
        logger.log(level, line)
    if outcome.status == "done" and "folder" in outcome.value:
        return str(outcome.value["folder"])
    if outcome.status == "done":
        raise _as_error(outcome.value)
    if outcome.status == "oom":
        raise DataError(
            f"{where}: reading it took more than {settings.memory:g} GiB of memory; if the file "
            "is sound, allow more with --memory GIB.",
            code="too_large",
        )
    raise DataError(f"{where}: reading it ended with: {outcome.reason}.", code="unreadable")


def _as_error(value: dict[str, Any]) -> errors.BenchError:
    """Return the error that the reading process raised."""
    cls = getattr(errors, str(value["error"]), DataError)
    return cls(str(value["text"]), code=str(value["code"]))
