"""Going on from finished and kept states, parts of other models, losses of terms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData

from bench.errors import DataError, UsageError
from bench.methods.sakura.checkpoints import FINAL_STATE, TrainingOptions
from bench.methods.sakura.guidance import Guidance, Phenotype, Signature
from bench.methods.sakura.insertion import InsertedParts, Insertion
from bench.methods.sakura.milestones import StateKeeper
from bench.methods.sakura.model import SakuraModel
from bench.methods.sakura.model_settings import SakuraSettings
from bench.methods.sakura.saved_files import find_file

GUIDED = Guidance(
    (Signature("a", ("gene0", "gene3")),), (Phenotype("state", "categorical", space="own", dim=2),)
)
SETTINGS = SakuraSettings(
    n_top_features=None, hidden=16, n_latent=6, batch_size=32, dropout_hidden=0.1, max_epochs=4,
    center=True,
)  # fmt: skip


def fitted(cells: AnnData, settings: SakuraSettings = SETTINGS, **more: Any) -> SakuraModel:
    model = SakuraModel(settings, more.pop("guidance", GUIDED))
    values = {"state": cells.obs["state"].to_numpy()} if model.guidance.phenotypes else {}
    return model.fit(cells, seed=3, phenotypes=values, **more)


def kept_in(folder: Path, every: int = 0) -> dict[str, Any]:
    """Return arguments of a fit that keeps its states in a folder."""
    return {
        "checkpoint": folder / "interrupted.pt",
        "options": TrainingOptions(kept=folder, watch=StateKeeper(every)),
    }


def going_on(cells: AnnData, start: Path, settings: SakuraSettings, **more: Any) -> SakuraModel:
    return fitted(cells, settings, options=TrainingOptions(start=start), **more)


def error_code(cells: AnnData, *words: Any, **more: Any) -> str:
    with pytest.raises((UsageError, DataError)) as error:
        fitted(cells, *words, **more)
    assert "\n" not in str(error.value)
    return error.value.code


@pytest.mark.parametrize("state", [FINAL_STATE, "epoch_2.pt"])
def test_a_fit_that_goes_on_is_the_longer_fit(cells: AnnData, tmp_path: Path, state: str):
    longer = replace(SETTINGS, max_epochs=7)
    whole = fitted(cells, longer)
    fitted(cells, **kept_in(tmp_path, every=2))
    assert (tmp_path / "epoch_4.pt").is_file()
    again = going_on(cells, tmp_path / state, longer)
    np.testing.assert_array_equal(again.transform(cells), whole.transform(cells))
    assert again.curves == whole.curves
    assert again.term_losses == whole.term_losses


def test_a_state_that_cannot_go_on_is_refused(cells: AnnData, tmp_path: Path):
    fitted(cells, **kept_in(tmp_path)).save(tmp_path / "model.pt")
    options = TrainingOptions(start=tmp_path / FINAL_STATE)
    assert error_code(cells, options=options) == "trained"
    other = replace(SETTINGS, max_epochs=9, learning_rate=1e-2)
    assert error_code(cells, other, options=options) == "other_fit"
    plain = TrainingOptions(start=tmp_path / "model.pt")
    assert error_code(cells, options=plain) == "no_state"
    (tmp_path / "no.pt").write_text("x")
    assert error_code(cells, options=TrainingOptions(start=tmp_path / "no.pt")) == "damaged_model"


def test_other_cells_go_on_with_the_weights(cells: AnnData, tmp_path: Path):
    before = fitted(cells, **kept_in(tmp_path))
    other = cells[:60].copy()
    same = going_on(other, tmp_path / FINAL_STATE, replace(SETTINGS, max_epochs=0))
    np.testing.assert_array_equal(
        same.network.decoder[0].weight.numpy(force=True),
        before_last(tmp_path).network.decoder[0].weight.numpy(force=True),
    )
    further = going_on(other, tmp_path / FINAL_STATE, replace(SETTINGS, max_epochs=2))
    assert further.epochs == 2
    assert further.features == before.features


def before_last(folder: Path) -> SakuraModel:
    """Return the model with the last weights, which need not be the best."""
    return SakuraModel.load(folder / FINAL_STATE)


# --- parts of other models --------------------------------------------------------------------


def inserted(*texts: str) -> TrainingOptions:
    parts = [Insertion.parse(text) for text in texts]
    return TrainingOptions(
        parts=InsertedParts([(one, SakuraModel.load(one.path)) for one in parts])
    )


def weights(model: SakuraModel, part: str) -> list[np.ndarray]:
    return [w.numpy(force=True) for w in model.network.module(part).parameters()]


@pytest.fixture
def source(cells: AnnData, tmp_path: Path) -> Path:
    fitted(cells).save(tmp_path / "source.pt")
    return tmp_path / "source.pt"


@pytest.mark.parametrize("part", ["encoder", "decoder", "state", "head:a", "head:state"])
def test_a_frozen_part_keeps_the_weights_of_its_source(cells: AnnData, source: Path, part: str):
    other = cells[20:, ::-1].copy()
    found = fitted(other, options=inserted(f"{part}={source}:frozen"))
    first = SakuraModel.load(source)
    for now, then in zip(weights(found, part), weights(first, part), strict=True):
        np.testing.assert_array_equal(now, then)
    learning = fitted(other, options=inserted(f"{part}={source}"))
    assert not np.allclose(weights(learning, part)[0], weights(first, part)[0])
    if part in ("encoder", "decoder"):
        assert found.inputs == first.inputs
        at = [found.features.index(name) for name in first.features]
        np.testing.assert_array_equal(
            found.network.scaler.center[at].numpy(), first.network.scaler.center.numpy()
        )


def test_a_whole_model_is_inserted(cells: AnnData, source: Path):
    still = replace(SETTINGS, max_epochs=0)
    parts = ("encoder", "state", "decoder", "head:a", "head:state")
    found = fitted(cells, still, options=inserted(*(f"{part}={source}" for part in parts)))
    first = SakuraModel.load(source)
    np.testing.assert_array_equal(found.reconstruct(cells), first.reconstruct(cells))
    np.testing.assert_array_equal(
        found.predict_signature(cells, "a"), first.predict_signature(cells, "a")
    )


def test_a_head_may_have_another_name(cells: AnnData, source: Path):
    renamed = Guidance((Signature("b", ("gene0", "gene3")),))
    found = fitted(cells, guidance=renamed, options=inserted(f"head:b={source}:head:a:frozen"))
    np.testing.assert_array_equal(
        weights(found, "head:b")[0], weights(SakuraModel.load(source), "head:a")[0]
    )


@pytest.mark.parametrize(
    ("text", "settings", "code"),
    [
        ("decoder={}", replace(SETTINGS, hidden=8), "wrong_width"),
        ("decoder={}", replace(SETTINGS, center=False), "other_fit"),
        ("decoders={}", SETTINGS, "unknown_name"),
        ("head:a={}:head:state", SETTINGS, "other_targets"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(
    cells: AnnData, source: Path, text: str, settings: SakuraSettings, code: str
):
    assert error_code(cells, settings, options=inserted(text.format(source))) == code


def test_inserted_features_must_be_read(cells: AnnData, source: Path):
    hidden = Guidance((Signature("a", ("gene0", "gene3"), exclude_from_input=True),))
    assert error_code(cells, guidance=hidden, options=inserted(f"decoder={source}")) == (
        "other_features"
    )
    fewer = cells[:, 5:].copy()
    more = error_code(fewer, guidance=Guidance(), options=inserted(f"decoder={source}"))
    assert more == "other_features"


@pytest.mark.parametrize("text", ["decoder", "=x", "decoder="])
def test_text_that_is_no_insertion(text: str):
    with pytest.raises(UsageError):
        Insertion.parse(text)


def test_a_part_is_given_once(cells: AnnData, source: Path):
    with pytest.raises(UsageError) as error:
        inserted(f"decoder={source}", f"decoder={source}")
    assert error.value.code == "duplicate_names"


def test_files_of_fits(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "sakura.pt").write_text("")
    assert find_file(tmp_path) == tmp_path / "model" / "sakura.pt"
    assert find_file(tmp_path / "model" / "sakura.pt").is_file()
    with pytest.raises(UsageError) as error:
        find_file(tmp_path, state=True)
    assert error.value.code == "no_model"


def test_losses_of_terms_add_up(cells: AnnData):
    model = fitted(cells)
    for reported, terms in zip(model.curves, model.term_losses, strict=True):
        total = sum(one["weight"] * one["loss"] for one in terms.values())
        assert reported["loss"] == pytest.approx(total, rel=1e-4)
        held = sum(one["weight"] * one["held_out_loss"] for one in terms.values())
        assert reported["held_out_loss"] == pytest.approx(held, rel=1e-4)
