"""Options in messages: flags of the present verb, else what bench.run takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from anndata import AnnData
from typer.testing import CliRunner

from bench.cli.main import app
from bench.messages import did_you_mean, named_options, option_hint


def test_flags_of_the_verb_and_brackets_in_python():
    path = Path("a/x.h5")
    assert option_hint(path, part="atac") == "'x.h5[part=atac]'"
    assert option_hint(path, transpose=False) == "'x.h5[transpose=false]'"
    assert option_hint("data", label_key="COLUMN") == "label_key='COLUMN'"
    with named_options({"part", "transpose", "label_key"}):
        assert option_hint(path, part="atac", label_key="louvain") == (
            "--part atac --label-key louvain"
        )
        assert option_hint(path, transpose=True) == "--transpose"
        assert option_hint(path, transpose=False) == "--no-transpose"
        assert option_hint(path, modality="rna") == "'x.h5[modality=rna]'"
    assert option_hint(path, part="atac") == "'x.h5[part=atac]'"


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (["run", "-m", "pca", "-d", "x.h5ad", "--results", "results"], "'x.h5ad[transpose=true]'"),
        (["fit", "pca", "x.h5ad"], "--transpose"),
    ],
)
def test_a_message_in_the_shell_names_its_own_options(
    toy_counts: AnnData, tmp_path: Path, monkeypatch, command, hint
):
    swapped = toy_counts.T.copy()
    swapped.obs_names = [f"ENSG{number:011d}" for number in range(swapped.n_obs)]
    swapped.write_h5ad(tmp_path / "x.h5ad")
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 2
    assert hint in " ".join(found.output.split())


def test_thousands_of_names_are_not_listed():
    known = [f"cell{number}" for number in range(2000)]
    assert did_you_mean("nobody", known) == ""
    assert did_you_mean("cell17x", known).startswith(" Did you mean 'cell17")
    assert did_you_mean("x", ["pca", "vae"]) == " Known: pca, vae."
