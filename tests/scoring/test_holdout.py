"""Which labels may choose: the split, and what a scorer sees under each protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import UsageError
from bench.scoring.holdout import make_split, split_file, tuning_cells, view
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


def seen(folder: Path, types: np.ndarray, protocol: str, part: str, cells: Any = None) -> Any:
    kept = np.arange(len(types)) if cells is None else cells
    return view(job(folder, protocol, part), types, kept, folder.parent)


def test_a_fifth_of_each_type_chooses_and_small_types_report(types):
    mask = tuning_cells(types, "x")
    assert {name: int(mask[types == name].sum()) for name in np.unique(types)} == {
        "a": 20, "b": 10, "c": 1, "rare": 0
    }  # fmt: skip
    assert (mask == tuning_cells(types, "x")).all()
    assert (mask != tuning_cells(types, "y")).any()


def test_the_split_is_made_once(folder, types):
    path = make_split(folder.parent, folder, types, "x")
    first = np.load(path)
    mixed = np.random.default_rng(3).permutation(types)
    assert (
        make_split(folder.parent, folder, mixed, "x") == path == split_file(folder.parent, folder)
    )
    assert (np.load(path) == first).all()


def test_too_few_labels_to_choose_by_are_refused(folder):
    types = np.repeat(["a", "b"], [40, 4])
    with pytest.raises(UsageError, match="use --protocol unsupervised"):
        make_split(folder.parent, folder, types, "x")


def test_what_each_protocol_shows(folder, types):
    mask = np.load(make_split(folder.parent, folder, types, "x"))
    tuning, report = (seen(folder, types, "holdout", part) for part in ("tuning", "report"))
    assert set(tuning.types[~mask]) == {""}
    assert (tuning.types[mask] == types[mask]).all()
    assert (tuning.only == mask).all()
    assert tuning.k == 4
    assert (report.only == ~mask).all()
    assert (report.types == types).all()
    assert seen(folder, types, "unsupervised", "tuning").types is None
    for protocol, part in (("oracle", "tuning"), ("oracle", "report"), ("unsupervised", "report")):
        shown = seen(folder, types, protocol, part)
        assert (shown.types == types).all()
        assert shown.only is None


def test_cells_that_a_recipe_drops_are_in_neither_part(folder, types):
    mask = np.load(make_split(folder.parent, folder, types, "x"))
    cells = np.arange(0, len(types), 2)
    shown = seen(folder, types, "holdout", "tuning", cells)
    assert (shown.only == mask[::2]).all()
    assert len(shown.types) == len(cells)


def scored(embedding: np.ndarray, shown: Any) -> Any:
    half = np.arange(len(embedding)) % 2
    return score(
        embedding, shown.types, own_labels={"half": half}, seed=5, only=shown.only, k=shown.k
    )


def test_labels_of_report_cells_do_not_touch_tuning_scores(folder, types, embedding):
    mask = np.load(make_split(folder.parent, folder, types, "x"))
    before = scored(embedding, seen(folder, types, "holdout", "tuning"))
    mixed = types.copy()
    mixed[~mask] = np.random.default_rng(7).permutation(types[~mask])
    assert (mixed != types).any()
    after = scored(embedding, seen(folder, mixed, "holdout", "tuning"))
    assert before.values == after.values
    assert "kmeans/ari" in before.values
    # They do touch what is reported, so the test can fail.
    reported = [scored(embedding, seen(folder, t, "holdout", "report")) for t in (types, mixed)]
    assert reported[0].values["kmeans/ari"] != reported[1].values["kmeans/ari"]


def test_no_label_touches_unsupervised_tuning_scores(folder, types, embedding):
    before = scored(embedding, seen(folder, types, "unsupervised", "tuning"))
    other = np.arange(len(types)).astype(str)
    after = scored(embedding, seen(folder, other, "unsupervised", "tuning"))
    assert before.values == after.values
    assert set(before.clusters) == {"leiden", "half"}
    assert set(before.values) == {"leiden/silhouette", "half/silhouette"}
    allowed = {"partition"}
    assert {metrics()[key.partition("/")[2]].kind for key in before.values} == allowed
