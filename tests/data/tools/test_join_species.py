"""``bench data join``: two species over the genes that correspond one to one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from typer.testing import CliRunner

from bench.data.tools.join_species import join_datasets
from bench.errors import BenchError
from bench.settings import Settings

MAP = (
    "mouse\thuman\tkind\nGcg\tGCG\to\nIns1\tINS\tm\nIns2\tINS\tm\nSst\tSST\to\nXy\t\t\n"
    "Gcg\tGCG\to\nLone\tLONE\to\n"
)


def counts(genes: list[str], first: int, **obs: Any) -> AnnData:
    values = np.arange(12 * len(genes), dtype=np.float32).reshape(12, -1) + first
    adata = AnnData(sp.csr_matrix(values))
    adata.obs_names = [f"cell{n}" for n in range(12)]
    adata.var_names = genes
    for name, column in obs.items():
        adata.obs[name] = column
    return adata


@pytest.fixture
def files(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    kinds = ["alpha", "delta"] * 6
    mouse = counts(["Gcg", "Ins1", "Sst"], 1, cell_type=kinds, donor="m", sex="f")
    human = counts(["SST", "OTHER", "GCG"], 100, cell_type=kinds, donor=1)
    mouse.write_h5ad("mouse.h5ad")
    human.write_h5ad("human.h5ad")
    Path("map.tsv").write_text(MAP)
    return tmp_path


def join(*words: str, first: str = "mouse.h5ad", second: str = "human.h5ad") -> Any:
    from bench.cli.main import app

    given = ["data", "join", first, second, "--orthologs", "map.tsv", "--out", "both.h5ad"]
    return CliRunner().invoke(app, [*given, *words])


def test_two_species_share_their_one_to_one_genes(files: Path):
    ran = join("--names", "mouse,human")
    assert ran.exit_code == 0, ran.output
    said = " ".join(ran.output.split())
    for line in (
        "map.tsv: 3 genes are one to one; 2 pairs with several partners and 1 rows with a gap",
        "2 orthologous genes are shared; left out: 1 genes of mouse, 1 of human",
        "columns of mouse alone are left out: sex",
        "both.h5ad: 2 genes, 12 cells of mouse, 12 cells of human",
    ):
        assert line in said
    both = anndata.read_h5ad("both.h5ad")
    assert list(both.var_names) == ["GCG", "SST"]
    assert list(both.obs["species"]) == ["mouse"] * 12 + ["human"] * 12
    assert list(both.obs["cell_type"]) == ["alpha", "delta"] * 12
    assert list(both.obs["donor"]) == ["m"] * 12 + ["1"] * 12
    assert list(both.obs_names[[0, 12]]) == ["cell0-mouse", "cell0-human"]
    mouse, human = anndata.read_h5ad("mouse.h5ad"), anndata.read_h5ad("human.h5ad")
    dense = both.X.toarray()
    assert np.array_equal(dense[:12], mouse[:, ["Gcg", "Sst"]].X.toarray())
    assert np.array_equal(dense[12:], human[:, ["GCG", "SST"]].X.toarray())


def test_types_that_are_called_otherwise_go_to_one_column(files: Path):
    human = anndata.read_h5ad("human.h5ad")
    human.obs = human.obs.rename(columns={"cell_type": "celltype_fine"})
    human.write_h5ad("human.h5ad")
    ran = join(second="human.h5ad[label_key=celltype_fine]")
    assert ran.exit_code == 0, ran.output
    both = anndata.read_h5ad("both.h5ad")
    assert list(both.obs["cell_type"]) == ["alpha", "delta"] * 12
    assert list(both.obs["species"].unique()) == ["first", "second"]


def test_cells_need_no_types_and_columns_are_chosen_by_name(files: Path):
    for name in ("mouse", "human"):
        adata = anndata.read_h5ad(f"{name}.h5ad")
        del adata.obs["cell_type"]
        adata.write_h5ad(f"{name}.h5ad")
    swapped = [row.split("\t") for row in MAP.splitlines()]
    Path("map.tsv").write_text("".join(f"{b}\t{a}\n" for a, b, _ in swapped))
    ran = join("--columns", "mouse,human")
    assert ran.exit_code == 0, ran.output
    assert anndata.read_h5ad("both.h5ad").shape == (24, 2)


@pytest.mark.parametrize(
    ("table", "values", "code"),
    [
        (MAP, {"columns": ["mouse", "humen"]}, "missing_column"),
        (MAP, {"columns": ["mouse"]}, "invalid_value"),
        (MAP, {"names": ["mouse"]}, "invalid_value"),
        (MAP, {"names": ["a", "a"]}, "invalid_value"),
        (MAP, {"out": Path("both.csv")}, "invalid_value"),
        (MAP, {"orthologs": Path("gone.tsv")}, "missing_file"),
        ("mouse,human\nGcg,GCG\n", {}, "missing_column"),
        ("mouse\thuman\nIns1\tINS\nIns2\tINS\n", {}, "no_shared_genes"),
        ("mouse\thuman\nEns1\tEns2\n", {}, "no_shared_genes"),
        ("mouse\thuman\nGCG\tGcg\n", {}, "no_shared_genes"),
    ],
)
def test_faults_have_codes(files: Path, table: str, values: dict[str, Any], code: str):
    Path("map.tsv").write_text(table)
    given = {
        "orthologs": Path("map.tsv"), "out": Path("both.h5ad"), "names": ["a", "b"],
        "settings": Settings(cache_dir=files / "cache"),
    }  # fmt: skip
    with pytest.raises(BenchError) as error:
        join_datasets("mouse.h5ad", "human.h5ad", **given | values)
    assert error.value.code == code
    assert not Path("both.h5ad").exists()
