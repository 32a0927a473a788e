"""The model: latent layout, what each task trains, splits, files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData
from pydantic import ValidationError

from bench.errors import DataError, UsageError
from bench.execute.curves import Curves
from bench.methods.sakura.features import class_numbers, read_phenotypes
from bench.methods.sakura.guidance import ExtraRows, Guidance, Phenotype, Signature
from bench.methods.sakura.loss_terms import Binarize, Head, Regularizer, WeightSchedule
from bench.methods.sakura.model import SakuraModel
from bench.methods.sakura.model_settings import SakuraSettings, Stage, TrainingTask
from bench.methods.sakura.objective import Batch, SakuraObjective
from bench.methods.sakura.training import Trainer, decile_split

SMALL = SakuraSettings(n_top_features=None, hidden=16, n_latent=6, batch_size=32, max_epochs=2)


@pytest.fixture(scope="module")
def cells() -> AnnData:
    """90 cells × 30 genes, log-normalised, three types in obs."""
    rng = np.random.default_rng(0)
    types = np.arange(90) % 3
    rate = np.full((90, 30), 0.4)
    for number in range(3):
        rate[np.ix_(types == number, np.arange(30) % 3 == number)] = 4.0
    adata = AnnData(sp.csr_matrix(np.log1p(rng.poisson(rate)).astype(np.float32)))
    adata.var_names = [f"g{i}" for i in range(30)]
    adata.obs["type"] = [f"t{number}" for number in types]
    adata.obs["depth"] = rate.sum(axis=1) + rng.normal(size=90)
    return adata


def test_intervals_of_numbers_are_cut_once_for_all_cells():
    numbers = np.append(np.arange(24.0), np.nan)
    cut = Phenotype("depth", "categorical", bins=12, bin_edges="uniform")
    at, classes = class_numbers(cut, numbers)
    # With two digits, in the order of the numbers.
    assert [int(name.partition(":")[0]) for name in classes] == list(range(1, 13))
    assert at.tolist() == [*sorted(at[:-1].tolist()), -1]
    assert torch.bincount(at[:-1]).tolist() == [2] * 12
    with pytest.raises(DataError) as error:
        class_numbers(cut, np.ones(5))
    assert error.value.code == "too_few_classes"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "numerical", "bins": 3},
        {"kind": "categorical", "bins": 3, "classes": ("a", "b")},
        {"kind": "categorical", "keys": ("obsm:X_pca",)},
    ],
)
def test_bins_and_embeddings_are_for_one_kind_of_phenotype(wrong):
    with pytest.raises(ValidationError):
        Phenotype("x", **wrong)


def test_a_column_for_bins_holds_numbers(cells: AnnData):
    guidance = Guidance((), (Phenotype("type", "categorical", bins=3),))
    with pytest.raises(UsageError) as error:
        read_phenotypes(guidance, cells.obs)
    assert error.value.code == "not_numbers"


def with_values(cells: AnnData, columns: list[int], value: float) -> AnnData:
    """Return a copy of the cells with one value in some columns."""
    dense = cells.X.toarray()
    dense[:, columns] = value
    changed = cells.copy()
    changed.X = sp.csr_matrix(dense)
    return changed


# --- layout and inputs ----------------------------------------------------------------------


def test_own_dimensions_follow_the_main_ones(cells: AnnData):
    guidance = Guidance(
        (
            Signature("a", ("g0", "g3"), space="own", dim=2),
            Signature("b", ("g1",), space=("main", "a"), dim=8),
            Signature("c", ("g2",), space="all"),
        ),
        (Phenotype("type", "categorical", space="own", dim=3),),
    )
    model = SakuraModel(SMALL, guidance)
    model.fit(cells, phenotypes=read_phenotypes(guidance, cells.obs))
    whole = model.transform(cells, "all")
    assert whole.shape == (90, 11)
    np.testing.assert_allclose(model.transform(cells, "a"), whole[:, 6:8])
    np.testing.assert_allclose(model.transform(cells, "type"), whole[:, 8:])
    assert model.transform(cells).shape == (90, 6)
    assert model.predict_signature(cells, "c").shape == (90, 1)
    chances = model.predict_phenotype(cells, "type")
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    assert model.reconstruct(cells).shape == (90, 30)
    with pytest.raises(UsageError) as error:
        model.transform(cells, "b")
    assert error.value.code == "unknown_name"
    with pytest.raises(UsageError) as error:
        model.predict_signature(cells, "x")
    assert error.value.code == "unknown_name"


def test_a_wrong_width_is_refused(cells: AnnData):
    wide = Guidance((Signature("a", ("g0",), dim=5),))
    identity = Guidance((Signature("a", ("g0",), head=Head("identity")),))
    ring = replace(SMALL, regularizers=(Regularizer("ring"),))
    for settings, guidance in ((SMALL, wide), (SMALL, identity), (ring, Guidance())):
        with pytest.raises(UsageError) as error:
            SakuraModel(settings, guidance).fit(cells)
        assert error.value.code == "wrong_width"


def test_excluded_genes_are_neither_input_nor_reconstructed(cells: AnnData):
    guidance = Guidance((Signature("a", ("g0", "g3"), exclude_from_input=True),))
    model = SakuraModel(SMALL, guidance).fit(cells)
    assert len(model.inputs) == 28
    assert not {"g0", "g3"} & set(model.inputs)
    assert model.reconstruct(cells).shape == (90, 28)
    changed = with_values(cells, [0, 3], 7.0)
    np.testing.assert_array_equal(model.transform(changed), model.transform(cells))
    np.testing.assert_array_equal(
        model.predict_signature(changed, "a"), model.predict_signature(cells, "a")
    )


def test_genes_of_signatures_are_read_beside_the_variable_ones(cells: AnnData):
    flat = with_values(cells, [29], 1.0)
    settings = replace(SMALL, n_top_features=10)
    assert "g29" not in SakuraModel(settings).fit(flat).features
    model = SakuraModel(settings, Guidance((Signature("a", ("g29",)),))).fit(flat)
    assert "g29" in model.features
    assert len(model.features) < 15


def test_a_celu_code_is_above_minus_one(cells: AnnData):
    settings = replace(SMALL, latent_activation="celu", max_epochs=5)
    assert SakuraModel(settings).fit(cells).transform(cells).min() > -1


def test_features_are_found_by_name_and_missing_ones_are_named(cells: AnnData):
    model = SakuraModel(SMALL).fit(cells)
    mixed = cells[:, ::-1].copy()
    np.testing.assert_allclose(model.transform(mixed), model.transform(cells), atol=1e-6)
    with pytest.raises(DataError, match=r"lack 2 of the 30 features .*first is 'g28'") as error:
        model.transform(cells[:, :28].copy())
    assert error.value.code == "other_features"


# --- what each task trains ------------------------------------------------------------------


def moved(model: SakuraModel, before: dict[str, torch.Tensor]) -> set[str]:
    """Return the modules whose weights changed."""
    after = model.network.named_parameters()
    return {name.split(".")[0] for name, value in after if not torch.equal(value, before[name])}


def first_ticks(
    cells: AnnData, settings: SakuraSettings, guidance: Guidance, n_ticks: int
) -> list[set[str]]:
    """Return what each of the first steps changed."""
    found: list[set[str]] = []
    model = SakuraModel(replace(settings, validation=0.0, max_ticks=n_ticks), guidance)

    def watch(rows, seed, *rest):
        objective = SakuraObjective(model.network, model._class_weights)
        trainer = Trainer(objective, rows, model._stages()[0], seed)
        for _ in range(n_ticks):
            before = {n: v.detach().clone() for n, v in model.network.named_parameters()}
            trainer.step()
            found.append(moved(model, before))

    model._train = watch  # type: ignore[method-assign]
    model.fit(cells, phenotypes=read_phenotypes(guidance, cells.obs))
    return found


ATTACHED = Guidance((Signature("a", ("g0", "g3")),))


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
def test_interleaved_signature_steps_leave_the_decoder(cells: AnnData, optimizer: str):
    settings = replace(SMALL, schedule="interleave", optimizer=optimizer)
    ticks = first_ticks(cells, settings, ATTACHED, 4)
    assert ticks[0] == ticks[2] == {"pre_encoder", "compressors", "decoder"}
    assert ticks[1] == ticks[3] == {"pre_encoder", "compressors", "readers"}


def test_sum_and_joint_train_everything_in_each_step(cells: AnnData):
    everything = {"pre_encoder", "compressors", "decoder", "readers"}
    for schedule in ("sum", "joint"):
        settings = replace(SMALL, schedule=schedule)
        assert first_ticks(cells, settings, ATTACHED, 2) == [everything] * 2


def test_detaching_spares_the_layers_before(cells: AnnData):
    reconstruction = TrainingTask("reconstruction", reconstruct=True)
    for where, expected in (
        ("pre_encoder", {"compressors", "readers"}),
        ("encoder", {"readers"}),
    ):
        tasks = (reconstruction, TrainingTask("guidance", guides=("a",), detach=where))
        settings = replace(SMALL, validation=0.0, stages=(Stage(tasks, "interleave"),))
        assert first_ticks(cells, settings, ATTACHED, 2)[1] == expected
    heads_only = Guidance((replace(ATTACHED.signatures[0], detached=True),))
    settings = replace(SMALL, schedule="interleave")
    assert first_ticks(cells, settings, heads_only, 2)[1] == {"readers"}


def test_own_dimensions_leave_the_main_compressor_on_signature_steps(cells: AnnData):
    guidance = Guidance((Signature("a", ("g0",), space="own", dim=2),))
    settings = replace(SMALL, schedule="interleave")
    model = SakuraModel(settings, guidance).fit(cells)
    before = {n: v.detach().clone() for n, v in model.network.named_parameters()}
    model.network.zero_grad()
    latents = model.network.encode(torch.zeros(2, 30), {"a"})
    assert set(latents) == {"a"}
    latents["a"].sum().backward()
    assert model.network.compressors[0][0].weight.grad is None
    assert model.network.compressors[1][0].weight.grad is not None
    assert moved(model, before) == set()


def test_an_adversarial_signature_turns_the_gradient_of_the_code(cells: AnnData):
    def gradients(adversarial: float | None) -> tuple[torch.Tensor, torch.Tensor]:
        signature = Signature("a", ("g0", "g3"), adversarial=adversarial, adversary="reversed")
        guidance = Guidance((signature,))
        model = SakuraModel(replace(SMALL, max_epochs=0), guidance).fit(cells)
        batch = Batch(torch.tensor(cells.X.toarray()), torch.ones(90), {})
        objective = SakuraObjective(model.network, {})
        (term,) = objective.terms(batch, TrainingTask("x", guides=("a",)), {})
        term.value.backward()
        code = model.network.compressors[0][0].weight.grad
        head = model.network.reader("a").network[0].weight.grad
        return code, head

    plain, adversarial = gradients(None), gradients(2.0)
    torch.testing.assert_close(adversarial[0], -2.0 * plain[0])
    torch.testing.assert_close(adversarial[1], plain[1])


def test_frozen_parts_stay_as_they_were_drawn(cells: AnnData):
    frozen = replace(SMALL, frozen=("decoder",))
    first = SakuraModel(replace(frozen, max_epochs=0)).fit(cells).network
    trained = SakuraModel(frozen).fit(cells).network
    assert torch.equal(trained.decoder[0].weight, first.decoder[0].weight)
    assert not torch.equal(trained.pre_encoder[0].weight, first.pre_encoder[0].weight)


def test_an_unknown_part_cannot_be_frozen(cells: AnnData):
    with pytest.raises(UsageError) as error:
        SakuraModel(replace(SMALL, frozen=("head:a",))).fit(cells)
    assert error.value.code == "unknown_name"


# --- phenotypes, rows, splits ---------------------------------------------------------------


def test_labels_of_unknown_cells_change_nothing(cells: AnnData):
    guidance = Guidance(phenotypes=(Phenotype("type", "categorical", class_weight="balanced"),))
    known = cells.obs["type"].to_numpy(dtype=object).copy()
    known[30:] = None
    other = known.copy()
    other[30:] = np.nan
    models = [SakuraModel(SMALL, guidance).fit(cells, phenotypes={"type": v})
              for v in (known, other)]  # fmt: skip
    np.testing.assert_array_equal(*(model.transform(cells) for model in models))
    assert models[0].classes == {"type": ["t0", "t1", "t2"]}


def test_phenotypes_and_binarised_signatures_are_learned(cells: AnnData):
    active = Signature(
        "active", ("g0",), terms={"bce": 1}, binarize=Binarize(1.0),
        head=Head(output_activation="sigmoid"),
    )  # fmt: skip
    depth, kind = Phenotype("depth", "numerical"), Phenotype("type", "categorical")
    guidance = Guidance((active,), (depth, kind))
    settings = replace(SMALL, max_epochs=40, learning_rate=5e-3, validation=0.0)
    model = SakuraModel(settings, guidance)
    model.fit(cells, phenotypes=read_phenotypes(guidance, cells.obs))
    found = model.predict_phenotype(cells, "type").argmax(axis=1)
    assert (found == np.arange(90) % 3).mean() > 0.95
    depths = model.predict_phenotype(cells, "depth")[:, 0]
    assert np.corrcoef(depths, cells.obs["depth"])[0, 1] > 0.6
    chances = model.predict_signature(cells, "active")[:, 0]
    truth = cells.X.toarray()[:, 0] > 1
    assert chances[truth].mean() > chances[~truth].mean() + 0.5


def test_a_missing_column_and_missing_values_are_refused(cells: AnnData):
    guidance = Guidance(phenotypes=(Phenotype("kind", "categorical", keys=("typ",)),))
    with pytest.raises(UsageError) as error:
        read_phenotypes(guidance, cells.obs)
    assert error.value.code == "unknown_column"
    with pytest.raises(UsageError) as error:
        SakuraModel(SMALL, guidance).fit(cells)
    assert error.value.code == "missing_values"
    for values, code in ((["a"] * 90, "too_few_classes"), (["a"] * 9, "size_mismatch")):
        with pytest.raises(DataError) as data_error:
            SakuraModel(SMALL, guidance).fit(cells, phenotypes={"kind": np.array(values)})
        assert data_error.value.code == code


def test_extra_rows_train_but_get_no_embedding(cells: AnnData):
    values = np.full((2, 29), 3.0, dtype=np.float32)
    rows = ExtraRows(("b1", "b2"), tuple(f"g{i}" for i in range(1, 30)), values, weight=20.0)
    plain = SakuraModel(SMALL).fit(cells)
    model = SakuraModel(SMALL, Guidance(extra_rows=rows)).fit(cells)
    assert model.transform(cells).shape == (90, 6)
    assert not np.allclose(model.transform(cells), plain.transform(cells))


def test_decile_splits_are_those_of_the_demonstration_and_nested():
    train, test = decile_split(5673, 5, seed=3407)
    assert (train.sum(), test.sum()) == (2838, 2835)
    assert not (train & test).any()
    more, _ = decile_split(5673, 6, seed=3407)
    assert (train <= more).all()
    base = np.arange(100) < 40
    inside, rest = decile_split(100, 5, seed=0, base=base)
    assert inside.sum() == rest.sum() == 20
    assert not (inside | rest)[40:].any()


@pytest.mark.parametrize(
    ("task", "code"),
    [
        (TrainingTask("x", guides=("b",)), "unknown_name"),
        (TrainingTask("x", reconstruct=True, split="half"), "unknown_name"),
        (TrainingTask("x"), "missing_key"),
    ],
)
def test_a_task_with_unknown_names_is_refused(cells: AnnData, task: TrainingTask, code: str):
    settings = replace(SMALL, validation=0.0, stages=(Stage((task,)),))
    with pytest.raises(UsageError) as error:
        SakuraModel(settings, ATTACHED).fit(cells)
    assert error.value.code == code


# --- training to the end, files -------------------------------------------------------------


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("schedule", ["interleave", "joint"])
def test_a_resumed_fit_equals_an_uninterrupted_one(
    cells: AnnData, tmp_path, schedule: str, monkeypatch
):
    monkeypatch.setattr("bench.methods.sakura.checkpoints.SECONDS_APART", 0.0)
    settings = replace(
        SMALL, schedule=schedule, max_epochs=6, dropout_hidden=0.2,
        regularizers=(Regularizer("uniform", WeightSchedule(0.1)),),
        optimizer="rmsprop" if schedule == "interleave" else "adam",
    )  # fmt: skip
    curves, again = Curves(), Curves()
    whole = SakuraModel(settings, ATTACHED).fit(cells, seed=3, report=curves)
    file = tmp_path / "fit.pt"

    def stop(step, total=None, /, **values):
        if step == 4:
            raise Interrupted

    with pytest.raises(Interrupted):
        SakuraModel(settings, ATTACHED).fit(cells, seed=3, report=stop, checkpoint=file)
    assert torch.load(file, weights_only=True)["epoch"] == 3
    resumed = SakuraModel(settings, ATTACHED).fit(cells, seed=3, report=again, checkpoint=file)
    np.testing.assert_array_equal(resumed.transform(cells), whole.transform(cells))
    assert resumed.curves == whole.curves
    assert (again.values, again.steps) == (curves.values, curves.steps)
    other = {"train": np.arange(90) < 50}
    narrow = replace(settings, hidden=8)
    for changed, splits in ((settings, other), (narrow, {})):
        with pytest.raises(UsageError) as error:
            SakuraModel(changed, ATTACHED).fit(cells, seed=3, checkpoint=file, splits=splits)
        assert error.value.code == "other_fit"


def test_early_stopping_waits_for_the_ramp_and_keeps_the_best_weights(cells: AnnData):
    ramp = Guidance((Signature("a", ("g0",), terms={"mse": WeightSchedule.ramp(1.0, 5, 10)}),))
    settings = replace(SMALL, max_epochs=300, patience=3, learning_rate=2e-2)
    model = SakuraModel(settings, ramp).fit(cells)
    assert 15 < model.best_epoch < model.epochs < 300
    assert all("held_out_loss" in values for values in model.curves)


def test_a_saved_model_predicts_as_before(cells: AnnData, tmp_path):
    guidance = Guidance(
        (Signature("a", ("g0", "g3"), space="own", dim=2, adversarial=1.0),),
        (Phenotype("type", "categorical"),),
        invariant_genes=("g5",),
    )
    settings = replace(SMALL, scale=False, output_activation="relu")
    model = SakuraModel(settings, guidance)
    model.fit(cells, phenotypes=read_phenotypes(guidance, cells.obs))
    model.save(tmp_path / "model.pt")
    loaded = SakuraModel.load(tmp_path / "model.pt")
    for space in ("main", "all", "a"):
        np.testing.assert_array_equal(
            loaded.transform(cells, space), model.transform(cells, space)
        )
    np.testing.assert_array_equal(
        loaded.predict_signature(cells, "a"), model.predict_signature(cells, "a")
    )
    np.testing.assert_array_equal(
        loaded.predict_phenotype(cells, "type"), model.predict_phenotype(cells, "type")
    )
    np.testing.assert_array_equal(loaded.reconstruct(cells), model.reconstruct(cells))
    assert "g5" not in loaded.inputs
