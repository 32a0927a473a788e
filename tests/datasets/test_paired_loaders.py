"""The loaders of paired sets, on small files in the documented formats."""

from __future__ import annotations

import gzip
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from anndata import AnnData

from bench.data.checks import check_counts
from bench.errors import DataError

PAIRED = [
    "pbmc_multiome", "snare_seq", "share_seq", "issaac", "neurips_multiome", "pairedtag",
    "scicar_a549",
]  # fmt: skip
KINDS = ["B", "T", "NK"] * 4
PEAKS = [f"chr{i}:{i}00-{i}50" for i in range(1, 7)]
NEURIPS = "GSE194122_openproblems_neurips2021_multiome_BMMC_processed.h5ad.gz"
GENES = ["ACTB", "CD3E", "MS4A1", "NKG7", "LYZ"]


def counts(n_cells: int, n_features: int, seed: int = 0) -> np.ndarray:
    """Small counts without an empty cell or feature."""
    values = np.random.default_rng(seed).poisson(0.7, (n_cells, n_features))
    values[:, 0] += 1
    values[0] += 1
    return values.astype(np.float32)


def passes(adata: AnnData, card) -> None:
    """Run the harness's own checks."""
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    check_counts(
        adata,
        where="test",
        label_key=card.label_key,
        batch_key=card.batch_key,
        modality=card.modality,
    )


def features(part: str) -> list[str]:
    return GENES if part == "rna" else PEAKS


def zipped(path: Path, text: str) -> Path:
    with gzip.open(path, "wt") as stream:
        stream.write(text)
    return path


@pytest.mark.parametrize("part", ["rna", "atac"])
@pytest.mark.parametrize("name", ["pbmc_multiome", "snare_seq", "pairedtag", "scicar_a549"])
def test_paired_files(name: str, part: str, loader, tmp_path: Path):
    dataset = loader(name, part=part)
    (file,) = dataset.card.files
    values = counts(12, len(features(part)))
    source = AnnData(sp.csr_matrix(values))
    source.obs_names = [f"AAACAGCC{'ACGT'[i % 4]}{i}-1" for i in range(12)]
    source.var_names = features(part)
    source.obs["domain"] = "scRNA-seq"
    source.obs["cell_type"] = pd.Categorical(KINDS)
    source.write_h5ad(tmp_path / file.name)
    adata = dataset.read({file.name: tmp_path / file.name})
    assert np.array_equal(adata.X.toarray(), values)
    assert list(adata.obs["cell_type"]) == KINDS
    assert list(adata.obs.columns) == ["cell_type"]
    assert list(adata.var_names) == features(part)
    assert list(adata.obs_names) == list(source.obs_names)
    passes(adata, dataset.card)


def share_files(folder: Path) -> tuple[dict[str, Path], np.ndarray, np.ndarray]:
    """Write the five files for 14 annotated cells (two Mix) and one without annotation."""
    rna, atac = counts(15, 5), counts(14, 6, seed=1)
    kinds = [*KINDS, "Mix", "Mix"]
    cells = [f"R1.0{i % 9 + 1},R2.{i + 10},R3.06,P1.55" for i in range(15)]
    dots = [name.replace(",", ".") for name in cells]
    order = [*range(14, 4, -1), *range(5)]  # the matrix is not in the order of the table
    head = "\t".join(["gene", *(cells[i] for i in order)])
    body = [
        "\t".join([gene, *(str(int(rna[i, g])) for i in order)]) for g, gene in enumerate(GENES)
    ]
    rows = [
        f"{name.replace('P1.55', 'P1.07')}\t{name}\t{kind}"
        for name, kind in zip(dots[:14], kinds, strict=True)
    ]
    text = {
        "GSM4156608_skin.late.anagen.rna.counts.txt.gz": "\n".join([head, *body]) + "\n",
        "GSM4156597_skin_celltype.txt.gz": "\n".join(["atac.bc\trna.bc\tcelltype", *rows]) + "\n",
        "GSM4156597_skin.late.anagen.barcodes.txt.gz": "\n".join(dots[:14]) + "\n",
        "GSM4156597_skin.late.anagen.peaks.bed.gz": "".join(
            name.replace(":", "\t").replace("-", "\t") + "\n" for name in PEAKS
        ),
    }
    files = {name: zipped(folder / name, content) for name, content in text.items()}
    scipy.io.mmwrite(folder / "counts.mtx", sp.coo_matrix(atac.T.astype(int)))
    name = "GSM4156597_skin.late.anagen.counts.txt.gz"
    files[name] = zipped(folder / name, (folder / "counts.mtx").read_text())
    return files, rna, atac


@pytest.mark.parametrize("part", ["rna", "atac"])
def test_share_seq_joins_by_barcode_in_both_spellings(part: str, loader, tmp_path: Path):
    files, rna, atac = share_files(tmp_path)
    dataset = loader("share_seq", part=part)
    adata = dataset.read({file.name: files[file.name] for file in dataset.card.files})
    assert np.array_equal(adata.X.toarray(), (rna if part == "rna" else atac)[:12])
    assert list(adata.obs["cell_type"]) == KINDS
    assert list(adata.var_names) == features(part)
    assert adata.obs_names[0] == "R1.01.R2.10.R3.06.P1.55"
    assert list(adata.uns["bench_notes"]) == [
        "2 of 14 cells dropped: 2 labelled 'Mix' in 'cell_type'"
    ]
    passes(adata, dataset.card)


def test_share_seq_refuses_a_table_of_other_cells(loader, tmp_path: Path):
    files, _, _ = share_files(tmp_path)
    name = "GSM4156597_skin_celltype.txt.gz"
    zipped(files[name], "atac.bc\trna.bc\tcelltype\na\tx.1\tB\nb\tx.2\tT\n")
    with pytest.raises(DataError) as error:
        loader("share_seq", part="rna").read(files)
    assert error.value.code == "unknown_cells"


@pytest.mark.parametrize("part", ["rna", "atac"])
def test_issaac_takes_names_from_the_documented_columns(part: str, loader, tmp_path: Path):
    dataset = loader("issaac", part=part)
    (file,) = dataset.card.files
    values = counts(12, len(features(part)))
    source = AnnData(values)  # dense, as distributed
    source.obs["cell"] = [f"cell{i}-1" for i in range(12)]
    source.obs["cell_type"] = KINDS
    key = "gene" if part == "rna" else "peak"
    source.var[key] = [name.replace(":", "-") for name in features(part)]
    source.write_h5ad(tmp_path / file.name)
    adata = dataset.read({file.name: tmp_path / file.name})
    assert np.array_equal(adata.X.toarray(), values)
    assert list(adata.var_names) == features(part)
    assert list(adata.obs_names) == list(source.obs["cell"])
    assert list(adata.obs["cell_type"]) == KINDS
    passes(adata, dataset.card)


def neurips_file(folder: Path, layer: str = "counts") -> tuple[Path, np.ndarray]:
    """Write the file of the competition: both parts side by side, counts in a layer."""
    values = counts(12, 11)
    both = AnnData(sp.csr_matrix(np.log1p(values)))
    both.layers[layer] = sp.csr_matrix(values)
    both.obs_names = [f"AAACAGCCAAGCTTA{i}-1-s1d1" for i in range(12)]
    both.var_names = [*GENES, *(name.replace(":", "-") for name in PEAKS)]
    both.var["feature_types"] = pd.Categorical(["GEX"] * 5 + ["ATAC"] * 6)
    both.obs["cell_type"] = pd.Categorical(KINDS)
    both.obs["batch"] = pd.Categorical(["s1d1", "s1d2"] * 6)
    both.write_h5ad(folder / "plain.h5ad")
    path = folder / NEURIPS
    with gzip.open(path, "wb") as stream:
        stream.write((folder / "plain.h5ad").read_bytes())
    return path, values


@pytest.mark.parametrize("part", ["rna", "atac"])
def test_neurips_multiome_splits_the_file_and_leaves_nothing_behind(
    part: str, loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bench.datasets._paired_sets._BLOCK", 5)
    path, values = neurips_file(tmp_path)
    dataset = loader("neurips_multiome", part=part)
    adata = dataset.read({path.name: path})
    assert np.array_equal(adata.X.toarray(), values[:, :5] if part == "rna" else values[:, 5:])
    assert list(adata.var_names) == features(part)
    assert list(adata.obs["cell_type"]) == KINDS
    assert list(adata.obs["batch"]) == ["s1d1", "s1d2"] * 6
    assert list((tmp_path / "cache").iterdir()) == []
    passes(adata, dataset.card)


def test_a_neurips_file_without_counts_or_cut_short_is_refused(loader, tmp_path: Path):
    path, _ = neurips_file(tmp_path, layer="other")
    dataset = loader("neurips_multiome", part="rna")
    with pytest.raises(DataError) as error:
        dataset.read({path.name: path})
    assert error.value.code == "unreadable"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError) as error:
        dataset.read({path.name: path})
    assert error.value.code == "damaged_archive"
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("named", [False, True])
def test_citeseq_cbmc_keeps_raw_proteins_beside_the_genes(named: bool, loader, tmp_path: Path):
    rna, adt = counts(12, 5), counts(12, 3, seed=1)
    dataset = loader("citeseq_cbmc")
    (file,) = dataset.card.files
    with h5py.File(tmp_path / file.name, "w") as target:
        target["X1"], target["X2"] = rna.astype(float), adt.astype(float)
        target["Y"] = np.arange(12) % 3 + 1.0
        if named:
            target["Genes"] = np.array([gene.encode() for gene in GENES])
            target["ADT"] = np.array([b"CD3", b"CD4", b"CD8"])
    adata = dataset.read({file.name: tmp_path / file.name})
    assert np.array_equal(adata.X.toarray(), rna)
    assert np.array_equal(adata.obsm["ADT"].to_numpy(), adt)
    assert list(adata.obsm["ADT"].index) == list(adata.obs_names)
    assert list(adata.obs["cell_type"]) == ["1", "2", "3"] * 4
    assert list(adata.var_names) == (GENES if named else [f"gene_{i}" for i in range(5)])
    expected = ["CD3", "CD4", "CD8"] if named else [f"protein_{i}" for i in range(3)]
    assert list(adata.obsm["ADT"].columns) == expected
    passes(adata, dataset.card)


def test_a_citeseq_file_without_proteins_is_refused(loader, tmp_path: Path):
    dataset = loader("citeseq_cbmc")
    (file,) = dataset.card.files
    with h5py.File(tmp_path / file.name, "w") as target:
        target["X1"], target["Y"] = counts(12, 5), np.arange(12)
    with pytest.raises(DataError) as error:
        dataset.read({file.name: tmp_path / file.name})
    assert error.value.code == "unreadable"


@pytest.mark.parametrize("name", PAIRED)
def test_the_card_follows_the_part(name: str, loader):
    rna, atac, both = loader(name, part="rna"), loader(name, part="atac"), loader(name)
    assert (rna.card.modality, atac.card.modality) == ("rna", "atac")
    assert both.card == type(both).card  # lists show the default
    assert rna.card.n_features + atac.card.n_features == both.card.n_features
    assert {*rna.card.files, *atac.card.files} <= {*both.card.files}
    differing = {"modality", "n_features", "files"}
    for field in fields(rna.card):
        if field.name not in differing:
            assert getattr(rna.card, field.name) == getattr(atac.card, field.name)
