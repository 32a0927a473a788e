"""What the RNA loaders say about their sets, and the real files that are here."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from bench.contract import RNA
from bench.datasets._published import Published
from bench.registry import datasets

_MODULES = (
    "blood", "brain", "brain_million", "cellbench", "deep_clustering", "pancreas", "tabula_muris",
)  # fmt: skip
NAMES = [
    entry.name
    for entry in datasets()
    if entry.cls is not None
    and issubclass(entry.cls, Published)
    and entry.origin.rpartition(".")[2] in _MODULES
]


def test_all_sets_of_the_list_are_there():
    assert set(NAMES) >= {
        "baron", "baron_mouse", "zeisel", "pbmc3k", "pbmc4k", "bhattacherjee", "zheng_sorted",
        "pbmc_10x4k", "mouse_bladder", "worm_neuron", "human_kidney", "muraro", "romanov",
        "quake_10x_limb_muscle", "quake_ss2_diaphragm", "pancreas", "cellbench", "kang",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_where_the_data_come_from(name):
    cls = datasets().get(name)
    card = cls.card
    assert card.modality == RNA
    for address in (card.url, card.documented, *(file.url for file in card.files)):
        assert address.startswith("https://"), address
    for text in (card.summary, card.reference, card.licence, card.organism, card.labels_from):
        assert text
    assert card.tags
    assert all("," not in tag and " " not in tag for tag in card.tags)
    names = [file.name for file in card.files]
    assert names
    assert len(set(names)) == len(names)
    for file in card.files:
        kind, _, value = file.checksum.partition(":")
        assert (kind, len(value)) in {("", 0), ("md5", 32), ("sha256", 64)}
    assert len(inspect.cleandoc(cls.__doc__).splitlines()) > 2
    assert cls(cls.Params()).card.label_key == card.label_key


def real(name: str, cache: Path, **params: str):
    """Load a set from the original files in BENCH_DATA_DIR."""
    cls = datasets().get(name)
    dataset = cls(cls.Params.build(params, owner=name), cache=cache, offline=True)
    return dataset, dataset.load()


def facts_agree(dataset, adata) -> None:
    card = dataset.card
    assert card.verified
    assert card.n_types == adata.obs[card.label_key].nunique()
    assert card.n_cells in (None, adata.n_obs)
    assert card.n_features in (None, adata.n_vars)


def test_baron_mouse_equals_the_file_made_of_it(data_dir, tmp_path):
    import anndata

    dataset, adata = real("baron_mouse", tmp_path)
    facts_agree(dataset, adata)
    other = anndata.read_h5ad(data_dir / "baron_mouse.h5ad")
    assert list(adata.obs_names) == list(other.obs_names)
    assert adata.obs_names.is_unique
    assert list(adata.var_names) == list(other.var_names)
    assert (adata.X != other.X).nnz == 0
    assert list(adata.obs["assigned_cluster"]) == list(other.obs["cell_type"])
    assert list(adata.obs["donor"]) == list(other.obs["batch"])


def test_real_drop_seq_of_cellbench(data_dir, tmp_path):
    import anndata

    dataset, adata = real("cellbench", tmp_path, protocol="dropseq")
    facts_agree(dataset, adata)
    assert adata.shape == (210, 15127)
    assert dataset.notes == ["dropseq: 15 of 225 cells dropped: no singlet by demuxlet"]
    other = anndata.read_h5ad(data_dir / "cellbench_3cl_batches.h5ad")
    other = other[other.obs["batch"] == "dropseq"]
    other.obs_names = other.obs_names.str.replace("^[a-z]+_", "", regex=True)
    same = other[adata.obs_names]
    assert list(same.obs["cell_type"]) == list(adata.obs["cell_line_demuxlet"])
    genes = other.var_names.intersection(adata.var_names)
    assert len(genes) > 15000
    assert (adata[:, genes].X != same[:, genes].X).nnz == 0


def test_real_file_with_x_and_y(data_dir, tmp_path):
    dataset, adata = real("pbmc_10x4k", tmp_path, cells="2100")
    facts_agree(dataset, adata)
    assert adata.obs["cell_type"].value_counts().iloc[[0, -1]].to_dict() == {"1": 637, "8": 66}
    assert np.array_equal(adata.X.data, np.rint(adata.X.data))
