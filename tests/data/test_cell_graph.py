"""A graph of the user's own: keys of obsp, files, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from anndata import AnnData

from bench.data.cell_graph import find_cell_graph
from bench.errors import DataError


@pytest.fixture
def cells() -> AnnData:
    adata = AnnData(np.ones((5, 3), dtype=np.float32))
    adata.obs_names = [f"AAC{number}" for number in range(5)]
    graph = sp.lil_matrix((5, 5))
    for first, second, weight in ((0, 1, 0.5), (1, 2, 1.0), (3, 4, 0.25)):
        graph[first, second] = graph[second, first] = weight
    adata.obsp["mine"] = graph.tocsr()
    return adata


def test_every_form_gives_the_same_graph(cells: AnnData, tmp_path: Path):
    expected = cells.obsp["mine"].toarray()
    sp.save_npz(tmp_path / "graph.npz", cells.obsp["mine"])
    scipy.io.mmwrite(tmp_path / "graph.mtx", cells.obsp["mine"])
    edges = pd.DataFrame({"first": [0, 2, 3], "second": [1, 1, 4], "weight": [0.5, 1.0, 0.25]})
    edges.to_csv(tmp_path / "numbers.csv", index=False)
    names = edges.assign(first=cells.obs_names[edges["first"]])
    names = names.assign(second=cells.obs_names[edges["second"]])
    names.to_csv(tmp_path / "names.tsv", index=False, sep="\t")
    files = [tmp_path / name for name in ("graph.npz", "graph.mtx", "numbers.csv", "names.tsv")]
    for given in ("mine", expected, *files, *map(str, files)):
        np.testing.assert_array_equal(find_cell_graph(cells, given, "graph").toarray(), expected)
    names.drop(columns="weight").to_csv(tmp_path / "plain.csv", index=False)
    plain = find_cell_graph(cells, tmp_path / "plain.csv", "graph").toarray()
    np.testing.assert_array_equal(plain, expected > 0)
    assert find_cell_graph(cells, None, "graph") is None


def test_what_is_no_graph_of_these_cells_is_refused(cells: AnnData, tmp_path: Path):
    (tmp_path / "a.npz").write_text("no archive")
    (tmp_path / "a.xyz").write_text("1")
    pd.DataFrame({"from": [0], "to": [1]}).to_csv(tmp_path / "columns.csv", index=False)
    pd.DataFrame({"first": ["AAC0"], "second": ["GGT"]}).to_csv(tmp_path / "b.csv", index=False)
    pd.DataFrame({"first": [0], "second": [5]}).to_csv(tmp_path / "c.csv", index=False)
    for given, code in (
        ("mime", "missing_file"),
        (np.eye(4), "other_cells"),
        (-np.eye(5), "not_similarities"),
        (np.full((5, 5), np.nan), "not_similarities"),
        (np.zeros((5, 5)), "empty_graph"),
        (tmp_path / "a.npz", "unreadable"),
        (tmp_path / "a.xyz", "unknown_format"),
        (tmp_path / "columns.csv", "missing_column"),
        (tmp_path / "b.csv", "other_cells"),
        (tmp_path / "c.csv", "other_cells"),
    ):
        with pytest.raises(DataError) as error:
            find_cell_graph(cells, given, "--graph")
        assert error.value.code == code, given
