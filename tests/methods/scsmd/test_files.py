"""scSMD on files: the formats its users had, and everything it hands out."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from anndata import AnnData, read_h5ad

from bench.apply.fit_file import FileFit, FitOptions, fit_file
from bench.settings import load_settings

SHORT = "deepscena[pretrain_epochs=2,max_epochs=2,pair_epochs=2,batch_size=16,n_top_genes=50]"
BARCODES = [f"AACGT{'ACGT'[i % 4]}{'ACGT'[i // 4 % 4]}{'ACGT'[i // 16]}-1" for i in range(40)]
SYMBOLS = [f"Gene{number}" for number in range(60)]


@pytest.fixture
def counts() -> np.ndarray:
    rng = np.random.default_rng(0)
    high = np.arange(40)[:, None] % 3 == np.arange(60)[None, :] % 3
    return rng.poisson(np.where(high, 6.0, 0.5))


def write(counts: np.ndarray, kind: str, folder: Path) -> Path:
    if kind == "h5ad":
        adata = AnnData(sp.csr_matrix(counts.astype(np.float32)))
        adata.obs_names, adata.var_names = BARCODES, SYMBOLS
        adata.write_h5ad(folder / "liver.h5ad")
        return folder / "liver.h5ad"
    if kind == "10x":
        path = folder / "liver"
        path.mkdir()
        with gzip.open(path / "matrix.mtx.gz", "wb") as file:
            scipy.io.mmwrite(file, sp.coo_matrix(counts.T))
        genes = [f"ENSG{n:011d}\t{name}\tGene Expression\n" for n, name in enumerate(SYMBOLS)]
        for name, lines in (
            ("barcodes.tsv.gz", [f"{barcode}\n" for barcode in BARCODES]),
            ("features.tsv.gz", genes),
        ):
            with gzip.open(path / name, "wt") as text:
                text.writelines(lines)
        return path
    separator = {"csv": ",", "txt": "\t"}[kind]
    path = folder / f"liver.{kind}"
    pd.DataFrame(counts.T, SYMBOLS, BARCODES).to_csv(path, sep=separator)
    return path


def fit(path: Path, out: Path) -> FileFit:
    params = {"transpose": True} if path.suffix in (".csv", ".txt") else {}
    settings = load_settings({"seeds": "0,"})
    options = FitOptions(n_clusters=3, umap=False)
    return fit_file(SHORT, path, params=params, settings=settings, out=out, options=options)


@pytest.mark.parametrize("kind", ["csv", "txt", "10x", "h5ad"])
@pytest.mark.slow
def test_codes_and_clusters_by_barcode_from_each_format(
    kind: str, counts: np.ndarray, tmp_path: Path
):
    out = tmp_path / "out"
    done = fit(write(counts, kind, tmp_path), out)
    codes = pd.read_csv(out / "liver_uspace.csv", index_col="cell")
    clusters = pd.read_csv(out / "liver_clusters.csv", index_col="cell")
    assert list(codes.index) == list(clusters.index) == BARCODES
    result = read_h5ad(out / "result.h5ad")
    np.testing.assert_allclose(codes, result.obsm["X_deepscena"], rtol=1e-4, atol=1e-5)
    assert list(clusters.columns) == ["fuzzy", "assigned"]
    for name in clusters:
        assert (clusters[name].astype(str) == result.obs[f"{name}_deepscena"]).all()
    assert {"liver_uspace.csv", "liver_clusters.csv"} <= set(done.files)


@pytest.mark.slow
def test_all_that_it_hands_out(counts: np.ndarray, tmp_path: Path):
    out = tmp_path / "out"
    fit(write(counts, "h5ad", tmp_path), out)
    result = read_h5ad(out / "result.h5ad")
    clusters = pd.read_csv(out / "liver_clusters.csv", index_col="cell")
    codes = pd.read_csv(out / "liver_uspace.csv", index_col="cell").to_numpy()
    centres = pd.read_csv(out / "centres.csv", index_col="cluster").to_numpy()
    assert codes.shape == (40, 10)
    assert centres.shape == (3, 10)
    # Memberships are those of the codes and the centres; clusters the largest of each.
    memberships = pd.read_csv(out / "memberships.csv", index_col="cell")
    distances = ((codes[:, None] - centres[None]) ** 2).sum(axis=2)
    expected = distances**-2 / (distances**-2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(memberships, expected, rtol=1e-2, atol=1e-4)
    assignment = pd.read_csv(out / "assignment.csv", index_col="cell")
    np.testing.assert_allclose(assignment.sum(axis=1), 1, rtol=1e-4)
    assert (assignment.idxmax(axis=1) == clusters["assigned"]).all()
    for name, table in {"memberships": memberships, "assignment": assignment}.items():
        np.testing.assert_allclose(result.obsm[name], table, rtol=1e-4, atol=1e-6)
    curves = pd.read_csv(out / "curves.csv").groupby("curve")["step"].apply(list)
    assert set(curves.index) == {
        "pretrain_loss", "cluster_loss", "cluster_changed", "pair_loss", "pair_usage",
        "pair_changed",
    }  # fmt: skip
    assert all(steps == [1, 2] for steps in curves)
    denoised = pd.read_csv(out / "imputed.csv.gz", index_col="cell")
    assert denoised.shape == (40, 50)
    assert (denoised > 0).all(axis=None)
    np.testing.assert_allclose(denoised, read_h5ad(out / "imputed.h5ad").X, rtol=1e-2)
