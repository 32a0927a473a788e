"""Datasets of a selector: names, two spellings, chosen types."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from anndata import AnnData

from bench.data.cache.data_cache import DataCache
from bench.data.chosen_types import split_types
from bench.data.resolve import ResolvedDataset, resolve_datasets
from bench.errors import UsageError
from bench.settings import load_settings


@pytest.fixture
def folder(tmp_path: Path, toy_counts: AnnData, monkeypatch: pytest.MonkeyPatch) -> Path:
    toy_counts = toy_counts.copy()
    toy_counts.obs["other"] = ["x", "y"] * 30
    toy_counts.write_h5ad(tmp_path / "toy.h5ad")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def resolve(text: str, folder: Path, **settings: object) -> list[ResolvedDataset]:
    loaded = load_settings({"cache_dir": folder / "cache", **settings})
    return resolve_datasets(text, loaded, DataCache(folder / "cache"))[0]


def labels(text: str, folder: Path) -> list[str]:
    return [one.label for one in resolve(text, folder)]


def test_how_a_file_is_read_is_not_in_its_name(folder: Path):
    values = "label_key=other,batch_key=cell_type,transpose=false,modality=rna,layer=X"
    assert labels(f"toy.h5ad[{values}]", folder) == ["toy"]


def test_two_spellings_are_one_dataset(folder: Path):
    text = f"toy.h5ad,./toy.h5ad,{folder}/toy.h5ad,toy.h5ad[label_key=cell_type]"
    assert labels(text, folder) == ["toy"]


def test_two_views_of_one_file_have_names_of_their_own(folder: Path):
    found = labels("toy.h5ad,toy.h5ad[label_key=other]", folder)
    assert found == ["toy", "toy[label_key=other]"]


def test_two_files_of_one_name(folder: Path):
    (folder / "more").mkdir()
    shutil.copy("toy.h5ad", "more/toy.h5ad")
    assert labels("toy.h5ad,more/toy.h5ad", folder) == ["toy"]  # a copy
    Path("more/toy.h5ad").write_bytes(Path("toy.h5ad").read_bytes() + b"\0")
    with pytest.raises(UsageError) as error:
        labels("toy.h5ad,more/toy.h5ad", folder)
    assert error.value.code == "duplicate_names"


NAMES = ["a,b.h5ad", "x[1].h5ad", "x[a=b],c.h5ad", "star*.h5ad", "not:x.h5ad", "a, b/toy.h5ad"]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_that_exists_is_taken_whatever_its_name(folder: Path, name: str):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    shutil.move("toy.h5ad", path)
    for text in (name, f"{name}[label_key=other]", f"sim_rna,{name},sim_atac[n_cells=90]"):
        chosen = resolve(text, folder)
        assert Path(chosen[len(chosen) // 2].dataset.where).name == path.name
        assert not set("[],*:") & set(chosen[len(chosen) // 2].label)


@pytest.mark.parametrize("name", ["toy.h5ad.gz", "toy.rds", "toy.tar.gz"])
def test_a_file_of_unknown_format_is_named(folder: Path, name: str):
    Path("toy.h5ad").rename(name)
    with pytest.raises(UsageError) as error:
        resolve(name, folder)
    assert error.value.code == "unknown_format"


def test_settings_say_how_files_are_read(folder: Path):
    lines = "".join(f"cell{i},{'ab'[i % 2]}\n" for i in range(60))
    (folder / "types.csv").write_text("cell,kind\n" + lines)
    (one,) = resolve("toy.h5ad", folder, labels="types.csv", label_key="kind", layer="X")
    assert one.dataset.load().obs["kind"].tolist() == ["a", "b"] * 30
    (other,) = resolve("toy.h5ad[label_key=other]", folder, labels="types.csv", label_key="kind")
    other.dataset.load()
    assert other.dataset.card.label_key == "other"


# Chosen types.


def test_types_restrict_any_dataset(folder: Path):
    types = sorted(set(resolve("toy.h5ad", folder)[0].dataset.load().obs["cell_type"]))
    text = f"toy.h5ad[types={types[0]}+{types[2]}]"
    (chosen,) = resolve(text, folder)
    assert chosen.label == f"toy[types={types[0]}+{types[2]}]"
    data = chosen.dataset.load()
    assert set(data.obs["cell_type"]) == {types[0], types[2]}
    assert chosen.dataset.card.n_types == 2
    assert any("2 chosen types" in note for note in chosen.dataset.notes)
    assert chosen.dataset.fingerprint() != resolve("toy.h5ad", folder)[0].dataset.fingerprint()
    (simulated,) = resolve("sim_rna[n_cells=200,types=type1+type2]", folder)
    assert simulated.dataset.load().obs["cell_type"].nunique() == 2


def test_an_unknown_type(folder: Path):
    with pytest.raises(UsageError) as error:
        resolve("toy.h5ad[types=nothing]", folder)[0].dataset.load()
    assert error.value.code == "unknown_name"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", ["B"]),
        ("B+NK", ["B", "NK"]),
        ("CD4+ T+B", ["CD4+ T", "B"]),
        ("B+CD4+ T", ["B", "CD4+ T"]),
        ("CD8+", ["CD8+"]),
        ("CD8++CD4+ T", ["CD8+", "CD4+ T"]),
        ("B+B", ["B"]),
    ],
)
def test_names_of_types_may_hold_plus_signs(text: str, expected: list[str]):
    assert split_types(text, {"B", "NK", "CD4+ T", "CD8+"}, "x") == expected
