"""The part of a job that its fit may see: the inputs that the method declares."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from bench.plan.job import Job

_FACTS = ("source", "modality", "fitted_on", "counts_digest")
"""Facts of the dataset that a fit process needs; the number of types is not among them."""
_FILES = {
    "batch": ("batch.npy",),
    "labels": ("types.npy",),
    "proteins": ("proteins.npy", "protein_names.npy"),
}
"""Files of a cached dataset, by declared input."""
_HIDDEN = {"labels": "types.npy", "proteins": "proteins.npy"}
"""Files of inputs that are predicted for held-out cells and scored."""


def declared_job(job: Job) -> Job:
    """Return a job with only the facts and inputs that its method declares."""
    return replace(
        job,
        facts={name: job.facts[name] for name in _FACTS if name in job.facts},
        n_clusters=job.n_clusters if "n_clusters" in job.uses else None,
        markers=job.markers if "markers" in job.uses else None,
        metrics=None,
    )


def hide_held_out(job: Job, dataset_folder: Path, scratch: Path) -> Path | None:
    """Write declared labels and proteins without held-out cells; returns the folder.

    Labels of held-out cells are empty, proteins 0. Returns ``None`` if no cells are held out, or
    neither input is declared.
    """
    names = [name for use, name in _HIDDEN.items() if use in job.uses]
    if not job.facts.get("fitted_on") or not names:
        return None
    train = np.load(dataset_folder / "train.npy", allow_pickle=False)
    folder = scratch / "inputs"
    folder.mkdir()
    for name in names:
        values = np.load(dataset_folder / name, allow_pickle=False)
        values[~train] = np.zeros((), dtype=values.dtype)
        np.save(folder / name, values, allow_pickle=False)
    return folder


def input_files(
    job: Job, dataset_folder: Path, prepared: Path, hidden: Path | None = None
) -> list[Path]:
    """Return the files and folders that the fit of a job reads.

    ``hidden``: the folder of :func:`hide_held_out`.
    """
    names = [name for use in job.uses for name in _FILES.get(use, ())]
    if hidden is not None:
        names = [name for name in names if not (hidden / name).is_file()]
    if job.facts.get("fitted_on"):
        names.append("train.npy")
    # The parts of paired data are prepared in folders of their own.
    parts = json.loads((prepared / "info.json").read_text()).get("parts", {})
    folders = [prepared, *(prepared.with_name(key) for key in parts.values())]
    return [*folders, *(dataset_folder / name for name in names)]
