"""``bench ask`` and ``bench.ask``: input, output and errors."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pytest
from _advice import table
from _command import bench, bench_json, error_code

import bench as package
from bench.advice import recommendation
from bench.advice.evidence import LABEL_FREE
from bench.cli.main import load_verb
from bench.errors import UsageError
from bench.registry import datasets
from bench.settings import load_settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    return tmp_path


@pytest.fixture
def cells(toy_counts) -> anndata.AnnData:
    """Counts of 60 cells without labels, in two batches, counts also in a layer."""
    adata = anndata.AnnData(toy_counts.X.copy(), var=toy_counts.var)
    adata.obs_names = toy_counts.obs_names
    adata.obs["donor"] = np.repeat(["a", "b"], 30)
    adata.layers["raw_counts"] = adata.X.copy()
    adata.write_h5ad("my cells.h5ad")
    return adata


@pytest.fixture
def evidence(here: Path, monkeypatch: pytest.MonkeyPatch):
    """Put evidence in place of the packaged one."""

    def put(scores, **more) -> None:
        results, datasets = table(scores, **more)
        folder = here / "evidence"
        folder.mkdir()
        results.to_csv(folder / "results.csv", index=False)
        datasets.to_csv(folder / "datasets.csv", index=False)
        make = recommendation.read_evidence
        monkeypatch.setattr(
            recommendation, "read_evidence", lambda modality, _: make(modality, folder)
        )

    return put


ALWAYS_NMF = {"pca": [0.5, 0.4, 0.6, 0.5, 0.3, 0.5, 0.6], "nmf": [0.8] * 7}


def test_the_profile_of_an_unlabelled_file(cells: anndata.AnnData):
    one = bench_json("ask", "my cells.h5ad", "--batch-key", "donor")["profile"]
    assert (one["modality"], one["n_cells"], one["n_features"]) == ("rna", 60, 40)
    counts = cells.X.toarray()
    assert one["median_counts"] == np.median(counts.sum(axis=1))
    assert one["zeros"] == pytest.approx((counts == 0).mean(), abs=1e-4)
    assert one["n_batches"] == 2
    assert bench_json("ask", "my cells.h5ad")["profile"]["n_batches"] == 0
    layer = bench_json("ask", "my cells.h5ad", "--layer", "raw_counts")["profile"]
    assert layer["median_counts"] == one["median_counts"]
    assert bench_json("ask", "my cells.h5ad", "--modality", "atac")["method"] == "lsi"


def test_a_dataset_by_name_has_the_profile_of_its_file(here: Path):
    simulated = "sim_rna[n_cells=80,n_features=50,n_batches=2]"
    by_name = package.ask(simulated)
    cls = datasets().get("sim_rna")
    cls(cls.Params(n_cells=80, n_features=50, n_batches=2)).load().write_h5ad("same.h5ad")
    by_file = package.ask("same.h5ad", batch_key="batch")
    assert by_name.profile.has_counts_of(by_file.profile)
    assert by_name.profile.zeros == by_file.profile.zeros
    assert by_name.profile.n_batches == by_file.profile.n_batches == 2
    assert shlex.split(by_name.command) == ["bench", "run", "-m", "pca", "-d", simulated]


def test_paired_data_are_described_by_their_genes(here: Path):
    one = package.ask("sim_multiome[n_cells=60,n_genes=50,n_peaks=90]")
    assert (one.profile.modality, one.profile.n_features) == ("multiome", 50)
    assert one.method == "pca_lsi"


def test_labels_change_nothing(cells: anndata.AnnData, evidence):
    evidence(ALWAYS_NMF)
    without = package.ask("my cells.h5ad")
    cells.obs["cell_type"] = ["x", "y"] * 30
    cells.write_h5ad("my cells.h5ad")
    assert package.ask("my cells.h5ad") == without


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("scores", [ALWAYS_NMF, {"pca": [0.5] * 7, "nmf": [0.1] * 7}])
def test_the_page_fits_the_terminal(cells, evidence, columns: str, scores):
    evidence(scores, label_free=dict.fromkeys(LABEL_FREE, scores))
    result = bench("ask", "my cells.h5ad", COLUMNS=columns)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= int(columns)
    found = bench_json("ask", "my cells.h5ad")
    assert f"Use {found['method']}." in result.stdout
    assert found["command"] in result.stdout
    assert all(one["dataset"] in result.stdout for one in found["nearest"])
    names = [one["rule"].removeprefix("label_free:") for one in found["errors"]["rules"]]
    assert all(f"\n {name} " in result.stdout for name in names)


def test_json_holds_what_python_returns(cells, evidence):
    evidence(ALWAYS_NMF)
    told = json.loads(bench("ask", "my cells.h5ad", "--json").stdout, parse_constant=pytest.fail)
    found = package.ask("my cells.h5ad")
    assert (told["method"], told["reason"], told["n_sets"]) == ("nmf", "rule", 7)
    assert (found.method, found.reason, found.n_sets) == ("nmf", "rule", 7)
    assert told["errors"]["choice"]["n_close"] == 7
    assert found.cost is not None
    assert told["cost"]["seconds"] == found.cost.seconds == 2.0


def test_the_command_fits_the_advised_method(cells, evidence):
    evidence(ALWAYS_NMF)
    words = shlex.split(
        bench_json("ask", "my cells.h5ad", "--batch-key", "donor", "--no-transpose")["command"]
    )
    assert words[:4] == ["bench", "fit", "nmf", "my cells.h5ad"]
    context = load_verb("fit").make_context("fit", words[2:])
    assert context.params["batch_key"] == "donor"
    assert context.params["transpose"] is False


def test_a_modality_without_a_baseline(monkeypatch: pytest.MonkeyPatch):
    protein = SimpleNamespace(modality="protein")
    monkeypatch.setattr(recommendation, "read_profile", lambda *_: protein)
    with pytest.raises(UsageError) as error:
        recommendation.ask_with("x.h5ad", load_settings({}), {})
    assert error.value.code == "wrong_modality"


def write_bad(folder: Path) -> None:
    (folder / "broken.h5ad").write_bytes(b"not HDF5")
    (folder / "page.html").write_text("<p>")
    scaled = anndata.AnnData(np.random.default_rng(0).normal(size=(20, 9)).astype("float32"))
    scaled.write_h5ad(folder / "scaled.h5ad")


@pytest.mark.parametrize(
    ("words", "name", "code"),
    [
        (["no_such.h5ad"], "no_such.h5ad", "missing_file"),
        (["broken.h5ad"], "broken.h5ad", "unreadable"),
        (["page.html"], "page.html", "unknown_format"),
        (["scaled.h5ad"], "scaled.h5ad", "negative_values"),
        (["my cells.h5ad", "--modality", "protein"], "my cells.h5ad", "invalid_value"),
        (["my cells.h5ad", "--batch-key", "plate"], "my cells.h5ad", "missing_column"),
        (["my cells.h5ad", "--layer", "spliced"], "my cells.h5ad", "unknown_layer"),
        (["sim_rnaa"], "sim_rnaa", "unknown_name"),
        (["sim_rna", "--batch-key", "batch"], "sim_rna", "not_supported"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(here: Path, cells, words, name: str, code: str):
    write_bad(here)
    result = bench("ask", *words)
    assert result.exit_code == 2
    assert error_code(result) == code
    lines = [line for line in result.stderr.splitlines() if line.startswith("bench: ")]
    assert len(lines) == 1
    assert name in lines[0]
    assert "Traceback" not in result.output
    assert result.stdout == ""
