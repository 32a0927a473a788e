from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from _command import bench, bench_json
from rich.console import Console

from bench.cli.tables import show
from bench.data.cache.data_cache import DataCache
from bench.data.card import dataset_card, plain_docstring
from bench.data.resolve import resolve_dataset
from bench.errors import UsageError
from bench.registry import datasets
from bench.settings import load_settings


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and an empty folder of data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("BENCH_MIRROR", raising=False)
    (tmp_path / "data").mkdir()
    return tmp_path


def printed(content, width: int = 80) -> str:
    out = StringIO()
    show(content, Console(file=out, width=width, soft_wrap=True))
    return out.getvalue()


def keep(name: str) -> None:
    settings = load_settings({})
    chosen = resolve_dataset(name, settings)
    DataCache(settings.cache_dir).load_dataset(chosen.dataset, chosen.source, chosen.label)


@pytest.fixture
def toy_file(own_folders: Path, toy_counts) -> Path:
    path = own_folders / "data" / "toy.h5ad"
    adata = toy_counts[:50].copy()
    adata.uns.update({"source": "somewhere [1]", "note": "made by hand", "table": [1, 2]})
    adata.write_h5ad(path)
    return path


# What is said.


def test_every_dataset_has_a_readable_card(own_folders: Path):
    registered = [entry for entry in datasets() if not entry.unavailable]
    assert len(registered) >= 4
    for entry in registered:
        card = dataset_card(entry.name)
        assert card["dataset"] == entry.name
        for key in ("summary", "description", "data", "label_column", "labels_from", "citation",
                    "licence", "state"):  # fmt: skip
            assert card[key], (entry.name, key)
        assert "``" not in card["description"]
        text = printed(card)
        assert max(map(len, text.splitlines())) <= 80
        assert json.loads(json.dumps(card)) == card
    assert not (own_folders / "cache").exists()


def test_a_published_set_that_is_not_here_says_how_to_get_it():
    entry = next(one for one in datasets() if one.cls is not None and one.cls.card.files)
    card = dataset_card(entry.name)
    assert card["state"].startswith("to fetch")
    assert card["state"].endswith(f"bench data fetch {entry.name}")
    assert len(card["files"]) == len(entry.cls.card.files)
    assert card["files"][0]["from"].startswith("http")
    assert card["files"][0]["here"] == "no"
    assert isinstance(card["checked_on_a_real_file"], bool)


def test_a_file_in_the_place_of_the_original_is_found(own_folders: Path, toy_counts):
    entry = next(one for one in datasets() if one.cls is not None and one.cls.card.files)
    path = own_folders / "data" / f"{entry.name}.h5ad"
    toy_counts.write_h5ad(path)
    card = dataset_card(entry.name)
    assert card["state"] == f"found: {path}"
    assert card["cells"] == 60  # of the file
    assert card["citation"] == entry.cls.card.reference  # known beforehand
    assert card["description"] == plain_docstring(entry.cls.__doc__)
    assert any("stands in for the original files" in note for note in card["notes"])
    assert card["files"][0]["here"] == "no"


def test_the_cache_gives_labels_depth_and_zeros():
    before = dataset_card("sim_rna[n_cells=100,n_features=50]")
    assert before["state"] == "ready: needs no file"
    assert "types" not in before
    keep("sim_rna[n_cells=100,n_features=50]")
    card = dataset_card("sim_rna[n_cells=100,n_features=50]")
    assert card["state"].startswith("cached in ")
    assert card["dataset"] == "sim_rna[n_cells=100,n_features=50]"
    assert sum(row["cells"] for row in card["types"]) == 100
    assert [row["cells"] for row in card["types"]] == sorted(
        (row["cells"] for row in card["types"]), reverse=True
    )
    assert card["cells_of_a_type"] == "3 to 33"
    assert sum(row["share"] for row in card["types"]) == pytest.approx(1, abs=1e-3)
    assert card["median_counts"] == pytest.approx(2000, rel=0.2)
    assert card["mean_counts"] == pytest.approx(2100, rel=0.2)
    assert 0 < card["share_of_zeros"] < 0.5
    assert "types" not in dataset_card("sim_rna")


def test_parameters_and_presets_change_the_card():
    card = dataset_card("sim_rna[preset=hard,n_cells=2000]")
    assert card["cells"] == 2000
    assert card["n_types"] == 10
    assert {row["preset"] for row in card["presets"]} == {"easy", "hard", "batches"}
    assert dataset_card("sim_multiome[part=atac]")["data"] == "atac"
    assert dataset_card("sim_rna[preset=batches]")["batch_column"] == "batch"


@pytest.mark.parametrize("by", ["name", "path"])
def test_a_local_file_is_opened_and_the_card_says_so(toy_file: Path, by: str):
    card = dataset_card("toy" if by == "name" else str(toy_file))
    assert card["state"] == f"found: {toy_file}"
    assert card["notes"] == [f"not in the cache yet: labels and depth were read from {toy_file}"]
    assert [(row["type"], row["cells"]) for row in card["types"]] == [
        ("a", 20), ("b", 20), ("c", 10),
    ]  # fmt: skip
    assert (card["cells"], card["features"], card["n_types"]) == (50, 40, 3)
    assert card["cells_of_a_type"] == "10 to 20"
    assert card["labels_from"] == "column cell_type of the file"
    assert {"key": "note", "text": "made by hand"} in card["the_file_says"]


def test_a_file_says_the_same_before_and_after_caching(toy_file: Path):
    before = dataset_card("toy")
    keep("toy")
    after = dataset_card("toy")
    assert after["state"].startswith("cached in ")
    assert not set(before) - set(after) - {"notes", "the_file_says"}
    for key in set(before) & set(after) - {"state", "notes", "share_of_zeros"}:
        assert before[key] == after[key], key
    assert before["share_of_zeros"] == pytest.approx(after["share_of_zeros"], abs=1e-4)


def test_a_missing_label_column_is_said_with_those_there(toy_file: Path):
    card = dataset_card("toy[label_key=nothing]")
    assert "types" not in card
    assert "no column 'nothing' in obs; name one as [label_key=…]: cell_type" in card["notes"]


def test_a_file_that_is_none_is_said(own_folders: Path):
    (own_folders / "data" / "bad.h5ad").write_bytes(b"not hdf5")
    card = dataset_card("bad")
    assert any("not a readable .h5ad file" in note for note in card["notes"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("sim_rn", "unknown_name"),
        ("sim_*", "several_matches"),
        ("sim_rna[n_cels=3]", "unknown_name"),
        ("sim_rna[preset=hrad]", "unknown_name"),
        ("./none.h5ad", "missing_file"),
    ],
)
def test_wrong_names_are_refused(text: str, code: str):
    with pytest.raises(UsageError) as error:
        dataset_card(text)
    assert error.value.code == code


# How it is shown.


def test_brackets_in_texts_are_shown(toy_file: Path):
    assert "somewhere [1]" in printed(dataset_card("toy"))
    assert "[bold]x[/] [1]" in printed({"name": "[bold]x[/] [1]", "rows": [{"a": "[red]b"}]})
    assert "[red]b" in printed({"rows": [{"a": "[red]b"}]})


@pytest.mark.parametrize("width", [50, 80, 200])
def test_long_texts_wrap_beside_their_name_and_lose_nothing(width: int):
    words = [f"word{number}" for number in range(60)]
    address = "https://example.org/" + "x" * 120
    content = {"description": " ".join(words), "files": [{"file": "a.gz", "from": address}]}
    text = printed(content, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert [word for word in text.split() if word.startswith("word")] == words
    assert all(line.startswith(" " * 13) for line in lines[1:3] if width < 200)
    assert address in "".join(text.split())


def test_empty_columns_are_not_shown():
    text = printed([{"a": "1", "b": ""}, {"a": "2", "b": "", "c": 0}])
    assert text.split()[0] == "a"
    assert "b" not in text
    assert "c" in text


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_a_narrow_terminal_keeps_the_summaries_and_names_what_it_hides(width: int):
    rows = [
        {"thing": f"t{i}", "size": i, "long": "x" * 30, "note": "y" * 12, "summary": "one " * 8}
        for i in range(3)
    ]  # fmt: skip
    lines = printed(rows, width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.count("one") for line in lines) == 24
    hidden = [name for name in ("size", "long", "note") if name not in lines[1].split()]
    assert hidden == {60: ["long", "note"], 80: ["long"], 120: [], 160: []}[width]
    assert ("bench things NAME" in lines[-1]) == bool(hidden)


def test_prose_joins_lines_but_not_lists():
    assert (
        plain_docstring("One ``x``\n    two.\n\n    * a\n    * b\n    ")
        == "One x two.\n\n* a\n* b"
    )


def test_the_command_prints_the_same_as_json_and_as_text(toy_file: Path):
    card = bench_json("datasets", "toy")
    text = "".join(bench("datasets", "toy").stdout.split())
    for key in ("dataset", "citation", "state", "labels_from", "cells_of_a_type"):
        assert "".join(str(card[key]).split()) in text
    for row in card["types"]:
        assert f"{row['type']}{row['cells']}{row['share']}" in text


def test_brackets_of_names_stay_in_the_notes_of_the_leaderboard(monkeypatch: pytest.MonkeyPatch):
    import pandas as pd

    from bench.cli.leaderboard import leaderboard_table

    nan = float("nan")
    board = {
        "rank": None, "method": "pca", "ARI (k-means)": nan, "± 95 %": nan, "mean rank": nan,
        "datasets": "0 of 1", "failed jobs": 0, "median time (s)": nan, "family": "baseline",
        "uses": "", "note": "skipped: use 'sim_multiome[part=rna]'",
    }  # fmt: skip
    monkeypatch.setattr(
        "bench.reports.tables.short_leaderboard.leaderboard", lambda table: pd.DataFrame([board])
    )
    caption = leaderboard_table(pd.DataFrame()).caption
    assert str(caption) == "pca: skipped: use 'sim_multiome[part=rna]'"
