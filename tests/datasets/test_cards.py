"""Cards of the published datasets, and the real files that are here."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bench.datasets._published import Published, add_datasets
from bench.errors import UsageError
from bench.registry import datasets

NAMES = [
    entry.name
    for entry in datasets()
    if entry.cls is not None and issubclass(entry.cls, Published)
]
OWN_SERVERS = ("http://zhanglab.net/", "http://download.gao-lab.org/")
"""Answer on http only."""


def test_every_family_is_registered():
    assert {
        "baron", "brain_1m", "buenrostro2018", "cellbench", "citeseq_cbmc", "forebrain", "kang",
        "mouse_bladder", "neurips_multiome", "pairedtag", "quake_ss2_diaphragm", "share_seq",
    } <= {*NAMES}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_card_holds_the_source_of_the_data(name):
    cls = datasets().get(name)
    card = cls.card
    assert card.modality in ("rna", "atac", "multiome")
    assert card.organism in ("human", "mouse", "worm")
    for address in (card.url, card.documented, *(file.source for file in card.files)):
        assert address.startswith(("https://", *OWN_SERVERS)), address
    for text in (card.summary, card.reference, card.licence, card.labels_from):
        assert text
    assert card.tags
    assert all("," not in tag for tag in card.tags)
    names = [file.name for file in card.files]
    assert names
    assert len(set(names)) == len(names)
    for file in card.files:
        kind, _, value = file.checksum.partition(":")
        assert (kind, len(value)) in {("", 0), ("md5", 32), ("sha256", 64)}
    assert len(inspect.cleandoc(cls.__doc__).splitlines()) > 2


@pytest.mark.parametrize(
    "name", [name for name in NAMES if getattr(datasets().get(name), "variants", None)]
)
def test_variants_are_values_of_parameters(name):
    cls = datasets().get(name)
    for parameter, choices in cls.variants.items():
        for value, changes in choices.items():
            card = cls(cls.Params.build({parameter: value}, owner=name)).card
            assert {key: getattr(card, key) for key in changes} == changes


def declare(tmp_path: Path, monkeypatch, facts: str):
    """A module with one reader and a YAML file beside it, after ``add_datasets``."""
    module = ModuleType("declared")
    module.__file__ = str(tmp_path / "declared.py")
    readers = ModuleType("readers")
    readers.read_names = lambda dataset, files: (dataset.name, list(files))
    monkeypatch.setitem(sys.modules, "declared", module)
    (tmp_path / "declared.yaml").write_text(facts)
    add_datasets("declared", lambda: readers)
    return module


FACTS = """
shared: {reader: read_names, modality: rna, label_key: type, description: Cells., summary: cells}
datasets:
  mine:
    tags: [a, b]
    files: [{url: "https://x.org/y.csv"}, {name: z.csv, url: "https://x.org/1"}]
"""
PARAMETERS = """
    parameters: {level: {choices: [coarse, fine], description: types}}
    variants: {level: {fine: {n_types: 9, files: [z.csv]}}}
"""


def test_an_entry_in_yaml_is_a_dataset(tmp_path, monkeypatch):
    cls = declare(tmp_path, monkeypatch, FACTS + "    options: {peaks: true}\n").mine
    assert issubclass(cls, Published)
    assert (cls.name, cls.__doc__, cls.__module__) == ("mine", "Cells.", "declared")
    assert cls.options == {"peaks": True}
    assert cls.card.tags == ("a", "b")
    assert [file.name for file in cls.card.files] == ["y.csv", "z.csv"]
    assert cls(cache=tmp_path).read({"y.csv": tmp_path}) == ("mine", ["y.csv"])


def test_parameters_of_an_entry_choose_a_variant(tmp_path, monkeypatch):
    cls = declare(tmp_path, monkeypatch, FACTS + PARAMETERS).mine
    assert cls(cache=tmp_path).params.level == "coarse"
    card = cls(cls.Params.build({"level": "fine"}, owner="mine"), cache=tmp_path).card
    assert (card.n_types, [file.name for file in card.files]) == (9, ["z.csv"])
    with pytest.raises(UsageError) as error:
        cls.Params.build({"level": "finest"}, owner="mine")
    assert error.value.code == "invalid_value"


def test_every_fact_counts_in_the_fingerprint(tmp_path, monkeypatch):
    texts = [FACTS, FACTS + "    options: {peaks: true}\n", FACTS + "    n_cells: 3\n"]
    prints = [
        declare(tmp_path, monkeypatch, text).mine(cache=tmp_path).fingerprint()["facts"]
        for text in texts
    ]
    assert len(set(prints)) == 3


def test_an_unknown_fact_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError) as error:
        declare(tmp_path, monkeypatch, FACTS + "    licens: MIT\n")
    assert error.value.code == "unknown_name"
    assert "mine" in str(error.value)


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_real_drop_seq_of_cellbench(data_dir, tmp_path):
    import anndata

    dataset, adata = real("cellbench", tmp_path, protocol="dropseq")
    facts_agree(dataset, adata)
    assert adata.shape == (210, 15127)
    assert dataset.notes == ["dropseq: 15 of 225 cells dropped: not singlets by demuxlet"]
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
