"""Copies of the data of jobs: to a disk of the node, or into the folder of an array."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from bench.data.cache.data_cache import DataCache
from bench.data.cache.folder_state import is_intact, read_info
from bench.scoring.holdout import split_file

if TYPE_CHECKING:
    from bench.plan.job import Job


def copy_job_data(job: Job, source: Path, target: Path) -> None:
    """Copy the dataset of a job, its prepared matrix and its split from one cache to another.

    What is there already and intact stays; processes that copy the same wait for each other.
    """
    DataCache(target)  # makes its folders
    with FileLock(target / "locks" / f"copy-{job.prepared_key}.lock"):
        _copy_folder(Path(job.dataset_folder), target / "datasets")
        for key in _prepared_keys(source, job.prepared_key):
            _copy_folder(source / "prepared" / key, target / "prepared")
        split = split_file(source, Path(job.dataset_folder))
        if split.is_file():
            copy = target / split.relative_to(source)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(split, copy)


def _prepared_keys(cache: Path, key: str) -> list[str]:
    """Return the key of a prepared matrix and of its parts; none where it is not prepared."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return [*read_info(cache / "prepared" / key)["parts"].values(), key]
    return []


def _copy_folder(folder: Path, parent: Path) -> None:
    target = parent / folder.name
    if is_intact(target):
        return
    partial = parent / f".{folder.name}.{os.getpid()}"
    shutil.copytree(folder, partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
