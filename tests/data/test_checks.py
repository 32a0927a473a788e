from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import psutil
import pytest
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import RNA, DatasetInfo
from bench.data.checks import check_counts, memory_warnings
from bench.errors import DataError
from bench.prepare import blocks

FORMS = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": lambda x: np.asarray(x.toarray())}


def check(adata: AnnData, *, batch_key: str | None = None, modality: str = "rna") -> list[str]:
    checked = check_counts(
        adata, where="some.h5ad", label_key="cell_type", batch_key=batch_key, modality=modality
    )
    return checked.warnings


def error_of(adata: AnnData, **more: str) -> DataError:
    with pytest.raises(DataError) as error:
        check(adata, **more)
    assert str(error.value).startswith("some.h5ad: ")
    assert "\n" not in str(error.value)
    return error.value


def fault(adata: AnnData, **more: str) -> str:
    """Return the code of the error."""
    return error_of(adata, **more).code


@pytest.fixture(params=FORMS)
def counts(request: pytest.FixtureRequest, toy_counts: AnnData) -> AnnData:
    adata = toy_counts.copy()
    adata.X = FORMS[request.param](adata.X)
    return adata


def spoil(adata: AnnData, value: float) -> AnnData:
    """Write a value over the last one that is stored, so that all must be looked at."""
    if sp.issparse(adata.X):
        adata.X.data[-1] = value
    else:
        adata.X[-1, -1] = value
    return adata


def test_counts_pass_and_stay_unchanged(counts: AnnData):
    before = counts.copy()
    assert check(counts) == []
    assert type(counts.X) is type(before.X)
    assert np.array_equal(np.asarray(counts.X.sum(axis=0)), np.asarray(before.X.sum(axis=0)))


@pytest.mark.parametrize("dtype", ["int64", "uint16", "float64", "bool"])
def test_counts_of_any_numeric_type_pass(counts: AnnData, dtype: str):
    counts.X = counts.X.astype(dtype)
    assert check(counts) == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (np.nan, "not_finite"),
        (np.inf, "not_finite"),
        (-2.0, "negative_values"),
        (0.6931, "not_counts"),
    ],
)
def test_values_that_are_no_counts(counts: AnnData, value: float, code: str):
    assert fault(spoil(counts, value)) == code


def test_negative_integers(counts: AnnData):
    counts.X = counts.X.astype("int32")
    assert fault(spoil(counts, -1)) == "negative_values"


@pytest.mark.parametrize("where", ["counts", "other", "raw", "nowhere"])
def test_log_normalised_values_say_where_counts_are(counts: AnnData, where: str):
    whole = counts.X.copy()
    if where == "raw":
        counts.raw = counts.copy()
    counts.X = counts.X * 0.37
    counts.layers["a_logged"] = counts.X.copy()
    if where in ("counts", "other"):
        counts.layers["b_other"] = whole
    if where == "counts":
        counts.layers["counts"] = whole
    fix = {
        "counts": "pass layer=counts",
        "other": "pass layer=b_other",
        "raw": "pass layer=raw",
        "nowhere": "No layer holds whole numbers: save the file with counts in X",
    }
    error = error_of(counts)
    assert error.code == "not_counts"
    assert fix[where] in str(error)


def test_all_zeros_and_no_matrix(counts: AnnData):
    counts.X = counts.X * 0
    assert fault(counts) == "no_counts"
    counts.X = None
    assert fault(counts) == "no_counts"


@pytest.mark.parametrize("values", [np.full((60, 40), "3"), np.full((60, 40), 3, dtype=object)])
def test_text_and_objects(toy_counts: AnnData, values: np.ndarray):
    adata = toy_counts.copy()
    adata.X = values
    assert fault(adata) == "not_a_number"


@pytest.mark.parametrize("keep", [(slice(0, 0), slice(None)), (slice(None), slice(0, 0))])
def test_no_cells_and_no_features(counts: AnnData, keep: tuple[slice, slice]):
    assert fault(counts[keep].copy()) == "no_counts"


@pytest.mark.parametrize("axis", ["obs", "var"])
@pytest.mark.filterwarnings("ignore:.*names are not unique")
def test_names(counts: AnnData, axis: str):
    names = list(getattr(counts, f"{axis}_names"))
    setattr(counts, f"{axis}_names", [*names[:-1], names[0]])
    assert fault(counts) == "duplicate_names"
    setattr(counts, f"{axis}_names", [*names[:-1], " "])
    assert fault(counts) == "missing_names"


def test_a_missing_label_column(counts: AnnData):
    counts.obs = counts.obs.rename(columns={"cell_type": "celltype"})
    assert fault(counts) == "missing_column"


@pytest.mark.parametrize("gap", [None, np.nan, "", "  "])
@pytest.mark.parametrize("categorical", [False, True])
@pytest.mark.parametrize("what", ["label", "batch"])
def test_gaps(counts: AnnData, gap: object, categorical: bool, what: str):
    column = pd.Series(list(counts.obs["cell_type"]), counts.obs_names, dtype=object)
    column.iloc[[3, 7]] = gap
    name = "cell_type" if what == "label" else "batch"
    counts.obs[name] = column.astype("category") if categorical else column
    error = error_of(counts, **({"batch_key": "batch"} if what == "batch" else {}))
    assert error.code == "missing_values"
    assert f"2 of 60 cells have no {what} in column '{name}'" in str(error)


def test_a_missing_batch_column(counts: AnnData):
    assert fault(counts, batch_key="donor") == "missing_column"


def test_types(counts: AnnData):
    counts.obs["cell_type"] = "a"
    assert fault(counts) == "single_type"
    counts.obs["cell_type"] = list(counts.obs_names)
    assert fault(counts) == "too_few_cells"
    counts.obs["cell_type"] = np.arange(60) % 2
    assert check(counts) == []
    assert fault(counts[:9].copy()) == "too_few_cells"


BARCODES = ["ACGTACGTACGTAC" + "".join("ACGT"[i // 4**n % 4] for n in range(4)) for i in range(60)]
SYMBOLS = ["Actb", "Gapdh", "Malat1", "B2m", *(f"Gene{i}" for i in range(56))]


@pytest.mark.parametrize(
    ("cells", "features"),
    [
        (SYMBOLS, [f"c{i}" for i in range(40)]),
        ([f"ENSMUSG{i:011d}.1" for i in range(60)], [f"c{i}" for i in range(40)]),
        ([f"chr1:{i}00-{i}50" for i in range(60)], [f"c{i}" for i in range(40)]),
        ([f"chr1_{i}00_{i}50" for i in range(60)], [f"{b}-1" for b in BARCODES[:40]]),
        ([f"G{i}" for i in range(60)], BARCODES[:40]),
    ],
    ids=["symbols", "ensembl", "peaks", "peaks-barcodes", "barcodes"],
)
def test_transposed(toy_counts: AnnData, cells: list[str], features: list[str]):
    adata = toy_counts.copy()
    adata.obs_names, adata.var_names = cells, features
    assert fault(adata) == "transposed"
    adata = toy_counts[:40].copy()
    adata.obs_names, adata.var_names = features, cells[:40]
    assert check(adata) in ([], [PEAKS_ARE_ODD])


WELLS = ("plate_a_1_{i}", "{a:02d}_{b:02d}_{i:02d}", "{a}_{b}_{i}", "P{b}-1-{i}", "X{a}_{b}_{i}",
         "GSM1234567_10_{i}", "plate1:{a}_{i}", "run_2_{a}_{i}", "S1.{a}.{i}")  # fmt: skip


@pytest.mark.parametrize("form", WELLS)
def test_wells_of_plates_are_no_intervals(toy_counts: AnnData, form: str):
    adata = toy_counts.copy()
    adata.obs_names = [form.format(a=i % 48 + 1, b=i // 8 + 1, i=i + 2) for i in range(60)]
    assert check(adata) == []


def test_what_the_user_says_of_the_orientation_has_the_last_word(toy_counts: AnnData):
    adata = toy_counts.copy()
    adata.obs_names = [f"chr1:{i}00-{i}50" for i in range(60)]
    assert fault(adata) == "transposed"
    report = check_counts(
        adata, where="x", label_key="cell_type", batch_key=None, modality="rna",
        orientation_given=True,
    )  # fmt: skip
    assert report.warnings == []


PEAKS_ARE_ODD = "some.h5ad: features are named like genome intervals, but modality is rna."


def test_odd_but_usable(counts: AnnData):
    types = counts.obs["cell_type"].astype(str).to_numpy(dtype=object)
    types[0], types[1], types[2:5] = "alone", "a ", "Unknown"
    counts.obs["cell_type"] = types
    dense = counts.X.toarray() if sp.issparse(counts.X) else counts.X
    dense[[8, 9]] = 0
    counts.X = type(counts.X)(dense) if sp.issparse(counts.X) else dense
    assert check(counts) == [
        "some.h5ad: 3 types have fewer than 5 cells ('a ' 1, 'alone' 1, 'Unknown' 3); scores of "
        "single types rest on very few cells.",
        "some.h5ad: some types differ only in spaces at the ends of their names.",
        "some.h5ad: 3 cells are of a type named 'Unknown'; if that means no label, remove them.",
        "some.h5ad: 2 cells have no counts at all.",
    ]


def test_odd_batches(counts: AnnData):
    counts.obs["batch"] = "one"
    assert "one batch only ('one')" in check(counts, batch_key="batch")[0]
    counts.obs["batch"] = counts.obs["cell_type"].to_numpy()
    assert "cannot be separated" in check(counts, batch_key="batch")[0]
    counts.obs["batch"] = np.arange(60) % 2
    assert check(counts, batch_key="batch") == []


def test_peaks_in_rna(counts: AnnData):
    counts.var_names = [f"chr1:{i}00-{i}50" for i in range(40)]
    assert check(counts) == [PEAKS_ARE_ODD]
    assert check(counts, modality="atac") == []


def test_views_pass(counts: AnnData):
    assert check(counts[::2, 5:]) == []


def test_the_count_of_bad_values_is_that_of_the_whole_matrix(
    counts: AnnData, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(blocks, "ENTRIES", 100)
    counts.X = counts.X.astype("float64")
    flat = counts.X.data if sp.issparse(counts.X) else counts.X.reshape(-1)
    flat[[0, flat.size // 2, -1]] = np.nan
    assert "3 NaN or infinite" in str(error_of(counts))
    flat[[0, flat.size // 2, -1]] = [0.5, -1, -7]
    assert "smallest -7" in str(error_of(counts))


@pytest.mark.parametrize("form", FORMS)
def test_backed_counts_are_checked_from_the_disk(
    toy_counts: AnnData, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(blocks, "ENTRIES", 100)
    adata = toy_counts.copy()
    adata.X = FORMS[form](adata.X.multiply(np.arange(60)[:, None] > 1).tocsr())
    adata.write_h5ad(tmp_path / "good.h5ad")
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X * 0.3
    adata.write_h5ad(tmp_path / "bad.h5ad")
    backed = anndata.read_h5ad(tmp_path / "good.h5ad", backed="r")
    assert check(backed) == ["some.h5ad: 2 cells have no counts at all."]
    backed.file.close()
    backed = anndata.read_h5ad(tmp_path / "bad.h5ad", backed="r")
    error = error_of(backed)
    backed.file.close()
    assert error.code == "not_counts"
    assert "pass layer=counts" in str(error)


def test_a_warning_of_too_little_memory(monkeypatch: pytest.MonkeyPatch):
    info = DatasetInfo("x", RNA, 10**6, 28_000, False, True, False, 1000.0, 0.03)
    there = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: there._replace(available=10 * 2**30))
    (line,) = memory_warnings(info)
    assert "7.5 GiB of memory as a scaled matrix of 2000 features and 6.3 GiB as counts" in line
    assert "10.0 GiB are available" in line
    assert memory_warnings(replace(info, n_cells=10**5)) == []
