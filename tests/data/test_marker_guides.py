"""Marker lists of a task, and the controls that take their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import Markers
from bench.data.cache.data_cache import DataCache
from bench.data.cache.dataset_files import load_counts
from bench.data.marker_guides import add_shuffled_genes, draw_random_genes, select_lists
from bench.data.resolve import resolve_dataset
from bench.errors import DataError
from bench.messages import collect_notes
from bench.settings import load_settings

LISTS = Markers({"CD8 naive": ("gene0", "gene1"), "NK": ("gene200", "absent")}, "a paper")


@pytest.fixture
def counts() -> AnnData:
    rng = np.random.default_rng(0)
    rate = np.linspace(0.1, 8.0, 300)
    adata = AnnData(sp.csr_matrix(rng.poisson(rate, size=(80, 300)).astype(np.float32)))
    adata.var_names = [f"gene{number}" for number in range(300)]
    adata.obs["cell_type"] = np.repeat(["a", "b"], [20, 60])
    return adata


def test_lists_are_selected_by_name():
    assert select_lists(LISTS, "cd8_naive", "toy").lists == {"CD8 naive": ("gene0", "gene1")}
    assert list(select_lists(LISTS, "NK+CD8 naive", "toy").lists) == ["NK", "CD8 naive"]
    with pytest.raises(DataError) as error:
        select_lists(LISTS, "NC", "toy")
    assert error.value.code == "unknown_name"


def test_random_genes_have_like_expression_and_are_no_markers(counts):
    means = np.asarray(counts.X.mean(axis=0)).ravel()
    spared = LISTS.lists | {"other": ("gene199", "gene201")}
    with collect_notes() as notes:
        swapped = draw_random_genes(counts, LISTS, spared, seed=0)
    assert swapped.lists.keys() == LISTS.lists.keys()
    assert [len(genes) for genes in swapped.lists.values()] == [2, 1]
    listed = {gene for genes in spared.values() for gene in genes}
    rank = np.argsort(np.argsort(means))
    for name, genes in swapped.lists.items():
        assert not set(genes) & listed
        for new, old in zip(genes, LISTS.lists[name], strict=False):
            numbers = counts.var_names.get_indexer([new, old])
            assert abs(int(np.diff(rank[numbers])[0])) <= 25
    assert len(notes) == 2
    assert draw_random_genes(counts, LISTS, spared, seed=0) == swapped
    assert draw_random_genes(counts, LISTS, spared, seed=1) != swapped


def test_shuffled_genes_are_copies_that_go_together(counts):
    wider, lists = add_shuffled_genes(counts, LISTS, seed=0)
    assert lists.lists == {
        "CD8 naive": ("gene0~shuffled", "gene1~shuffled"), "NK": ("gene200~shuffled",)
    }  # fmt: skip
    assert (wider[:, counts.var_names].X != counts.X).nnz == 0
    genes = ["gene0", "gene1", "gene200"]
    old = counts[:, genes].X.toarray()
    new = wider[:, [f"{gene}~shuffled" for gene in genes]].X.toarray()
    assert (old != new).any()
    # The same cells, in another order.
    np.testing.assert_array_equal(old[np.lexsort(old.T)], new[np.lexsort(new.T)])


def test_the_markers_of_a_task_are_stored_with_the_data(counts, tmp_path: Path):
    path, markers = tmp_path / "toy.h5ad", tmp_path / "own.yaml"
    counts.write_h5ad(path)
    markers.write_text("one: [gene10, gene20]\ntwo: [gene30]\n")
    settings: Any = load_settings({"cache_dir": tmp_path / "cache", "markers": markers})
    store = DataCache(settings.cache_dir)

    def kept(values: str) -> Any:
        one = resolve_dataset(f"{path}[{values}]", settings)
        first = store.load_dataset(one.dataset, one.source, one.label)
        again = resolve_dataset(f"{path}[{values}]", settings)
        second = store.find_dataset(again.dataset, again.source, again.label)
        assert second is not None
        assert second.markers == first.markers
        return first

    assert kept("rare_type=a").markers.lists == {"one": ("gene10", "gene20"), "two": ("gene30",)}
    one = kept("rare_type=a,signatures=one")
    assert one.markers.lists == {"one": ("gene10", "gene20")}
    random = kept("rare_type=a,signatures=one,guide=random")
    assert random.counts_digest == one.counts_digest
    assert not set(random.markers.lists["one"]) & {"gene10", "gene20", "gene30"}
    shuffled = kept("rare_type=a,signatures=one,guide=shuffled")
    assert shuffled.markers.lists == {"one": ("gene10~shuffled", "gene20~shuffled")}
    assert load_counts(shuffled.folder).n_vars == 302
    markers.write_text("one: [gene11]\n")
    assert kept("rare_type=a,signatures=one").markers.lists == {"one": ("gene11",)}


def test_controls_need_lists(counts, tmp_path: Path):
    path = tmp_path / "toy.h5ad"
    counts.write_h5ad(path)
    settings: Any = load_settings({"cache_dir": tmp_path / "cache"})
    one = resolve_dataset(f"{path}[guide=random]", settings)
    with pytest.raises(DataError) as error:
        DataCache(settings.cache_dir).load_dataset(one.dataset, one.source, one.label)
    assert error.value.code == "missing_markers"


def test_a_simulators_own_parameter_named_markers_stays_its_own(tmp_path: Path):
    settings: Any = load_settings({"cache_dir": tmp_path / "cache"})
    one = resolve_dataset("sim_rna[markers=0.2]", settings)
    assert one.dataset.params.markers == 0.2
    assert one.label == "sim_rna[markers=0.2]"
