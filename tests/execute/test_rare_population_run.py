"""The rare-population task: planting, keys, fits on training cells, scores of held-out cells."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.cache.data_cache import DataCache
from bench.data.cache.dataset_files import CellLabels, load_counts
from bench.data.rare_cells import draw_training_cells
from bench.data.rare_population import RarePopulation, RarePopulationTask
from bench.data.resolve import resolve_dataset
from bench.errors import DataError, UsageError
from bench.settings import load_settings

SIM = "sim_rna[n_cells=300,n_features=120,n_types=4"


@pytest.fixture
def settings(tmp_path: Path, results: Path) -> Any:
    return load_settings({"cache_dir": tmp_path / "cache", "results": results})


@pytest.fixture
def stored(settings: Any):
    """Return the function that keeps a dataset of a selector."""
    store = DataCache(settings.cache_dir)

    def keep(text: str) -> Any:
        one = resolve_dataset(text, settings)
        return store.load_dataset(one.dataset, one.source, one.label)

    return keep


@pytest.fixture
def file(tmp_path: Path, toy_counts) -> Path:
    path, adata = tmp_path / "toy.h5ad", toy_counts.copy()
    adata.obs["cell_type"] = np.repeat(["Type A", "b", "c"], 20)
    adata.write_h5ad(path)
    return path


def test_simulators_and_files_are_planted_alike(stored, file: Path):
    plain = stored(SIM + "]")
    rare = stored(SIM + ",rare_type=type1,prevalence=0.03,plant_seed=0]")
    others = sum(size for name, size in plain.facts["types"].items() if name != "type1")
    assert rare.facts["types"]["type1"] == round(others * 0.03 / 0.97)
    assert sum(rare.facts["types"].values()) == others + rare.facts["types"]["type1"]
    assert rare.counts_digest != plain.counts_digest
    assert rare.label == SIM + ",rare_type=type1,prevalence=0.03,plant_seed=0]"
    assert (plain.rare_type, rare.rare_type) == ("", "type1")
    assert any("cells of 'type1' remain: 0.03 of the" in x for x in rare.facts["warnings"])

    # Case, spaces and punctuation of a type do not matter.
    toy = stored(f"{file}[rare_type=typea,prevalence=0.15]")
    assert toy.facts["types"] == {"Type A": 7, "b": 20, "c": 20}
    kept = load_counts(toy.folder)
    whole = load_counts(stored(str(file)).folder)
    assert (whole[kept.obs_names].X != kept.X).nnz == 0
    assert set(kept.obs_names) < set(whole.obs_names)


def test_seeds_choose_other_cells_and_lower_prevalences_are_nested(stored, file: Path):
    def cells(text: str) -> set[str]:
        return set(load_counts(stored(f"{file}[rare_type=b,{text}]").folder).obs_names)

    assert cells("prevalence=0.2") == cells("prevalence=0.2,plant_seed=0")
    assert cells("prevalence=0.12") < cells("prevalence=0.2")
    assert cells("prevalence=0.2") != cells("prevalence=0.2,plant_seed=1")


@pytest.mark.parametrize(
    ("values", "error", "code"),
    [
        ("rare_type=d", DataError, "unknown_name"),
        ("rare_type=b,prevalence=0.01", DataError, "too_few_cells"),
        ("rare_type=b,prevalence=0.5", DataError, "too_few_cells"),
        ("prevalence=0.1", UsageError, "missing_value"),
        ("rare_type=b,plant_seed=1", UsageError, "missing_value"),
        ("rare_type=b,prevalence=1.5", UsageError, "invalid_value"),
        ("rare_type=b,train=1", UsageError, "invalid_value"),
    ],
)
def test_faults_of_tasks(stored, file: Path, values, error, code):
    with pytest.raises(error) as raised:
        stored(f"{file}[{values}]")
    assert raised.value.code == code
    assert "\n" not in str(raised.value)


def test_thinned_counts_are_binomial_and_the_same_for_equal_seeds(stored, file: Path):
    whole = load_counts(stored(str(file)).folder).to_memory()
    thin = load_counts(stored(f"{file}[thin=0.3]").folder).to_memory()
    left, all_ = thin.X.toarray(), whole[thin.obs_names].X.toarray()
    assert np.all(left <= all_)
    assert np.array_equal(left, np.round(left))
    total = all_.sum()  # five standard deviations of a binomial of all molecules
    assert abs(left.sum() - 0.3 * total) < 5 * np.sqrt(0.21 * total)
    same = stored(f"{file}[thin=0.3,plant_seed=0]")
    assert same.counts_digest == stored(f"{file}[thin=0.3]").counts_digest
    assert same.counts_digest != stored(f"{file}[thin=0.3,plant_seed=1]").counts_digest


def test_only_counts_are_thinned(stored, tmp_path: Path, toy_counts):
    adata = toy_counts.copy()
    adata.X = adata.X * 0.5
    adata.obs["cell_type"] = "a"
    adata.write_h5ad(tmp_path / "half.h5ad")
    with pytest.raises(DataError) as error:
        stored(f"{tmp_path / 'half.h5ad'}[thin=0.5]")
    assert error.value.code == "not_counts"


def test_training_cells_hold_every_type_on_both_sides():
    types = np.repeat(["a", "b", "c", "d"], [100, 5, 2, 1])
    train = draw_training_cells(types, 0.7, seed=0)
    assert [int(train[types == name].sum()) for name in "abcd"] == [70, 4, 1, 1]
    assert (draw_training_cells(types, 0.7, seed=0) == train).all()
    assert (draw_training_cells(types, 0.7, seed=1) != train).any()


def test_a_split_changes_what_a_fit_is_about_but_not_the_counts(stored, file: Path):
    plain, split = stored(str(file)), stored(f"{file}[train=0.7]")
    assert split.counts_digest == plain.counts_digest
    assert split.folder != plain.folder
    assert (plain.train_digest, CellLabels(plain.folder).train) == ("", None)
    assert CellLabels(split.folder).train.sum() == 42


def test_keys_of_a_dataset_with_and_without_the_task(stored, settings, file: Path):
    from bench.plan.build import choose_methods
    from bench.plan.grid import make_plan

    configured, _ = choose_methods("pca,pca_umap", [], settings)
    store = DataCache(settings.cache_dir)

    def jobs(text: str) -> dict[str, Any]:
        plan = make_plan(configured, [stored(text)], settings, store)
        return {job.method: job for job in plan.jobs if job.seed == settings.seeds[0]}

    plain, split = jobs(str(file)), jobs(f"{file}[rare_type=b,train=0.7]")
    whole = jobs(f"{file}[rare_type=b]")
    other = jobs(f"{file}[rare_type=c]")
    assert plain["pca"].fit_key == whole["pca"].fit_key == other["pca"].fit_key
    assert len({x["pca"].score_key for x in (plain, whole, other, split)}) == 4
    assert split["pca"].fit_key != plain["pca"].fit_key
    # Without a transform it is fitted on all cells, so the fit is the same one.
    assert split["pca_umap"].fit_key == plain["pca_umap"].fit_key


def test_a_run_scores_held_out_cells_of_methods_with_transform(settings, file: Path):
    from rich.console import Console

    from bench.execute.run import run

    console = Console(file=StringIO(), width=200)
    outcome = run(
        "pca[n_components=5],random,truth", f"{file}[rare_type=b,prevalence=0.2,train=0.6]",
        results=settings.results, cache_dir=settings.cache_dir, seeds=1, jobs=1, report=False,
        console=console,
    )  # fmt: skip
    assert outcome.exit_code == 0, console.file.getvalue()
    rows = outcome.table.set_index("method_name")
    assert rows["embedding/rare_ap"].notna().all()
    assert rows["embedding/rare_ap"]["truth"] == 1.0
    assert rows["embedding/rare_ap"]["pca"] > rows["embedding/rare_ap"]["random"]
    assert 0 < rows["embedding/rare_ap_held_out"]["pca"] <= 1
    assert np.isnan(rows["embedding/rare_ap_held_out"]["truth"])
    assert "truth has no transform" in rows["missing"]["truth"]
    assert "30 of 50 cells" in rows["notes"]["pca"]
    assert (rows["rare_type"] == "b").all()


def test_the_task_keeps_what_the_data_say(toy_counts):
    from bench.contract import Card, Dataset

    class Memory(Dataset):
        name = "memory"
        card = Card("rna", "in memory", label_key="cell_type", organism="human")

        def load(self):
            self.notes = ["read"]
            return toy_counts.copy()

    planted = RarePopulation(
        Memory(), RarePopulationTask(rare_type="a", prevalence=0.15, train=0.5)
    )
    adata = planted.load()
    assert planted.card.organism == "human"
    assert (planted.card.rare_type, planted.card.train_key) == ("a", "bench_train")
    assert planted.notes[0] == "read"
    assert adata.n_obs == 47
    assert "bench_train" not in toy_counts.obs
