"""Each loader on a small file written here in the documented format of its authors."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _written import by_card, counts, dense, write
from hypothesis import given
from hypothesis import strategies as st

from bench.datasets._pancreas import invert_umi_correction
from bench.errors import DataError

# --- pancreas ---------------------------------------------------------------------------------


def baron_table(path: Path, ids: list[str], types: list[str], matrix: np.ndarray) -> Path:
    genes = [f"GENE{i}" for i in range(matrix.shape[1])]
    table = pd.DataFrame(matrix, index=ids, columns=genes)
    table.insert(0, "assigned_cluster", types)
    table.insert(0, "barcode", [f"ACGT{i}-TTTT" for i in range(len(ids))])
    return write(path, table.to_csv())


def test_baron_stacks_donors_and_drops_unlabelled_cells(loader, tmp_path):
    dataset = loader("baron_mouse")
    files = by_card(dataset, tmp_path)
    one, two = counts(4, 5), counts(3, 5, seed=1)
    first, second = files.values()
    baron_table(first, ["m1_a", "m1_b", "m1_c", "m1_d"], ["beta", "alpha", "beta", ""], one)
    baron_table(second, ["m2_a", "m2_b", "m2_c"], ["alpha", "B_cell", "beta"], two)
    adata = dataset.read(files)
    assert list(adata.obs_names) == ["m1_a", "m1_b", "m1_c", "m2_a", "m2_b", "m2_c"]
    assert list(adata.var_names) == [f"GENE{i}" for i in range(5)]
    assert list(adata.obs["assigned_cluster"]) == [
        "beta", "alpha", "beta", "alpha", "B_cell", "beta",
    ]  # fmt: skip
    assert list(adata.obs["donor"]) == ["mouse1"] * 3 + ["mouse2"] * 3
    np.testing.assert_array_equal(dense(adata), np.vstack([one[:3], two]))
    (line,) = adata.uns["bench_notes"]
    assert line.startswith("1 of 7 cells dropped: 1 without a label in 'assigned_cluster'")


def test_equal_ids_of_two_donors_are_told_apart(loader, tmp_path):
    dataset = loader("baron")
    files = by_card(dataset, tmp_path)
    for number, path in enumerate(files.values()):
        baron_table(path, ["cell1", "cell2"], ["beta", "alpha"], counts(2, 3, seed=number))
    adata = dataset.read(files)
    assert adata.obs_names.is_unique
    assert list(adata.obs_names[:3]) == ["human1_cell1", "human1_cell2", "human2_cell1"]


def test_a_file_without_the_label_column_is_named(loader, tmp_path):
    dataset = loader("baron_mouse")
    files = by_card(dataset, tmp_path)
    for path in files.values():
        write(path, ",barcode,G1,G2\nc1,AAAA,1,0\nc2,CCCC,0,2\n")
    with pytest.raises(DataError) as error:
        dataset.read(files)
    assert error.value.code == "missing_column"


def correct_umis(seen: np.ndarray, barcodes: int) -> np.ndarray:
    """Transcripts as published for UMIs seen (the correction that the loader inverts)."""
    seen = np.where(seen == barcodes, barcodes - 0.5, seen.astype(float))
    return -barcodes * np.log(1 - seen / barcodes)


@given(seen=st.lists(st.integers(0, 256), min_size=1, max_size=50), wide=st.booleans())
def test_umi_correction_is_inverted(seen, wide):
    barcodes = 4**6 if wide else 4**4
    values = correct_umis(np.array([*seen, 60]), barcodes).astype(np.float32)
    assert invert_umi_correction(values, Path("x")).tolist() == [*seen, 60]


def test_values_that_are_no_umis_are_refused():
    with pytest.raises(DataError) as error:
        invert_umi_correction(np.array([1.5, 2.25, 17.4]), Path("x.csv"))
    assert error.value.code == "not_counts"


def muraro_files(files: dict[str, Path], matrix: np.ndarray, genes: list[str]) -> None:
    """The table has tabs, R's short header and hyphens; the types have dots and R's header x."""
    cells = ["D28-1_1", "D28-1_2", "D29-2_1", "D31-8_96", "D31-8_97"]
    table, types = files.values()
    values = correct_umis(matrix, 256)
    lines = ["\t".join(cells)]
    lines += ["\t".join([gene, *map(repr, map(float, row))])
              for gene, row in zip(genes, values.T, strict=True)]  # fmt: skip
    write(table, "\n".join(lines) + "\n")
    write(types, "x\nD29.2_1\tduct\nD28.1_1\talpha\nD31.8_96\tunclear\n")


def test_muraro(loader, tmp_path):
    dataset = loader("muraro")
    files = by_card(dataset, tmp_path)
    matrix = counts(5, 5)
    genes = ["INS__chr11", "ERCC-00002__chrERCC-00002", "GCG__chr2", "PAR__chrX", "PAR__chrY"]
    muraro_files(files, matrix, genes)
    adata = dataset.read(files)
    assert list(adata.obs_names) == ["D28-1_1", "D29-2_1"]
    assert list(adata.obs["cell_type"]) == ["alpha", "duct"]
    assert list(adata.obs["donor"]) == ["D28", "D29"]
    assert list(adata.var_names) == ["INS", "GCG", "PAR__chrX", "PAR__chrY"]
    np.testing.assert_array_equal(dense(adata), matrix[[0, 2]][:, [0, 2, 3, 4]])
    notes = " ".join(adata.uns["bench_notes"])
    assert "1 spike-in" in notes
    assert "2 of 5 cells dropped: not in the authors' annotation" in notes
    assert "'unclear'" in notes


def test_pancreas_uses_one_name_for_one_type(loader, tmp_path):
    dataset = loader("pancreas")
    files = by_card(dataset, tmp_path)
    paths = list(files.values())
    for number, path in enumerate(paths[:4]):
        table = baron_table(
            path, [f"h{number}_1", f"h{number}_2"], ["quiescent_stellate", "ductal"],
            counts(2, 3, seed=number),
        )  # fmt: skip
        with gzip.open(table, "rt") as stream:
            text = stream.read()
        write(table, text.replace("GENE0", "INS").replace("GENE1", "GCG"))
    muraro_files(
        {path.name: path for path in paths[4:6]}, counts(5, 3),
        ["GCG__chr2", "INS__chr11", "ONLY__chr1"],
    )  # fmt: skip
    reads = [[5, 0, 2, 9], [0, 3, 1, 1], [1, 1, 1, 1], [7, 7, 7, 7]]
    lines = ["#samples\tS1\tS2\tS3\tS4"]
    for gene, row in zip(["INS", "GCG", "INS", "eGFP"], reads, strict=True):
        lines.append("\t".join([gene, "NM_1", *["0.5"] * 4, *map(str, row)]))
    write(paths[6], "\n".join(lines) + "\n")
    write(
        paths[7],
        "Source Name\tCharacteristics[single cell well quality]\tCharacteristics[cell type]\n"
        "S4\tlow\tnot applicable\nS3\tOK\tPSC cell\nS2\tOK\tductal cell\nS1\tOK\talpha cell\n",
    )
    adata = dataset.read(files)
    assert sorted(adata.var_names) == ["GCG", "INS"]
    assert adata.obs["protocol"].value_counts().to_dict() == {
        "inDrop": 8, "Smart-seq2": 3, "CEL-Seq2": 2,
    }  # fmt: skip
    assert set(adata.obs["cell_type"]) == {"stellate", "ductal", "alpha"}
    smart = adata[["S1", "S2", "S3"]]
    assert list(smart.obs["cell_type"]) == ["alpha", "ductal", "stellate"]
    order = [list(smart.var_names).index(gene) for gene in ("INS", "GCG")]
    np.testing.assert_array_equal(dense(smart)[:, order], [[5, 0], [0, 3], [2, 1]])
    assert any(
        "features dropped whose symbol occurs before" in x for x in adata.uns["bench_notes"]
    )


# --- brain ------------------------------------------------------------------------------------


def zeisel_text(matrix: np.ndarray) -> str:
    n = matrix.shape[0]
    facts = {
        "tissue": ["sscortex"] * n,
        "group #": [str(i % 9 + 1) for i in range(n)],
        "total mRNA mol": ["21580"] * n,
        "well": ["11"] * n,
        "sex": ["1"] * n,
        "age": ["21"] * n,
        "diameter": ["9.5"] * n,
        "cell_id": [f"17720710{i}_C02" for i in range(n)],
        "level1class": ["interneurons" if i % 2 else "pyramidal SS" for i in range(n)],
        "level2class": ["(none)" if i == 1 else f"Int{i % 3}" for i in range(n)],
    }
    lines = ["\t".join(["", name, *values]) for name, values in facts.items()]
    lines.append("")
    for number, row in enumerate(matrix.T):
        lines.append("\t".join([f"Gene{number}", "3", *map(str, row)]))
    return "\n".join(lines) + "\n"


def test_zeisel_levels(loader, tmp_path):
    matrix = counts(10, 4)
    files = by_card(loader("zeisel"), tmp_path)
    write(next(iter(files.values())), zeisel_text(matrix))
    adata = loader("zeisel").read(files)
    np.testing.assert_array_equal(dense(adata), matrix)
    assert list(adata.var_names) == ["Gene0", "Gene1", "Gene2", "Gene3"]
    assert adata.obs_names[3] == "177207103_C02"
    assert set(adata.obs["cell_type"]) == {"pyramidal SS", "interneurons"}
    groups = loader("zeisel", level="groups").read(files)
    assert groups.obs["cell_type"].nunique() == 9 == loader("zeisel", level="groups").card.n_types
    assert list(groups.obs["cell_type"].iloc[[0, 7]]) == ["interneurons", "ependymal"]
    fine = loader("zeisel", level="level2").read(files)
    assert fine.n_obs == 9
    assert "177207101_C02" not in fine.obs_names
    assert "1 of 10 cells dropped" in fine.uns["bench_notes"][0]


def test_zeisel_with_the_separator_filled(loader, tmp_path):
    """The line between the annotation and the genes may hold tabs."""
    files = by_card(loader("zeisel"), tmp_path)
    text = zeisel_text(counts(10, 4)).replace("\n\n", "\n" + "\t" * 11 + "\n")
    write(next(iter(files.values())), text)
    assert loader("zeisel").read(files).shape == (10, 4)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("Gene2\t3\t", "Gene2\t3\t7\t", "invalid_line"),
        ("Gene2\t3\t", "Gene2\t3\tx", "not_a_number"),
        ("level1class", "level9class", "missing_column"),
    ],
)
def test_a_damaged_zeisel_is_refused_with_its_line(loader, tmp_path, old, new, code):
    files = by_card(loader("zeisel"), tmp_path)
    write(next(iter(files.values())), zeisel_text(counts(10, 4)).replace(old, new, 1))
    with pytest.raises(DataError) as error:
        loader("zeisel").read(files)
    assert error.value.code == code
    assert ("line 14 (Gene2)" in str(error.value)) == (code != "missing_column")


def test_bhattacherjee_joins_by_barcode(loader, tmp_path):
    dataset = loader("bhattacherjee")
    files = by_card(dataset, tmp_path)
    matrix = counts(4, 6)
    cells = ["PFCSample1_AAAC", "PFCSample2_CCCC", "P21Sample1_GGGG", "PFCSample1_TTTT"]
    table, facts = files.values()
    write(table, pd.DataFrame(matrix.T, [f"Gm{i}" for i in range(6)], cells).to_csv())
    obs = pd.DataFrame(
        {
            "nGene": [900, 800, 700, 600],
            "Sample": ["PFCSample1", "PFCSample2", "P21Sample1", "PFCSample1"],
            "CellType": ["Excitatory", "Astro", "Astro", "Oligo"],
            "L2_clusters": ["L5", "Astro_1", "Astro_1", None],
            "DevStage": ["Adult", "Adult", "P21", "Adult"],
        },
        index=cells,
    )
    write(facts, obs.iloc[::-1].to_csv())
    adata = dataset.read(files)
    assert list(adata.obs_names) == [cells[0], cells[1], cells[3]]
    assert list(adata.obs["cell_type"]) == ["Excitatory", "Astro", "Oligo"]
    assert list(adata.obs["Sample"]) == ["PFCSample1", "PFCSample2", "PFCSample1"]
    np.testing.assert_array_equal(dense(adata), matrix[[0, 1, 3]])
    fine = loader("bhattacherjee", stage="all", level="subtype").read(files)
    assert list(fine.obs["cell_type"]) == ["L5", "Astro_1", "Astro_1"]
    assert loader("bhattacherjee", stage="all").card.n_cells == 35360


def romanov_text(matrix: np.ndarray) -> str:
    n = matrix.shape[0]
    lines = [",".join(["", *(f"C1_{i}" for i in range(n))])]
    lines.append(",".join(["level1 class", *["neurons"] * (n - 1), "microglia"]))
    subclass = ['"GABA 1 (Gal, Nts)"', "uc", *["Dopamine 2"] * (n - 3), ""]
    lines.append(",".join(["level2 class (neurons only)", *subclass]))
    for name in (
        "level2 cluster number (neurons only)", "age (days postnatal)",
        "sex (female=1,male=-1)", "cell diameter", "acute stress", "total molecules",
    ):  # fmt: skip
        lines.append(",".join([f'"{name}"', *["1"] * n]))
    lines += ["," * n] * 3
    lines += [",".join([f"Gene{i}", *map(str, row)]) for i, row in enumerate(matrix.T)]
    return "\n".join(lines) + "\n"


def test_romanov(loader, tmp_path):
    matrix = counts(6, 5)
    files = by_card(loader("romanov"), tmp_path)
    write(next(iter(files.values())), romanov_text(matrix))
    adata = loader("romanov").read(files)
    np.testing.assert_array_equal(dense(adata), matrix)
    assert list(adata.obs_names) == [f"C1_{i}" for i in range(6)]
    assert adata.obs["cell_type"].value_counts().to_dict() == {"neurons": 5, "microglia": 1}
    fine = loader("romanov", level="level2").read(files)
    assert list(fine.obs["cell_type"]) == ["GABA 1 (Gal, Nts)", *["Dopamine 2"] * 3]


# --- files with X and Y -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pbmc_10x4k", "mouse_bladder", "worm_neuron", "human_kidney"])
@pytest.mark.parametrize("cells", ["all", "2100"])
def test_deep_clustering_files(loader, tmp_path, name, cells):
    import h5py

    dataset = loader(name, cells=cells)
    (path,) = by_card(dataset, tmp_path).values()
    assert path.name.endswith("_select_2100_top2000.h5" if cells == "2100" else "_top2000.h5")
    assert ("select" in path.name) == (cells == "2100")
    matrix = counts(5, 3)
    with h5py.File(path, "w") as file:
        file["X"], file["Y"] = matrix.astype("f4"), np.array([1.0, 2, 2, 16, 1])
    adata = dataset.read({path.name: path})
    assert list(adata.obs["cell_type"]) == ["1", "2", "2", "16", "1"]
    np.testing.assert_array_equal(dense(adata), matrix)
