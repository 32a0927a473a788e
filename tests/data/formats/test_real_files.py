"""Files as their authors distribute them, against the same data in other files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData, read_h5ad

from bench.data.file_dataset import FileDataset
from bench.data.formats import read_counts
from bench.messages import collect_notes


@pytest.fixture
def original(data_dir: Path) -> Path:
    folder = data_dir / "original"
    if not folder.is_dir():
        pytest.skip("no folder 'original' in BENCH_DATA_DIR")
    return folder


def load(path: Path, **values: str) -> tuple[FileDataset, AnnData]:
    dataset = FileDataset.from_path(path, FileDataset.Params.build(values, owner="test"))
    return dataset, dataset.load()


def equal(one: AnnData, other: AnnData) -> None:
    np.testing.assert_array_equal(one.X.toarray(), other.X.toarray())


@pytest.mark.slow
def test_pancreas_of_two_mice(original: Path, data_dir: Path):
    """Cells in rows, barcode and cluster as columns; the two mice together are baron_mouse."""
    whole = read_h5ad(data_dir / "baron_mouse.h5ad")
    for mouse, name in enumerate(("GSM2230761_mouse1", "GSM2230762_mouse2"), start=1):
        path = original / f"{name}_umifm_counts.csv.gz"
        dataset, adata = load(path, label_key="assigned_cluster")
        expected = whole[whole.obs["batch"] == f"mouse{mouse}"]
        assert list(adata.obs_names) == list(expected.obs_names)
        assert list(adata.var_names) == list(expected.var_names)
        equal(adata, expected)
        same = adata.obs["assigned_cluster"].to_numpy() == expected.obs["cell_type"].to_numpy()
        assert same.all()
        assert dataset.card.modality == "rna"
    # Without the name of the label column, the names of the genes say what lies in rows.
    with collect_notes() as notes:
        assert read_counts(path).shape == adata.shape
    assert "read with cells in rows (columns are named like" in notes[0]


def test_cell_lines_with_genes_in_rows(original: Path, data_dir: Path):
    """A header of R, genes in rows, and the labels in a second file."""
    dataset, adata = load(
        original / "sc_dropseq.count.csv.gz",
        labels=str(original / "sc_dropseq.metadata.csv.gz"), label_key="cell_line_demuxlet",
    )  # fmt: skip
    assert adata.shape == (225, 15127)
    assert dataset.notes[0].startswith("read with features in rows (rows are named like Ensembl")
    assert len(dataset.notes) == 1
    both = read_h5ad(data_dir / "cellbench_3cl_batches.h5ad")
    expected = both[both.obs["batch"] == "dropseq"]
    cells = expected.obs_names.str.removeprefix("ds_")
    genes = expected.var_names.intersection(adata.var_names)
    assert sorted(cells) == sorted(adata.obs_names)
    assert len(genes) > 10_000
    ours = adata[cells]
    same = ours.obs["cell_line_demuxlet"].to_numpy() == expected.obs["cell_type"].to_numpy()
    assert same.all()
    equal(ours[:, genes], expected[:, genes])


def test_blood_with_x_and_y(original: Path):
    dataset, adata = load(original / "10X_PBMC_select_2100_top2000.h5")
    assert adata.shape == (2100, 2000)
    assert dataset.card.label_key == "cell_type"
    assert sorted(adata.obs["cell_type"].unique()) == list("12345678")
    assert adata.X.max() == np.rint(adata.X.max())
