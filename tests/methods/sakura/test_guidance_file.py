"""A YAML file of guidance: translation, errors, and a fit by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from bench.errors import UsageError
from bench.methods.sakura.guidance_file import read_guidance
from bench.methods.sakura.method import Sakura


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


def test_a_file_of_guidance_is_translated(folder: Path, cells: AnnData, caplog):
    caplog.set_level("INFO", logger="bench")
    guidance, values = read_guidance(folder / "k.yaml", cells, n_latent=4)
    rare, lists = guidance.signatures
    assert (rare.space, rare.dim, len(rare.held_out), len(rare.targets)) == ("own", 2, 2, 2)
    assert (lists.name, lists.genes) == ("T", ("g3", "g4"))
    (donor,) = guidance.phenotypes
    assert (donor.adversarial.weight, donor.terms["nll"].weight) == (0.5, 2.0)
    assert guidance.invariant_genes == ("g9",)
    assert guidance.extra_rows.weight == 5
    assert list(values["donor"][:2]) == ["x", "y"]
    assert "signature 'rare': 2 of 4 are held out" in caplog.text


def test_a_file_of_guidance_guides_a_fit(folder: Path, cells: AnnData):
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
    ("old", "new", "place", "code"),
    [
        ("genes: [g1", "genes: [g99", "signatures.rare.genes", "unknown_gene"),
        ("genes: [g1", "peaks: [g1], genes: [g1", "signatures.rare", "invalid_value"),
        ("genes: [g1", "gens: [g1", "signatures.rare.gens", "unknown_key"),
        ("keys: [donor]", "keys: [doner]", "phenotype 'donor'", "unknown_column"),
        ("dim: 2", "dim: 0", "signatures.rare: dim", "invalid_value"),
        ("space: own, dim: 2", "space: main, dim: 2", "signature 'rare'", "wrong_width"),
        ("nll", "mse", "phenotypes.donor: terms", "unknown_name"),
        ("lists.gmt", "gone.gmt", "marker_lists", "missing_file"),
        ("bulk:", "bulks:", "bulks", "unknown_key"),
    ],
)
def test_an_error_in_it_is_one_line_with_file_and_key(
    folder: Path, cells: AnnData, old: str, new: str, place: str, code: str
):
    path = folder / "k.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UsageError) as error:
        Sakura(Sakura.Params(n_latent=4)).from_config(path, cells)
    assert error.value.code == code
    assert str(error.value).startswith(f"{path}: {place}: ")
    assert "\n" not in str(error.value)
