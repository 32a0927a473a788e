"""Trainings in a row: what each trains, what goes on, tables in between, interruptions."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData
from pydantic import ValidationError

from bench.errors import UsageError
from bench.execute.curves import Curves
from bench.methods.sakura.guidance import Guidance, Signature
from bench.methods.sakura.loss_terms import Regularizer, WeightSchedule
from bench.methods.sakura.method import Sakura
from bench.methods.sakura.model import SakuraModel
from bench.methods.sakura.model_settings import SakuraSettings, Stage, TrainingTask
from bench.methods.sakura.original_config.main_config import read_setup

FILES = Path(__file__).parent / "files"
GUIDED = Guidance((
    Signature(
        "a", ("gene0", "gene3"), terms={"mse": WeightSchedule(1.0, step=0.5), "l1": 1.0},
        regularizers=(Regularizer("uniform", WeightSchedule(0.1)),),
    ),
))  # fmt: skip
FIRST = Stage((TrainingTask("first", reconstruct=True),), max_epochs=3)
SECOND = Stage(
    (TrainingTask("main", reconstruct=True, batch_size=40),
     TrainingTask("heads", guides=("a",), split="half", terms={"a": ("mse", "prior_uniform")})),
    "interleave", max_epochs=2,
)  # fmt: skip
THIRD = Stage((TrainingTask("heads", guides=("a",), detach="encoder"),), max_epochs=2)
SETTINGS = SakuraSettings(
    n_top_features=None, hidden=16, n_latent=6, batch_size=32, validation=0.0,
    optimizer="rmsprop", dropout_hidden=0.1, stages=(FIRST, SECOND, THIRD),
)  # fmt: skip


def fitted(cells: AnnData, settings: SakuraSettings = SETTINGS, **more: Any) -> SakuraModel:
    model = SakuraModel(settings, GUIDED)
    return model.fit(cells, seed=3, splits={"half": np.arange(80) < 40}, **more)


def test_each_stage_goes_on_with_what_the_one_before_leaves(cells: AnnData):
    whole = fitted(cells)
    assert (whole.epochs, whole.best_epoch) == (7, 7)
    only = fitted(cells, replace(SETTINGS, stages=(FIRST,)))
    two = fitted(cells, replace(SETTINGS, stages=(FIRST, SECOND)))
    now = whole.transform(cells)
    with whole.as_after(0):
        np.testing.assert_array_equal(whole.transform(cells), only.transform(cells))
    with whole.as_after(1):
        np.testing.assert_array_equal(whole.transform(cells), two.transform(cells))
        heads = whole.predict_signature(cells, "a")
    assert not np.allclose(only.transform(cells), two.transform(cells))
    # The last one trains heads alone, on latent dimensions that do not feel it.
    np.testing.assert_array_equal(whole.transform(cells), now)
    np.testing.assert_array_equal(now, two.transform(cells))
    assert not np.allclose(whole.predict_signature(cells, "a"), heads)


def test_terms_count_the_passes_in_which_they_are_trained(cells: AnnData, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.methods.sakura.checkpoints.SECONDS_APART", 0.0)
    fitted(cells, checkpoint=tmp_path / "fit.pt")
    # Of 7 ticks in turn 3 train the heads, 2 of them are a pass of their 40 cells.
    kept = torch.load(tmp_path / "fit.pt", weights_only=True)["epochs"]
    assert kept["main"] == 3 + 2
    assert kept["a: mse"] == kept["a: prior_uniform"] == kept["a"]
    assert (kept["a"] - kept["a: l1"], kept["a: l1"]) == (1, 2)


@pytest.mark.parametrize("epoch", [2, 4, 6])
def test_an_interruption_in_any_stage_changes_nothing(
    cells: AnnData, tmp_path, monkeypatch, epoch: int
):
    monkeypatch.setattr("bench.methods.sakura.checkpoints.SECONDS_APART", 0.0)
    curves, again = Curves(), Curves()
    whole = fitted(cells, report=curves)

    def stop(step, total=None, /, **values):
        assert total == 7
        if step == epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(cells, report=stop, checkpoint=tmp_path / "fit.pt")
    resumed = fitted(cells, report=again, checkpoint=tmp_path / "fit.pt")
    assert (again.values, again.steps) == (curves.values, curves.steps)
    assert resumed.curves == whole.curves
    for stage in range(3):
        with whole.as_after(stage), resumed.as_after(stage):
            np.testing.assert_array_equal(resumed.transform(cells), whole.transform(cells))


def test_stages_that_contradict_the_settings_are_refused(cells: AnnData):
    with pytest.raises(ValidationError):
        replace(SETTINGS, validation=0.1)
    with pytest.raises(ValidationError):
        replace(SECOND, schedule="joint")
    for task in (
        TrainingTask("x", guides=("a",), terms={"a": ("cosine",)}),
        TrainingTask("x", guides=("b",)),
    ):
        with pytest.raises(UsageError) as error:
            fitted(cells, replace(SETTINGS, stages=(FIRST, Stage((task,)))))
        assert error.value.code == "unknown_name"


# --- the original's story ---------------------------------------------------------------------

TABLE = {"on_split": "all", "dump_latent": "True", "dump_predicted_signatures": "True"}
STORY = [
    {"action": "test", **TABLE, "latent_prefix": "none"},
    {"action": "train", "epochs": 2, "use_split": "overall_train", "train_main_latent": "True",
     "train_pheno": "False", "train_signature": "False",
     "tests": [{**TABLE, "latent_prefix": "plain"}]},
    {"action": "train_hybrid", "ticks": 8, "hybrid_mode": "sum", "split_configs": {
        "guides": {"use_split": "all", "batch_size": 40, "train_main_latent": "False",
                   "train_pheno": "False", "train_signature": "True",
                   "selected_signature": {"cd8": {"loss": ["MSE", "cos"]},
                                          "rare": {"loss": [], "regularization": ["shape"]}}}}},
    {"action": "test", **TABLE, "latent_prefix": "guided"},
    {"action": "test", **TABLE, "latent_prefix": "guided"},
]  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"story": STORY}))
    return path


def test_a_story_of_several_trainings_is_translated(config: Path, cells: AnnData, caplog):
    caplog.set_level("INFO", logger="bench")
    setup = read_setup(config, cells)
    first, second = setup.settings.stages
    assert (first.schedule, first.max_epochs, first.max_ticks) == ("joint", 2, 0)
    assert first.tasks[0].split == "overall_train"
    assert (second.schedule, second.max_ticks) == ("sum", 8)
    (task,) = second.tasks
    assert (task.split, task.guides) == ("all", ("cd8", "rare"))
    assert task.terms == {"cd8": ("mse", "cosine"), "rare": ("prior_uniform",)}
    # 2 epochs, then 8 ticks of 2 batches a pass.
    names = [(number, name) for number, name, _ in setup.tables()]
    assert names == [(0, "2_plain"), (1, "6_guided"), (1, "6_guided_2")]
    for note in (
        "story[0]: a test before any training: left out",
        "story[1].tests: at the end of this training only",
    ):
        assert f"{config}: {note}" in caplog.text


def test_the_description_shows_the_stages(config: Path, cells: AnnData):
    lines = Sakura(Sakura.Params()).from_config(config, cells).describe()
    shown = [line for line in lines if line.startswith("stage ")]
    assert shown == [
        "stage 1, task train: reconstruction on split overall_train, 50 cells a batch, 1 batches "
        "a pass",
        "stage 1, training: joint, 2 epochs, rmsprop 0.001/0.9",
        "stage 1, table 2_plain.csv: latent, signatures of split all",
        "stage 2, task guides: cd8 (mse, cosine), rare (prior_uniform) on split all, 40 cells a "
        "batch, 2 batches a pass",
        "stage 2, training: sum, 8 ticks, rmsprop 0.001/0.9, continues stage 1",
        "stage 2, table 6_guided.csv: latent, signatures of split all",
        "stage 2, table 6_guided_2.csv: latent, signatures of split all",
    ]


def test_each_training_has_its_tables(config: Path, cells: AnnData):
    from bench.apply.estimator import Estimator

    method = Sakura(Sakura.Params()).from_config(config, cells)
    found = Estimator(method).fit(cells, seed=1)
    _, losses, plain, guided, again = found.fit_.tables.values()
    assert guided.equals(again)
    main = [f"main.{number}" for number in range(1, 51)]
    np.testing.assert_allclose(guided[main], found.embedding_, rtol=1e-6)
    assert not np.allclose(plain[main], guided[main])
    assert not np.allclose(plain["cd8.out.1"], guided["cd8.out.1"])
    # Of 'rare' only a prior is trained, which its head does not feel; its dimensions do.
    assert not np.allclose(plain["rare.1"], guided["rare.1"])
    assert list(found.fit_.tables)[2:] == ["2_plain", "6_guided", "6_guided_2"]
    assert losses.index[-1] == 6
    assert len(found.curves_["loss"]) == 6
