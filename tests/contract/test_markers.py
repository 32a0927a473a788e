from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bench.contract import keep_known_genes, read_markers
from bench.data import marker_lists as _markers
from bench.data.card import dataset_card
from bench.errors import BenchError
from bench.registry import datasets


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.yaml", "T: [CD3D, CD3E]\nB: [MS4A1]\n"),
        ("x.json", '{"source": "a paper", "lists": {"T": ["CD3D", "CD3E"], "B": ["MS4A1"]}}'),
        ("x.json", '{"T": {"signature_list": ["CD3D", "CD3E"], "remarks": ""}, "B": ["MS4A1"]}'),
        ("x.gmt", "T\tcells\tCD3D\tCD3E\nB\t\tMS4A1\n"),
    ],
)
def test_all_formats_give_the_same_lists(tmp_path: Path, name: str, text: str):
    path = tmp_path / name
    path.write_text(text)
    assert read_markers(path).lists == {"T": ("CD3D", "CD3E"), "B": ("MS4A1",)}


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("x.txt", "T", "unknown_format"),
        ("x.yaml", "T: [NO, CD4]\n", "invalid_markers"),
        ("x.yaml", "T: CD4\n", "invalid_markers"),
        ("x.yaml", "T: {a: " + "x" * 99 + "}", "invalid_markers"),
        ("x.yaml", "T: [CD4, CD4]\n", "duplicate_names"),
        ("x.yaml", "T: [CD4\n", "unreadable"),
        ("x.json", "{", "unreadable"),
        ("x.json", "[1]", "invalid_markers"),
        ("x.gmt", "T\tonly\n", "invalid_markers"),
        ("x.gmt", "T\t\tA\nT\t\tB\n", "duplicate_names"),
    ],
)
def test_unusable_files_have_codes(tmp_path: Path, name, text, code):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BenchError) as error:
        read_markers(path)
    assert str(error.value).startswith(str(path))
    assert error.value.code == code
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 120


def test_genes_that_are_no_features_are_counted_and_none_left_is_an_error():
    kept, line = keep_known_genes({"T": ("A", "B"), "U": ("C",)}, ["A", "X"], "data")
    assert kept == {"T": ("A",)}
    assert line == "2 of 3 marker genes are not among the features; left out whole: U"
    assert keep_known_genes({"T": ("A",)}, ["A"], "data") == ({"T": ("A",)}, "")
    with pytest.raises(BenchError) as error:
        keep_known_genes({"T": ("A",)}, ["a"], "data")
    assert error.value.code == "missing_features"


def test_lists_of_the_literature_have_a_doi_and_valid_genes():
    content = yaml.safe_load(_markers._FILE.read_text())
    assert set(content["datasets"].values()) == set(content["sets"])
    for name in content["datasets"]:
        found = _markers.literature_markers(name)
        assert "doi 10." in found.source
        assert all(found.lists.values())
    assert _markers.literature_markers("no such dataset") is None


def test_no_list_is_used_on_the_data_it_comes_from():
    registered = datasets().entries
    for name in _markers._content()["datasets"]:
        entry = registered.get(name)
        if entry is not None and entry.cls is not None:
            first_author = _markers.literature_markers(name).source.split(" et al")[0]
            assert first_author not in entry.cls.card.reference


def test_the_card_of_a_dataset_shows_its_lists():
    card = dataset_card("baron_mouse")
    assert "10.1016/j.cels.2016.09.002" in card["marker_lists_from"]
    genes = {row["signature"]: row["genes"] for row in card["marker_lists"]}
    assert genes["delta"].startswith("Sst, ")
    assert "marker_lists" not in dataset_card("sim_rna")


@pytest.mark.parametrize("name", ["baron_mouse", "zheng_sorted", "teaseq", "pbmc3k"])
def test_most_genes_of_the_lists_are_in_the_real_data(data_dir: Path, name: str):
    import anndata

    found = _markers.literature_markers(name)
    features = anndata.read_h5ad(data_dir / f"{name}.h5ad", backed="r").var_names
    kept, _ = keep_known_genes(found.lists, features, name)
    genes = {gene for one in found.lists.values() for gene in one}
    assert len({gene for one in kept.values() for gene in one}) > 0.6 * len(genes)


def test_an_added_dataset_keeps_its_lists(tmp_path: Path, toy_counts, monkeypatch):
    from typer.testing import CliRunner

    from bench.cli.main import app

    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    toy_counts.write_h5ad(tmp_path / "x.h5ad")
    lists = tmp_path / "lists.json"
    lists.write_text(json.dumps({"mine": ["gene1", "gene2", "gone"]}))
    given = ["data", "add", "own", str(tmp_path / "x.h5ad"), "--markers", str(lists)]
    outcome = CliRunner().invoke(app, given)
    assert outcome.exit_code == 0, outcome.output
    assert "own: 1 of 3 marker genes are not among the features" in outcome.output
    card = dataset_card("own")
    assert card["marker_lists"] == [{"signature": "mine", "genes": "gene1, gene2, gone"}]
    assert card["marker_lists_from"] == "lists.json"
