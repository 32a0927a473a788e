"""The loaders of published chromatin sets, on small files in the documented formats."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData, read_h5ad

from bench.data.checks import check_counts
from bench.errors import DataError

SCALE = [
    "forebrain", "leukemia", "insilico", "gm12878_hek", "gm12878_hl", "breast_tumor", "splenocyte",
]  # fmt: skip


def counts(n_cells: int, n_features: int, seed: int = 0) -> np.ndarray:
    """Small counts without an empty cell or feature."""
    values = np.random.default_rng(seed).poisson(0.7, (n_cells, n_features))
    values[:, 0] += 1
    values[0] += 1
    return values.astype(np.float32)


def passes(adata: AnnData, card) -> list[str]:
    """Run the harness's own checks and return their warnings."""
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    return check_counts(
        adata,
        where="test",
        label_key=card.label_key,
        batch_key=card.batch_key,
        modality=card.modality,
    ).warnings


def scale_file(folder: Path, labels: list[str], name: str) -> tuple[Path, np.ndarray]:
    """Write a file as SCALE's: cells × peaks, ``obs["celltype"]``, peaks ``chr1_100_200``."""
    values = counts(len(labels), 6)
    adata = AnnData(sp.csr_matrix(values))
    adata.obs_names = [f"cell-{i}" for i in range(len(labels))]
    adata.var_names = [f"chr{i + 1}_{i}00_{i}50" for i in range(5)] + ["chrUn_KI2v1_7_9"]
    adata.obs["celltype"] = pd.Categorical(labels)
    adata.write_h5ad(folder / name)
    return folder / name, values


@pytest.mark.parametrize("name", SCALE)
def test_scale_sets_give_counts_labels_and_peaks(name: str, loader, tmp_path: Path):
    kinds = ["a", "b", "c"] * 4
    dataset = loader(name)
    file = dataset.card.files[0].name
    path, values = scale_file(tmp_path, kinds, file)
    adata = dataset.read({file: path})
    assert np.array_equal(adata.X.toarray(), values)
    assert list(adata.obs[dataset.card.label_key]) == kinds
    assert list(adata.obs.columns) == ["cell_type"]
    assert adata.var_names[0] == "chr1:0-50"
    assert adata.var_names[5] == "chrUn_KI2v1:7-9"
    assert "bench_notes" not in adata.uns
    passes(adata, dataset.card)


@pytest.mark.parametrize("name", ["gm12878_hek", "gm12878_hl"])
def test_mixed_cells_of_the_two_line_sets_are_dropped(name: str, loader, tmp_path: Path):
    labels = ["GM12878"] * 6 + ["Mixed", "HEK293T", "Mixed"] + ["HEK293T"] * 5
    dataset = loader(name)
    file = dataset.card.files[0].name
    path, values = scale_file(tmp_path, labels, file)
    adata = dataset.read({file: path})
    assert adata.n_obs == 12
    assert set(adata.obs["cell_type"]) == {"GM12878", "HEK293T"}
    assert np.array_equal(adata.X.toarray(), np.delete(values, [6, 8], axis=0))
    assert list(adata.uns["bench_notes"]) == [
        "2 of 14 cells dropped: 2 labelled 'Mixed' in 'cell_type'"
    ]


def test_a_scale_file_without_the_documented_column_is_refused(loader, tmp_path: Path):
    path, _ = scale_file(tmp_path, ["a"] * 10, "Forebrain.h5ad")
    adata = read_h5ad(path)
    adata.obs = adata.obs.rename(columns={"celltype": "type"})
    adata.write_h5ad(path)
    with pytest.raises(DataError) as error:
        loader("forebrain").read({"Forebrain.h5ad": path})
    assert error.value.code == "missing_column"


def test_leukemia_is_read_as_the_real_set(data_dir: Path, loader, tmp_path: Path):
    """The local copy has other column names; its content in the original layout."""
    real = read_h5ad(data_dir / "leukemia.h5ad")
    original = AnnData(real.X, obs=real.obs.rename(columns={"cell_type": "celltype"}))
    original.var_names = real.var_names
    original.write_h5ad(tmp_path / "Leukemia.h5ad")
    dataset = loader("leukemia")
    adata = dataset.read({"Leukemia.h5ad": tmp_path / "Leukemia.h5ad"})
    card = dataset.card
    assert adata.shape == (card.n_cells, card.n_features)
    assert adata.obs["cell_type"].nunique() == card.n_types
    assert (sp.csr_matrix(real.X) != adata.X).nnz == 0
    assert adata.var_names[0] == "chr1:804982-805861"
    assert passes(adata, card) == []


def buenrostro_files(
    dataset, folder: Path, first_line: str | None = None
) -> tuple[dict, np.ndarray]:
    """Write the three files of GSE96769 and the benchmark for 12 cells, 2 of them unlabelled."""
    values = counts(12, 5)
    names = [f"BM1077-CLP-Frozen-160106-{i}" for i in range(12)]
    line = "#\t" + ";".join(names) if first_line is None else first_line
    rows = [f"{p + 1}\t{c + 1}\t{int(values[c, p])}" for p in range(5) for c in range(12)]
    rows = [row for row in rows if not row.endswith("\t0")]
    files = {file.name: folder / file.name for file in dataset.card.files}
    text = {
        "GSE96769_scATACseq_counts.txt.gz": "\n".join([line, *rows]) + "\n",
        "GSE96769_PeakFile_20160207.bed.gz": "".join(
            f"chr{i}\t{i}00\t{i}500\t.\t1\t+\tpromoter\n" for i in range(1, 6)
        ),
    }
    for name, content in text.items():
        with gzip.open(folder / name, "wt") as stream:
            stream.write(content)
    # Another order than in the counts, as the files are joined by name.
    labels = [f"{name}\t{'CLP' if i % 2 else 'HSC'}" for i, name in enumerate(names)][:1:-1]
    (folder / "Buenrostro_2018_metadata.tsv").write_text("\n".join(["label", *labels]) + "\n")
    return files, values


def test_buenrostro_joins_labels_by_name(loader, tmp_path: Path):
    dataset = loader("buenrostro2018")
    files, values = buenrostro_files(dataset, tmp_path)
    adata = dataset.read(files)
    assert np.array_equal(adata.X.toarray(), values[2:])
    assert list(adata.obs["cell_type"]) == ["HSC", "CLP"] * 5
    assert list(adata.obs_names)[:2] == [f"BM1077-CLP-Frozen-160106-{i}" for i in (2, 3)]
    assert list(adata.var_names) == [f"chr{i}:{i}00-{i}500" for i in range(1, 6)]
    assert list(adata.uns["bench_notes"]) == [
        "2 of 12 cells dropped: 2 without a label in 'cell_type'"
    ]
    passes(adata, dataset.card)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("a;b;c", "unreadable"),
        ("#\ta;b", "size_mismatch"),
        ("#\t" + ";".join(f"x{i}" for i in range(12)), "unknown_cells"),
    ],
)
def test_buenrostro_files_that_do_not_fit_are_refused(
    loader, tmp_path: Path, line: str, code: str
):
    dataset = loader("buenrostro2018")
    files, _ = buenrostro_files(dataset, tmp_path, line)
    with pytest.raises(DataError) as error:
        dataset.read(files)
    assert error.value.code == code


def test_dropped_cells_are_a_warning_of_the_cached_dataset(
    loader, store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With the file in a folder of the user named like the set."""
    (tmp_path / "gm12878_hl").mkdir()
    labels = ["GM12878"] * 6 + ["HL60"] * 6 + ["Mixed"]
    scale_file(tmp_path / "gm12878_hl", labels, "GM12878vsHL.h5ad")
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    cached = store.load_dataset(loader("gm12878_hl"), "source", "gm12878_hl")
    assert cached.facts["warnings"][0].startswith("1 of 13 cells dropped: 1 labelled 'Mixed'")
    assert cached.facts["types"] == {"GM12878": 6, "HL60": 6}
    assert cached.info.n_cells == 12
