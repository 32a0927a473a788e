"""Data without labels: when a file counts as such, hidden labels, halves of the counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.cache.data_cache import DataCache
from bench.data.cache.dataset_files import CellLabels
from bench.data.file_dataset import FileDataset
from bench.data.resolve import halves_of, resolve_dataset
from bench.data.user_file import load_checked
from bench.errors import DataError, UsageError
from bench.settings import Settings


@pytest.fixture
def file(tmp_path: Path, toy_counts: Any):
    def write(**columns: Any) -> Path:
        adata = toy_counts.copy()
        adata.obs = adata.obs[[]].assign(**columns)
        adata.write_h5ad(tmp_path / "mine.h5ad")
        return tmp_path / "mine.h5ad"

    return write


@pytest.mark.parametrize(
    ("columns", "unlabelled"),
    [
        ({}, True),
        ({"depth": 2.5}, True),
        ({"note": "same"}, True),
        ({"batch": ["x", "y"] * 30}, True),
        ({"barcode": [f"b{i}" for i in range(60)]}, True),
        ({"Group": ["x", "y"] * 30}, False),
        ({"Louvain": [0, 1] * 30}, False),
    ],
)
def test_a_file_is_unlabelled_where_no_column_can_hold_labels(file, columns, unlabelled: bool):
    dataset = FileDataset.from_path(file(**columns))
    if unlabelled:
        dataset.load()
        assert dataset.card.label_key == ""
        assert "no labels" in dataset.notes[0]
    else:
        with pytest.raises(DataError) as error:
            dataset.load()
        assert error.value.code == "missing_column"


def test_a_column_that_is_named_must_be_there(file):
    dataset = FileDataset.from_path(file(), FileDataset.Params(label_key="kind"))
    with pytest.raises(DataError) as error:
        dataset.load()
    assert error.value.code == "missing_column"


def test_a_command_that_needs_labels_refuses_a_file_without(file):
    with pytest.raises(DataError) as error:
        load_checked(FileDataset.from_path(file()))
    assert error.value.code == "missing_column"


def test_hidden_labels_leave_counts_as_they_are(file, tmp_path: Path):
    path, cache = file(cell_type=["a", "b"] * 30), DataCache(tmp_path / "cache")
    cached = {}
    for hidden in (False, True):
        one = resolve_dataset(str(path), Settings(cache_dir=cache.root, no_labels=hidden))
        cached[hidden] = cache.load_dataset(one.dataset, one.source, one.label)
    assert cached[True].counts_digest == cached[False].counts_digest
    assert (cached[True].n_types, cached[False].n_types) == (0, 2)
    assert cached[True].labels_digest == ""
    assert CellLabels(cached[True].folder).types is None
    assert not (cached[True].folder / "types.npy").exists()


@pytest.mark.parametrize(
    ("text", "flags"),
    [("{}", {"label_key": "kind"}), ("{}[types=a]", {}), ("{}[rare_type=a]", {})],
)
def test_what_needs_labels_contradicts_hidden_labels(file, tmp_path: Path, text: str, flags):
    settings = Settings(cache_dir=tmp_path / "cache", no_labels=True, **flags)
    with pytest.raises(UsageError) as error:
        resolve_dataset(text.format(file()), settings)
    assert error.value.code == "contradicting_options"


def test_the_halves_are_all_counts(file, tmp_path: Path, toy_counts: Any):
    settings = Settings(cache_dir=tmp_path / "cache")
    resolved = resolve_dataset(str(file()), settings)
    first, second = (half.dataset.load().X for half in halves_of(resolved))
    assert ((first + second) != toy_counts.X).nnz == 0
    assert np.isclose(first.sum() / toy_counts.X.sum(), 0.5, atol=0.05)
    assert (first != second).nnz > 0
