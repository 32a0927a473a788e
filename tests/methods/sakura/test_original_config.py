from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from bench.errors import UsageError
from bench.methods.sakura.method import ConfiguredSakura, Sakura
from bench.methods.sakura.original_config.main_config import read_setup


def configuration(name: str) -> dict[str, Any]:
    """Return a file of the kind that the original reads."""
    found: dict[str, Any] = json.loads((FILES / f"{name}.json").read_text())
    return found


FILES = Path(__file__).parent / "files"
CONFIG, SIGNATURES = configuration("config"), configuration("signature_config")
PHENOTYPES = configuration("pheno_config")


def weights(**more: Any) -> dict[str, Any]:
    return {"init_weight": 1.0, "progressive_const": 1.0, "progressive_start_epoch": 0} | more


def write(
    folder: Path, config: Any = None, signatures: Any = None, phenotypes: Any = None
) -> Path:
    (folder / "signature_config.json").write_text(json.dumps(signatures or SIGNATURES))
    (folder / "pheno_config.json").write_text(json.dumps(phenotypes or PHENOTYPES))
    path = folder / "config.json"
    path.write_text(json.dumps(config or CONFIG))
    return path


def edited(source: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """Return a copy with one value set, or taken away if it is ``...``."""
    made = copy.deepcopy(source)
    *above, last = place.split("/")
    inner: Any = made
    for key in above:
        inner = inner[int(key) if isinstance(inner, list) else key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return made


def test_everything_is_translated(tmp_path: Path, cells: AnnData):
    setup = read_setup(write(tmp_path), cells)
    cd8, rare = setup.guidance.signatures
    state, age = setup.guidance.phenotypes
    assert (cd8.space, cd8.dim, cd8.head.kind, cd8.head.layers) == ("main", 50, "mlp", 3)
    assert set(cd8.terms) == {"mse", "l1", "cosine"}
    # Figures of the demonstration: 0 until epoch 49, 0.37 after 86 passes, at most 1.
    assert [cd8.terms["l1"].at(epoch) for epoch in (49, 86, 400)] == pytest.approx([0, 0.37, 1])
    assert (rare.space, rare.dim, rare.exclude_from_input) == ("own", 1, True)
    assert (rare.head.kind, rare.regularizers[0].kind) == ("linear", "uniform")
    assert rare.regularizers[0].n_projections == 25
    assert (state.kind, state.classes, state.dim) == ("categorical", ("a", "b", "c"), 2)
    assert (age.space, age.adversarial.weight) == (("main", "state"), 1.0)
    s = setup.settings
    assert (s.n_latent, s.encoder_widths, s.decoder_widths) == (50, (20, 20), (30, 30))
    assert s.learning_rate == 1e-3
    assert (s.optimizer, s.latent_activation, s.output_activation) == ("rmsprop", "celu", "relu")
    assert s.regularizers[0].schedule.at(86) == pytest.approx(1e-4 * 1.01**86)
    (stage,), (training,) = s.stages, setup.story
    assert (stage.schedule, stage.max_ticks) == ("interleave", 12)
    assert [task.name for task in stage.tasks] == ["main", "guides"]
    assert stage.tasks[1].guides == ("cd8", "rare", "state", "age")
    assert stage.tasks[1].terms == {}
    assert len(training.tables) == 1
    sizes = {name: int(mask.sum()) for name, mask in setup.splits.items()}
    assert sizes == {
        "all": 80, "overall_train": 40, "overall_test": 40, "signature_rare_train": 32,
        "signature_rare_test": 8,
    }  # fmt: skip
    assert not (setup.splits["signature_rare_train"] & setup.splits["overall_test"]).any()


def test_unsupported_settings_are_logged(tmp_path: Path, cells: AnnData, caplog):
    caplog.set_level("INFO", logger="bench")
    read_setup(write(tmp_path), cells)
    for note in (
        "give --seed 3407",
        "log_path",
        "dump_splits",
        "dataset.pheno_csv_path: no file not_there.csv",
    ):
        assert note in caplog.text


def test_excluded_parts_do_not_learn(tmp_path: Path, cells: AnnData):
    excludes = [{"type": "decoder"}, {"type": "signature_regressors", "name": "cd8"},
                {"type": "pheno_latent_compressors"}]  # fmt: skip
    config = edited(CONFIG, "optimizer/excludes", excludes)
    setup = read_setup(write(tmp_path, config), cells)
    assert setup.settings.frozen == ("decoder", "head:cd8", "state")


def test_passes_are_counted_as_in_the_demonstration(tmp_path: Path):
    many = AnnData(sp.csr_matrix(np.ones((5673, 30), dtype=np.float32)))
    many.var_names = [f"gene{n}" for n in range(30)]
    many.obs["state"], many.obs["age"] = "a", 1.0
    config = edited(CONFIG, "story/0/ticks", 5000)
    for name in ("main", "guides"):
        config["story"][0]["split_configs"][name]["batch_size"] = 100
    setup = read_setup(write(tmp_path, config), many)
    assert int(setup.splits["overall_train"].sum()) == 2838
    assert setup.epoch(0) == 172


def test_a_plain_training_becomes_one_task(tmp_path: Path, cells: AnnData):
    training = {
        "epochs": 3, "use_split": "all", "train_main_latent": "True", "train_pheno": "False",
        "train_signature": "True", "detach": "True", "detach_from": "encoder",
    }  # fmt: skip
    story = [training]
    setup = read_setup(write(tmp_path, CONFIG | {"story": story}), cells)
    (stage,) = setup.settings.stages
    (task,) = stage.tasks
    assert (task.reconstruct, task.guides, task.batch_size) == (True, ("cd8", "rare"), 50)
    assert (task.detach, stage.schedule, stage.max_epochs) == ("encoder", "joint", 3)


WRONG = [
    # file, place of the change, value, place in the message (if another), code
    ("config", "optimiser", {}, "", "unknown_key"),
    ("config", "main_latent/latent_dims", 2, "", "unknown_key"),
    ("config", "main_latent/latent_dim", ..., "", "missing_key"),
    ("config", "main_latent/latent_dim", "many", "", "invalid_value"),
    ("config", "dataset/selected_signature", ["cd4"], "dataset", "unknown_name"),
    ("config", "dataset/signature_config_path", "gone.json", "", "missing_file"),
    ("config", "optimizer/type", "Adam", "", "unknown_name"),
    ("config", "optimizer/excludes", [{"type": "decoders"}], "optimizer.excludes[0].type",
     "unknown_name"),
    ("config", "optimizer/excludes", [{"type": "pheno_models", "name": "sate"}],
     "optimizer.excludes[0].name", "unknown_name"),
    ("config", "story", [], "", "missing_key"),
    ("config", "story/0/action", "trane", "", "unknown_name"),
    ("config", "story/0/hybrid_mode", "pattern", "", "unknown_name"),
    ("config", "story/0/ticks", 0, "", "invalid_value"),
    ("config", "story/0/ticks", True, "", "invalid_value"),
    ("config", "story/0/split_configs", {}, "", "missing_key"),
    ("config", "story/0/split_configs/main/use_split", "overal_train", "", "unknown_name"),
    ("config", "story/0/split_configs/main/train_main_latent", "False", "", "missing_key"),
    ("config", "story/0/split_configs/guides/selected_signature/cd8/loss", ["MSEE"], "",
     "unknown_name"),
    ("config", "manual_split", "True", "manual_split_pkl_path", "unknown_format"),
    ("config", "overall_train_test_split/train_dec", 11, "", "invalid_value"),
    ("signatures", "cd8/signature_list", ["gene1", "Gene22"], "", "unknown_gene"),
    ("signatures", "cd8/signature_out_dim", 3, "", "wrong_width"),
    ("signatures", "cd8/signature_lat_dim", 4, "signature 'cd8'", "wrong_width"),
    ("signatures", "cd8/signature_lst", [], "", "unknown_key"),
    ("signatures", "cd8/loss/MSE/type", "MSEE", "", "unknown_name"),
    ("signatures", "cd8/loss/MSE/init_wait", 1, "", "unknown_key"),
    ("signatures", "cd8/loss/MSE/init_weight", ..., "", "missing_key"),
    ("signatures", "cd8/loss/MSE/max_weight", -1, "cd8.loss.MSE", "invalid_value"),
    ("signatures", "cd8/loss/L1/type", "MSE", "", "duplicate_names"),
    ("signatures", "cd8/loss/L1/enable_GRL", "True", "cd8.loss", "invalid_value"),
    ("signatures", "cd8/exclude_from_input", "yes", "", "invalid_value"),
    ("signatures", "cd8/model/hidden_neurons", [4], "cd8", "wrong_width"),
    ("signatures", "rare/split/base", "train", "", "unknown_name"),
    ("phenotypes", "state/pheno_df_key", "stat", "", "unknown_column"),
    ("phenotypes", "age/pheno_df_keys", ["age", "weight"], "", "unknown_column"),
    ("phenotypes", "state/pheno_out_dim", 4, "", "wrong_width"),
    ("phenotypes", "age/pheno_lat_dim", 50, "phenotype 'age'", "wrong_width"),
    ("phenotypes", "age/model/attach_key", [{"type": "pheno", "key": "cd8"}], "phenotype 'age'",
     "unknown_part"),
    ("phenotypes", "age/model/attach_key", [{"type": "mian"}], "age.model.attach_key[0].type",
     "unknown_name"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "change", "value", "place", "code"), WRONG)
def test_an_error_is_one_line_with_file_and_key(
    tmp_path: Path, cells: AnnData, file: str, change: str, value: Any, place: str, code: str
):
    sources = {"config": CONFIG, "signatures": SIGNATURES, "phenotypes": PHENOTYPES}
    path = write(tmp_path, **{file: edited(sources[file], change, value)})
    with pytest.raises(UsageError) as error:
        read_setup(path, cells)
    assert error.value.code == code
    names = {"signatures": "signature_config", "phenotypes": "pheno_config"}
    key = place or change.replace("/0", "[0]").replace("/", ".")
    # Widths are compared when all files are read.
    named = "config" if code in ("wrong_width", "unknown_part") and "'" in key else file
    expected = f"{tmp_path / names.get(named, 'config')}.json: {key}: "
    assert str(error.value).startswith(expected)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "value", "hint"),
    [
        ("optimiser", {}, "unknown key. Did you mean 'optimizer'?"),
        (
            "story/0/split_configs/main/use_split",
            "overal_train",
            "Did you mean 'overall_train' or 'overall_test'?",
        ),
        ("main_latent/latent_dim", "many", "expected a valid integer, found 'many'."),
    ],
)
def test_an_error_suggests_a_fix(
    tmp_path: Path, cells: AnnData, change: str, value: Any, hint: str
):
    with pytest.raises(UsageError) as error:
        read_setup(write(tmp_path, edited(CONFIG, change, value)), cells)
    assert str(error.value).endswith(hint)


def test_terms_that_never_worked_are_left_out_and_named(tmp_path: Path, cells: AnnData, caplog):
    caplog.set_level("INFO", logger="bench")
    kl = {"kl": weights(type="KL_gaussian_mixture")}
    path = write(tmp_path, edited(CONFIG, "main_latent/regularization", kl))
    setup = read_setup(path, cells)
    assert setup.settings.regularizers == ()
    assert "KL_gaussian_mixture is left out" in caplog.text


def test_phenotypes_of_a_csv_are_joined_by_cell(tmp_path: Path, cells: AnnData):
    table = cells.obs[["state", "age"]].iloc[::-1].rename(columns={"state": "given"})
    table.to_csv(tmp_path / "cells.csv")
    config = edited(CONFIG, "dataset/pheno_csv_path", "cells.csv")
    phenotypes = edited(PHENOTYPES, "state/pheno_df_key", "given")
    setup = read_setup(write(tmp_path, config, phenotypes=phenotypes), cells)
    assert list(setup.values["state"]) == list(cells.obs["state"])
    table.iloc[5:].to_csv(tmp_path / "cells.csv")
    with pytest.raises(UsageError, match=r"cells\.csv: 5 of 80 cells have no row") as error:
        read_setup(write(tmp_path, config, phenotypes=phenotypes), cells)
    assert error.value.code == "missing_cells"


def test_splits_of_ones_own_come_as_csv(tmp_path: Path, cells: AnnData):
    cells.obs.assign(mine=(np.arange(80) < 30).astype(int))[["mine"]].to_csv(tmp_path / "s.csv")
    more = {"manual_split": "True", "manual_split_pkl_path": "s.csv"}
    setup = read_setup(write(tmp_path, CONFIG | more), cells)
    assert int(setup.splits["mine"].sum()) == 30


def test_a_configuration_is_trained_and_its_tables_are_named_as_in_the_original(
    tmp_path: Path, cells: AnnData
):
    from bench.apply.estimator import Estimator

    method = Sakura(Sakura.Params()).from_config(write(tmp_path), cells)
    assert isinstance(method, ConfiguredSakura)
    found = Estimator(method).fit(cells, seed=1)
    assert found.embedding_.shape == (80, 50)
    tables = found.fit_.tables
    # 12 ticks, 2 tasks, 2 batches a pass: 3 passes of each; also after 5 and 10 ticks.
    assert list(tables) == ["splits", "losses", "2_test", "4_test", "6_test"]
    table = tables["6_test"]
    assert tables["2_test"].shape == table.shape
    assert not np.allclose(tables["2_test"]["main.1"], tables["4_test"]["main.1"])
    splits = tables["splits"]
    assert splits["overall_test"].sum() == 40
    assert splits["held_out"].sum() == 0
    assert {"main: mse", "main: l1", "state: nll"} <= set(tables["losses"]["term"])
    parts = list(dict.fromkeys(column.rpartition(".")[0] for column in table.columns))
    assert parts == [
        "main", "re_x", "lat_pre", "state", "state.out", "age", "age.out", "cd8", "cd8.out",
        "rare", "rare.out",
    ]  # fmt: skip
    assert list(table.index) == list(cells.obs_names[method.setup.splits["overall_test"]])
    widths = {part: sum(c.rpartition(".")[0] == part for c in table.columns) for part in parts}
    # The genes of 'rare' are neither input nor reconstructed; attached heads repeat main.
    assert (widths["main"], widths["re_x"], widths["cd8"], widths["age"]) == (50, 27, 50, 52)
    assert np.array_equal(table["cd8.50"], table["main.50"])
    assert np.exp(table[["state.out.1", "state.out.2", "state.out.3"]]).sum(axis=1).to_numpy() == (
        pytest.approx(np.ones(40), abs=1e-4)
    )


def test_the_description_lists_network_terms_and_tasks(tmp_path: Path, cells: AnnData):
    lines = "\n".join(Sakura(Sakura.Params()).from_config(write(tmp_path), cells).describe())
    assert (
        "signature cd8 (2 genes, mlp head on main (50)): mse 0 + 0.01 per epoch from 50, at "
        in lines
    )
    assert "signature rare (3 genes, linear head on own (1), not among the inputs)" in lines
    assert "phenotype age (1 columns, mlp head on main + state (52), gradient reversed)" in lines
    assert "split overall_train: 40 cells" in lines
    assert "training: interleave, 12 ticks, rmsprop 0.001/0.9" in lines
    assert "table 6_test.csv" in lines
    assert "the tables of this training also every 5 steps" in lines


def test_layers_have_the_widths_of_the_file(tmp_path: Path, cells: AnnData):
    config = edited(CONFIG, "main_latent/decoder_config", {
        "hidden_layers": 3, "hidden_neurons": [40, 25], "output_activation_function": "softmax",
    })  # fmt: skip
    config["pre_encoder_config"] = {"hidden_neurons": [100, 60], "pre_encoder_out_dim": 15}
    settings = read_setup(write(tmp_path, config), cells).settings
    assert (settings.encoder_widths, settings.decoder_widths) == ((100, 60, 15), (40, 25))
    assert settings.output_activation == "softmax"
    wrong = edited(config, "main_latent/decoder_config/hidden_layers", 4)
    with pytest.raises(UsageError, match=r"decoder_config\.hidden_neurons: 2 widths") as error:
        read_setup(write(tmp_path, wrong), cells)
    assert error.value.code == "wrong_width"


def test_numbers_are_cut_into_classes(tmp_path: Path, cells: AnnData):
    steps = [{"type": "ToKBins", "n_bins": 4, "strategy": "uniform"}, {"type": "ToTensor"}]
    phenotypes = edited(PHENOTYPES, "state/post_procedure", steps)
    phenotypes["state"] |= {"pheno_df_key": "age", "order": [], "pheno_out_dim": 4}
    setup = read_setup(write(tmp_path, phenotypes=phenotypes), cells)
    state = setup.guidance.phenotypes[0]
    assert (state.bins, state.bin_edges, state.classes) == (4, "uniform", ())
    np.testing.assert_allclose(setup.values["state"], cells.obs["age"], rtol=1e-6)


def test_an_embedding_is_a_numerical_phenotype(tmp_path: Path, cells: AnnData):
    cells.obsm["X_pca"] = np.arange(240.0).reshape(80, 3)
    phenotypes = edited(PHENOTYPES, "age/pheno_df_keys", ["age", "obsm:X_pca"])
    phenotypes["age"]["pheno_out_dim"] = 4
    setup = read_setup(write(tmp_path, phenotypes=phenotypes), cells)
    assert setup.values["age"].shape == (80, 4)
    np.testing.assert_array_equal(setup.values["age"][:, 1:], cells.obsm["X_pca"])
    phenotypes["age"]["pheno_df_keys"] = ["obsm:X_pac"]
    with pytest.raises(UsageError, match=r"'obsm:X_pac'.*'obsm:X_pca'") as error:
        read_setup(write(tmp_path, phenotypes=phenotypes), cells)
    assert error.value.code == "unknown_column"
