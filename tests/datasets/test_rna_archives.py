"""Loaders of archives and several runs, each on small files in the documented format."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from _written import by_card, clusters_archive, counts, dense, write

from bench.errors import DataError, UsageError

# --- blood ------------------------------------------------------------------------------------


def tenx_archive(
    path: Path, folder: str, matrix: np.ndarray, cells: list[str], genes: list[tuple[str, str]]
) -> Path:
    """A tar.gz with a version 2 matrix, genes × cells, as Cell Ranger before 3 wrote it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    inside = path.parent / f"{path.name}_members"
    inside.mkdir()
    scipy.io.mmwrite(inside / "matrix.mtx", sp.coo_matrix(matrix.T), field="integer")
    write(inside / "barcodes.tsv", "".join(f"{cell}\n" for cell in cells))
    write(inside / "genes.tsv", "".join(f"{gene}\t{symbol}\n" for gene, symbol in genes))
    with tarfile.open(path, "w:gz") as archive:
        archive.add(inside, folder)
    return path


GENES = [("ENSG1", "MS4A1"), ("ENSG2", "CD3D"), ("ENSG3", "LYZ")]
CELLS = ["AAACATACAACCAC-1", "AAACATTGAGCTAC-1", "AAACATTGATCAGC-1", "AAACCGTGCTTCCG-1"]


def test_pbmc3k_takes_the_types_of_the_tutorial(loader, tmp_path):
    from anndata import AnnData

    dataset = loader("pbmc3k")
    files = by_card(dataset, tmp_path)
    archive, processed = files.values()
    matrix = counts(4, 3)
    tenx_archive(archive, "filtered_gene_bc_matrices/hg19", matrix, CELLS, GENES)
    types = ["NK cells", "B cells", "CD4 T cells"]
    tutorial = AnnData(
        np.zeros((3, 1)), obs=pd.DataFrame({"louvain": pd.Categorical(types)}, CELLS[3:0:-1])
    )
    tutorial.write_h5ad(processed)
    adata = dataset.read(files)
    assert list(adata.obs_names) == CELLS[1:]
    assert list(adata.obs["louvain"]) == ["CD4 T cells", "B cells", "NK cells"]
    assert list(adata.var_names) == ["MS4A1", "CD3D", "LYZ"]
    np.testing.assert_array_equal(dense(adata), matrix[1:])
    assert "1 of 4 cells dropped: filtered out by the tutorial" in adata.uns["bench_notes"][0]
    tutorial.obs_names = ["x", "y", "z"]
    tutorial.write_h5ad(processed)
    with pytest.raises(DataError) as error:
        dataset.read(files)
    assert error.value.code == "unknown_cells"


def test_pbmc4k_takes_the_graph_clusters(loader, tmp_path):
    dataset = loader("pbmc4k")
    files = by_card(dataset, tmp_path)
    archive, analysis = files.values()
    matrix = counts(4, 3)
    tenx_archive(archive, "filtered_gene_bc_matrices/GRCh38", matrix, CELLS, GENES)
    lines = [f"{cell},{number % 2 + 1}" for number, cell in enumerate(CELLS)]
    clusters_archive(
        analysis, tmp_path / "analysis", "\n".join(["Barcode,Cluster", *lines[::-1]]) + "\n"
    )
    adata = dataset.read(files)
    assert list(adata.obs["Cluster"]) == ["1", "2", "1", "2"]
    np.testing.assert_array_equal(dense(adata), matrix)
    clusters_archive(analysis, tmp_path / "analysis", "Barcode,Group\nAAACATACAACCAC-1,1\n")
    with pytest.raises(DataError) as error:
        dataset.read(files)
    assert error.value.code == "missing_column"


def test_zheng_sorted_stacks_ten_populations(loader, tmp_path):
    dataset = loader("zheng_sorted")
    files = by_card(dataset, tmp_path)
    for number, path in enumerate(files.values()):
        tenx_archive(
            path, "filtered_matrices_mex/hg19", counts(2 + number % 2, 3, number),
            CELLS[: 2 + number % 2], GENES,
        )  # fmt: skip
    adata = dataset.read(files)
    assert adata.shape == (25, 3)
    assert adata.obs_names.is_unique
    assert adata.obs_names[0] == "b_cells_AAACATACAACCAC-1"
    assert adata.obs["population"].nunique() == 10
    helper = adata[adata.obs["population"] == "CD4+ helper T"]
    assert all(name.startswith("cd4_t_helper_") for name in helper.obs_names)
    np.testing.assert_array_equal(dense(helper), counts(3, 3, 3))


def kang_files(files: dict[str, Path]) -> tuple[np.ndarray, np.ndarray]:
    ctrl, stim = counts(4, 3), counts(3, 3, seed=1)
    paths = list(files.values())
    for matrix, cells, place in ((ctrl, CELLS, 0), (stim, CELLS[:3], 2)):
        with gzip.open(paths[place], "wb") as stream:
            scipy.io.mmwrite(stream, sp.coo_matrix(matrix.T), field="integer")
        write(paths[place + 1], "".join(f"{cell}\n" for cell in cells))
    write(paths[4], "".join(f"{gene}\t{symbol}\n" for gene, symbol in GENES))
    rows = [
        (CELLS[0], "101", "ctrl", "B cells", "singlet"),
        (CELLS[1], "1015", "ctrl", "NK cells", "singlet"),
        (CELLS[2], "1015", "ctrl", "NK cells", "doublet"),
        (CELLS[3], "101", "ctrl", "NA", "singlet"),
        (CELLS[0] + "1", "101", "stim", "NK cells", "singlet"),  # R made it unique
        (CELLS[1] + "1", "107", "stim", "B cells", "ambs"),
        (CELLS[2] + "1", "107", "stim", "B cells", "singlet"),
    ]
    lines = ["tsne1\ttsne2\tind\tstim\tcluster\tcell\tmultiplets"]
    lines += ["\t".join([row[0], "1.5", "2", row[1], row[2], "3", *row[3:]]) for row in rows]
    write(paths[5], "\n".join(lines) + "\n")
    return ctrl, stim


def test_kang_joins_within_each_run(loader, tmp_path):
    files = by_card(loader("kang"), tmp_path)
    ctrl, stim = kang_files(files)
    adata = loader("kang").read(files)
    assert list(adata.obs["cell"]) == ["B cells", "NK cells", "NK cells", "B cells"]
    assert list(adata.obs["batch"]) == ["ctrl", "ctrl", "stim", "stim"]
    assert adata.obs_names.is_unique
    np.testing.assert_array_equal(dense(adata), np.vstack([ctrl[:2], stim[[0, 2]]]))
    notes = " | ".join(adata.uns["bench_notes"])
    assert "ctrl: 1 of 4 cells dropped: not singlets" in notes
    assert "stim: 1 of 3 cells dropped: not singlets" in notes
    assert "ctrl: 1 of 3 cells dropped: 1 without a label" in notes


def test_kang_of_one_condition_has_donors_as_batch(loader, tmp_path):
    files = by_card(loader("kang"), tmp_path)
    kang_files(files)
    adata = loader("kang", condition="stim").read(files)
    assert list(adata.obs["batch"]) == ["101", "107"]
    assert list(adata.obs_names) == [CELLS[0], CELLS[2]]


# --- Tabula Muris -----------------------------------------------------------------------------


def test_quake_ss2_diaphragm(loader, tmp_path):
    dataset = loader("quake_ss2_diaphragm")
    files = by_card(dataset, tmp_path)
    archive, facts = files.values()
    matrix = counts(3, 4)
    cells = ["A1.B000610.3_56_F.1.1", "A2.B000610.3_56_F.1.1", "A3.MAA000400.3_8_M.1.1"]
    table = pd.DataFrame(matrix.T, ["Acta1", "ERCC-00002", "Pax7", "Des"], cells)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("FACS/Diaphragm-counts.csv", table.to_csv())
        file.writestr("FACS/Limb_Muscle-counts.csv", "not this one")
        file.writestr("__MACOSX/FACS/._Diaphragm-counts.csv", "junk")
    write(
        facts,
        ",cell,cell_ontology_class,mouse.id,tissue\n"
        f"0,{cells[2]},macrophage,3_8_M,Diaphragm\n1,{cells[0]},B cell,3_56_F,Diaphragm\n"
        f"2,{cells[1]},,3_56_F,Diaphragm\n3,X9.Y,B cell,3_8_M,Limb_Muscle\n",
    )
    adata = dataset.read(files)
    assert list(adata.obs_names) == [cells[0], cells[2]]
    assert list(adata.obs["cell_ontology_class"]) == ["B cell", "macrophage"]
    assert list(adata.obs["mouse.id"]) == ["3_56_F", "3_8_M"]
    assert list(adata.var_names) == ["Acta1", "Pax7", "Des"]
    np.testing.assert_array_equal(dense(adata), matrix[[0, 2]][:, [0, 2, 3]])
    assert not list((tmp_path / "cache").glob("*/Diaphragm*"))


def test_quake_10x_limb_muscle(loader, tmp_path):
    dataset = loader("quake_10x_limb_muscle")
    files = by_card(dataset, tmp_path)
    archive, facts = files.values()
    parts = {"10X_P7_14": counts(3, 3), "10X_P7_15": counts(2, 3, seed=1)}
    with zipfile.ZipFile(archive, "w") as file:
        for channel, matrix in parts.items():
            inside = tmp_path / channel
            inside.mkdir()
            scipy.io.mmwrite(inside / "matrix.mtx", sp.coo_matrix(matrix.T), field="integer")
            write(inside / "barcodes.tsv", "".join(f"{c}\n" for c in CELLS[: len(matrix)]))
            write(inside / "genes.tsv", "Acta1\tActa1\nPax7\tPax7\nDes\tDes\n")
            for path in inside.iterdir():
                file.write(path, f"droplet/Limb_Muscle-{channel}/{path.name}")
        file.writestr("droplet/Lung-10X_P7_8/genes.tsv", "not this one")
    bare = [cell.removesuffix("-1") for cell in CELLS]
    write(
        facts,
        "cell,channel,mouse.id,tissue,cell_ontology_class\n"
        f"10X_P7_15_{bare[1]},10X_P7_15,3-F-57,Limb_Muscle,T cell\n"
        f"10X_P7_14_{bare[0]},10X_P7_14,3-F-56,Limb_Muscle,B cell\n"
        f"10X_P7_14_{bare[2]},10X_P7_14,3-F-56,Limb_Muscle,B cell\n",
    )
    adata = dataset.read(files)
    assert list(adata.obs_names) == [
        f"10X_P7_14_{bare[0]}", f"10X_P7_14_{bare[2]}", f"10X_P7_15_{bare[1]}",
    ]  # fmt: skip
    assert list(adata.obs["cell_ontology_class"]) == ["B cell", "B cell", "T cell"]
    rows = [parts["10X_P7_14"][0], parts["10X_P7_14"][2], parts["10X_P7_15"][1]]
    np.testing.assert_array_equal(dense(adata), rows)


def test_a_damaged_zip_is_named(loader, tmp_path):
    dataset = loader("quake_ss2_diaphragm")
    files = by_card(dataset, tmp_path)
    for path in files.values():
        path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError) as error:
        dataset.read(files)
    assert error.value.code == "damaged_archive"
    with zipfile.ZipFile(next(iter(files.values())), "w") as file:
        file.writestr("FACS/Lung-counts.csv", "x")
    with pytest.raises(DataError) as error:
        dataset.read(files)
    assert error.value.code == "missing_file"


# --- cell lines -------------------------------------------------------------------------------


def cellbench_run(counts_path: Path, facts: Path, matrix: np.ndarray, genes: list[str]) -> None:
    cells = [f"CELL_00000{i}" for i in range(1, len(matrix) + 1)]
    lines = [",".join(f'"{cell}"' for cell in cells)]  # R writes no name above the genes
    lines += [
        ",".join([f'"{gene}"', *map(str, row)]) for gene, row in zip(genes, matrix.T, strict=True)
    ]
    write(counts_path, "\n".join(lines) + "\n")
    lines = ['"unaligned","cell_line","cell_line_demuxlet","demuxlet_cls"']
    kinds = ["H1975", "A549"]
    for number, cell in reversed(list(enumerate(cells))):
        single = "DBL" if number == 2 else "SNG"
        lines.append(f'"{cell}",7,"other","{kinds[number % 2]}","{single}"')
    write(facts, "\n".join(lines) + "\n")


def test_cellbench_runs_are_batches_over_shared_genes(loader, tmp_path):
    dataset = loader("cellbench", design="5cl", protocol="celseq2")
    files = by_card(dataset, tmp_path)
    paths = list(files.values())
    assert [path.name for path in paths[::2]] == [
        f"sc_celseq2_5cl_p{plate}.count.csv.gz" for plate in (1, 2, 3)
    ]
    matrices = [counts(4, 3, seed=number) for number in range(3)]
    genes = [
        ["ENSG1", "ENSG2", "ERCC-00002"],
        ["ENSG2", "ENSG1", "ENSG9"],
        ["ENSG1", "ENSG2", "ENSG3"],
    ]
    for number, matrix in enumerate(matrices):
        cellbench_run(*paths[2 * number : 2 * number + 2], matrix, genes[number])
    adata = dataset.read(files)
    assert sorted(adata.var_names) == ["ENSG1", "ENSG2"]
    assert adata.obs["batch"].value_counts().to_dict() == {
        "celseq2_5cl_p1": 3, "celseq2_5cl_p2": 3, "celseq2_5cl_p3": 3,
    }  # fmt: skip
    assert list(adata.obs["cell_line_demuxlet"][:3]) == ["H1975", "A549", "A549"]
    second = adata[adata.obs["batch"] == "celseq2_5cl_p2", ["ENSG2", "ENSG1"]]
    np.testing.assert_array_equal(dense(second.copy()), matrices[1][[0, 1, 3], :2])
    assert dataset.card.n_types == 5
    assert dataset.card.batch_key == "batch"


def test_cellbench_refuses_a_protocol_the_design_has_not(loader):
    with pytest.raises(UsageError):
        loader("cellbench", design="5cl", protocol="dropseq")
    assert loader("cellbench", protocol="10x").card.batch_key is None
