from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from bench.errors import BenchError
from bench.methods.sakura.guidance_file import read_knowledge
from bench.methods.sakura.guidance_sources import half_scores, held_out_half, peaks_in, read_bulk
from bench.methods.sakura.method import Sakura


def counts(genes: list[str], n_cells: int = 4, *, first: float = 1.0) -> AnnData:
    values = np.arange(n_cells * len(genes), dtype=np.float32).reshape(n_cells, -1) + first
    adata = AnnData(sp.csr_matrix(values))
    adata.obs_names = [f"cell{n}" for n in range(n_cells)]
    adata.var_names = genes
    return adata


def test_bulk_profiles_are_normalised_over_all_their_genes(tmp_path: Path, caplog):
    caplog.set_level("INFO", logger="bench")
    path = tmp_path / "bulk.tsv"
    path.write_text("gene\tliver\tlung\nA\t1\t0\nB\t3\t5\nC\t6\t5\n")
    rows = read_bulk(path, ["C", "A", "Z"], weight=2.0, target_sum=10)
    assert (rows.names, rows.features, rows.weight) == (("liver", "lung"), ("A", "C"), 2.0)
    assert rows.values == pytest.approx(np.log1p([[1, 6], [0, 5]]), rel=1e-6)
    assert "bulk.tsv: 2 profiles, 2 of 3 genes" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("g\ts\nA\t-1\n", "missing, negative or no numbers"),
        ("g\ts\nA\tx\n", "missing, negative or no numbers"),
        ("g\ts\nA\t0\n", "sample 's' has no counts at all"),
        ("g\ts\nA\t1\nA\t2\n", "gene 'A' has several rows"),
        ("g\ts\nQ\t1\n", r"none of its 1 genes \(such as 'Q'\) is among the 1 features"),
    ],
)
def test_a_bulk_table_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, said: str):
    path = tmp_path / "bulk.tsv"
    path.write_text(text)
    with pytest.raises(BenchError, match=said):
        read_bulk(path, ["A"])


def test_peaks_are_found_by_half_open_overlap(tmp_path: Path, caplog):
    caplog.set_level("INFO", logger="bench")
    path = tmp_path / "set.bed"
    path.write_text("#x\nchr1\t100\t200\tone\nchr2\t0\t50\ttwo\nchr3\t1\t2\tthree\n")
    peaks = ["chr1:200-300", "chr1_150_160", "1-90-101", "chr2-50-60", "chr2:49-60", "chr1:1-100"]
    found = peaks_in(path, peaks)
    assert found == {"one": ("chr1_150_160", "1-90-101"), "two": ("chr2:49-60",)}
    assert "set.bed: 2 sets of peaks, 3 peaks; without a peak: three" in caplog.text
    path.write_text("chr9\t1\t2\n")
    with pytest.raises(BenchError, match="none of the 6 peaks"):
        peaks_in(path, peaks)
    with pytest.raises(BenchError, match="feature 'CD4' is no interval"):
        peaks_in(path, ["CD4"])
    path.write_text("chr9 1 2\n")
    with pytest.raises(BenchError, match="line 1: expected chromosome, start and end"):
        peaks_in(path, peaks)


def test_halves_are_disjoint_and_seeded():
    genes = tuple("ABCDE")
    half = held_out_half("x", genes, 0)
    assert len(half) == 2
    assert set(half) < set(genes)
    assert half == held_out_half("x", genes, 0)
    assert len({held_out_half("x", genes, seed) for seed in range(20)}) > 3
    with pytest.raises(BenchError, match="no two halves"):
        held_out_half("x", ("A",), 0)
    data = counts(["A", "B", "C"])
    scores = half_scores(data, {"x": ("A", "C"), "y": ("B",)})
    assert scores[:2].tolist() == [[2, 2], [5, 5]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lists.gmt").write_text("T\t\tg3\tg4\n")
    (tmp_path / "bulk.tsv").write_text("gene\tone\ng1\t5\ng2\t5\n")
    (tmp_path / "k.yaml").write_text(
        "signatures:\n"
        "  rare: {genes: [g1, g2, g5, g6], hold_out_half: 3, space: own, dim: 2}\n"
        "marker_lists: lists.gmt\n"
        "phenotypes:\n"
        "  donor: {kind: categorical, keys: [donor], adversarial: 0.5, terms: {nll: 2}}\n"
        "invariant_genes: [g9]\n"
        "bulk: {file: bulk.tsv, weight: 5}\n"
    )
    return tmp_path


@pytest.fixture
def cells() -> AnnData:
    rng = np.random.default_rng(0)
    adata = AnnData(sp.csr_matrix(rng.poisson(2.0, (60, 20)).astype(np.float32)))
    adata.var_names = [f"g{n}" for n in range(20)]
    adata.obs_names = [f"c{n}" for n in range(60)]
    adata.obs["donor"] = np.array(["x", "y"])[np.arange(60) % 2]
    return adata


def test_a_file_of_knowledge_is_read(folder: Path, cells: AnnData, caplog):
    caplog.set_level("INFO", logger="bench")
    found = read_knowledge(folder / "k.yaml", cells)
    rare, lists = found.guidance.signatures
    assert (rare.space, rare.dim, len(rare.held_out), len(rare.targets)) == ("own", 2, 2, 2)
    assert (lists.name, lists.genes) == ("T", ("g3", "g4"))
    (donor,) = found.guidance.phenotypes
    assert (donor.adversarial.weight, donor.terms["nll"].weight) == (0.5, 2.0)
    assert found.guidance.invariant_genes == ("g9",)
    assert found.guidance.extra_rows.weight == 5
    assert list(found.values["donor"][:2]) == ["x", "y"]
    assert "signature 'rare': 2 of 4 are held out" in caplog.text


def test_a_file_of_knowledge_guides_a_fit(folder: Path, cells: AnnData):
    from bench.apply.estimator import Estimator

    params = Sakura.Params(max_epochs=2, n_latent=4, hidden=8, embedding="all")
    method = Sakura(params).from_config(folder / "k.yaml", cells)
    found = Estimator(method).fit(cells)
    assert found.embedding_.shape == (60, 6)
    assert found.fit_.notes["guides"] == "rare, T, invariant_genes, donor"
    assert "g9" not in method.model.inputs
    lines = method.describe()
    assert (
        "signature rare (2 genes, linear head on own (2), 2 more held out): score 1; mse 0.1"
        in lines
    )
    assert "further rows: 1, each with weight 5" in lines


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("genes: [g1", "genes: [g99", "k.yaml: signatures.rare.genes: gene 'g99' is not among"),
        ("genes: [g1", "gens: [g1", "k.yaml: signatures.rare.gens: unknown key. Did you mean"),
        ("keys: [donor]", "keys: [doner]", "no column 'doner'. Did you mean 'donor'?"),
        ("dim: 2", "dim: 0", "k.yaml: signatures.rare: signature 'rare': dim=0 is below 1"),
        ("nll", "mse", "k.yaml: phenotypes.donor: phenotype 'donor': terms: no loss 'mse'"),
        ("lists.gmt", "gone.gmt", "k.yaml: marker_lists: no such file"),
        ("bulk:", "bulks:", "k.yaml: bulks: unknown key. Did you mean 'bulk'?"),
    ],
)
def test_what_is_wrong_in_it_is_one_line(
    folder: Path, cells: AnnData, old: str, new: str, said: str
):
    path = folder / "k.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BenchError) as error:
        read_knowledge(path, cells)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_width_that_does_not_fit_is_one_line_with_the_file(folder: Path, cells: AnnData):
    path = folder / "k.yaml"
    path.write_text(path.read_text().replace("space: own, dim: 2", "space: main, dim: 2"))
    with pytest.raises(BenchError) as error:
        Sakura(Sakura.Params(n_latent=4)).from_config(path, cells)
    said = "k.yaml: signature 'rare': dim=2, but its space (main) has 4 dimensions."
    assert str(error.value).endswith(said)
    assert "\n" not in str(error.value)
