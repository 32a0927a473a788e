"""The split of the tuning cells, and the labels that a scorer sees under each protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import UsageError
from bench.scoring.holdout import (
    VisibleLabels,
    split_file,
    tuning_cells,
    visible_labels,
    write_split,
)
from bench.scoring.metrics import metrics
from bench.scoring.scorer import score


@pytest.fixture
def types() -> np.ndarray:
    names = np.repeat(["a", "b", "c", "rare"], [100, 50, 5, 4])
    return np.random.default_rng(0).permutation(names)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "datasets" / "one"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def embedding(types: np.ndarray) -> np.ndarray:
    codes = np.unique(types, return_inverse=True)[1]
    return np.random.default_rng(1).normal(size=(len(types), 3)) + 2.0 * codes[:, None]


def job(folder: Path, protocol: str, part: str) -> dict[str, Any]:
    return {
        "protocol": protocol, "part": part, "dataset_folder": str(folder), "facts": {"n_types": 4}
    }  # fmt: skip


def labels_of(folder: Path, types: np.ndarray, protocol: str, part: str, cells: Any = None) -> Any:
    cells = np.arange(len(types)) if cells is None else cells
    return visible_labels(job(folder, protocol, part), types, cells, folder.parent)


def test_tuning_cells_are_a_fifth_of_each_large_type(types):
    mask = tuning_cells(types, "x")
    assert {name: int(mask[types == name].sum()) for name in np.unique(types)} == {
        "a": 20, "b": 10, "c": 1, "rare": 0
    }  # fmt: skip
    assert (mask == tuning_cells(types, "x")).all()
    assert (mask != tuning_cells(types, "y")).any()


def test_the_split_is_written_once(folder, types):
    path = write_split(folder.parent, folder, types, "x")
    first = np.load(path)
    mixed = np.random.default_rng(3).permutation(types)
    assert (
        write_split(folder.parent, folder, mixed, "x") == path == split_file(folder.parent, folder)
    )
    assert (np.load(path) == first).all()


def test_two_types_must_be_large_enough(folder):
    types = np.repeat(["a", "b"], [40, 4])
    with pytest.raises(UsageError) as error:
        write_split(folder.parent, folder, types, "x")
    assert error.value.code == "too_few_labels"


def test_visible_labels_of_each_protocol(folder, types):
    mask = np.load(write_split(folder.parent, folder, types, "x"))
    tuning, report = (labels_of(folder, types, "holdout", part) for part in ("tuning", "report"))
    assert set(tuning.types[~mask]) == {""}
    assert (tuning.types[mask] == types[mask]).all()
    assert (tuning.reported == mask).all()
    assert tuning.n_types == 4
    assert (report.reported == ~mask).all()
    assert (report.types == types).all()
    assert labels_of(folder, types, "unsupervised", "tuning").types is None
    for protocol, part in (("oracle", "tuning"), ("oracle", "report"), ("unsupervised", "report")):
        shown = labels_of(folder, types, protocol, part)
        assert (shown.types == types).all()
        assert shown.reported is None


def test_dropped_cells_are_in_neither_part(folder, types):
    mask = np.load(write_split(folder.parent, folder, types, "x"))
    cells = np.arange(0, len(types), 2)
    shown = labels_of(folder, types, "holdout", "tuning", cells)
    assert (shown.reported == mask[::2]).all()
    assert len(shown.types) == len(cells)


def scored(embedding: np.ndarray, labels: VisibleLabels) -> Any:
    half = np.arange(len(embedding)) % 2
    return score(embedding, labels, own_labels={"half": half}, seed=5)


def test_labels_of_report_cells_do_not_touch_tuning_scores(folder, types, embedding):
    mask = np.load(write_split(folder.parent, folder, types, "x"))
    before = scored(embedding, labels_of(folder, types, "holdout", "tuning"))
    mixed = types.copy()
    mixed[~mask] = np.random.default_rng(7).permutation(types[~mask])
    assert (mixed != types).any()
    after = scored(embedding, labels_of(folder, mixed, "holdout", "tuning"))
    assert before.values == after.values
    assert "kmeans/ari" in before.values
    # They do touch what is reported, so the test can fail.
    reported = [
        scored(embedding, labels_of(folder, t, "holdout", "report")) for t in (types, mixed)
    ]
    assert reported[0].values["kmeans/ari"] != reported[1].values["kmeans/ari"]


def test_no_label_touches_unsupervised_tuning_scores(folder, types, embedding):
    before = scored(embedding, labels_of(folder, types, "unsupervised", "tuning"))
    other = np.arange(len(types)).astype(str)
    after = scored(embedding, labels_of(folder, other, "unsupervised", "tuning"))
    assert before.values == after.values
    assert set(before.clusters) == {"leiden", "half"}
    names = ("silhouette", "n_clusters")
    assert set(before.values) == {f"{one}/{name}" for one in ("leiden", "half") for name in names}
    used = [metrics()[key.partition("/")[2]] for key in before.values]
    assert all(metric.kind == "partition" or metric.without_types for metric in used)
