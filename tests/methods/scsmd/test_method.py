"""scSMD and DeepScena as methods: odd sizes, clusters, imputation, presets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _method_data import typed_counts
from anndata import AnnData

from bench.apply.estimator import Estimator
from bench.contract import Recipe
from bench.errors import DataError, UsageError
from bench.methods.scsmd import DeepScena, ScSMD, phases
from bench.methods.scsmd.losses import memberships
from bench.methods.scsmd.phases import assignments
from bench.prepare.in_memory import prepare_data

SHORT = {"pretrain_epochs": 2, "max_epochs": 2, "pair_epochs": 2}


def fitted(data: AnnData, n_clusters: int | None = 3, cls: type = ScSMD, **values) -> Estimator:
    method = cls(cls.Params.build(SHORT | values, owner=cls.name))
    return Estimator(method).fit(data, n_clusters=n_clusters)


@pytest.mark.parametrize(
    ("n_cells", "n_clusters", "values"),
    [(45, 2, {"batch_size": 20}), (81, 30, {"batch_size": 20}), (41, 3, {"batch_size": 20}),
     (41, 3, {"batch_size": 20, "preset": "faithful"}),
     (41, 3, {"count_weight": 0.0, "input_dropout": 0.2, "balance_weight": 1.0})],
)  # fmt: skip
@pytest.mark.slow
def test_odd_sizes(n_cells: int, n_clusters: int, values: dict):
    presets = ("faithful",) if values.pop("preset", None) else ()
    params = ScSMD.Params.build(SHORT | values, presets=presets, owner="scsmd")
    done = Estimator(ScSMD(params)).fit(typed_counts(n_cells), n_clusters=n_clusters)
    k = min(n_clusters, n_cells)
    assert done.embedding_.shape == (n_cells, 10)
    assert np.isfinite(done.embedding_).all()
    for name in ("memberships", "assignment"):
        table = done.fit_.tables[name]
        assert table.shape == (n_cells, k)
        np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-5)
    assert done.fit_.tables["centres"].shape == (k, 10)
    assert {"fuzzy", "assigned"} == set(done.own_labels_)
    names = done.fit_.tables["assignment"].columns.to_numpy()
    best = names[done.fit_.tables["assignment"].to_numpy().argmax(axis=1)]
    assert (best == done.own_labels_["assigned"]).all()


def test_phases_can_be_left_out():
    done = fitted(typed_counts(30), max_epochs=0, pair_epochs=0)
    assert set(done.own_labels_) == {"fuzzy"}
    assert set(done.curves_) == {"pretrain_loss"}
    twin = fitted(typed_counts(30), max_epochs=0, pair_epochs=0, pretrain_epochs=0)
    assert not twin.curves_
    assert np.isfinite(twin.embedding_).all()


def test_a_label_depends_on_no_other_cell():
    done = fitted(typed_counts(60))
    method, prepared, tables = done.method, done.prepared_, done.fit_.tables
    for rows in ([7], [7, 30], [30, 2, 59, 7]):
        codes = torch.from_numpy(method.transform(prepared[rows].copy()))
        np.testing.assert_allclose(codes, done.embedding_[rows], rtol=1e-3, atol=1e-4)
        soft = assignments(method.fitted.assigner, codes)
        np.testing.assert_allclose(soft, tables["assignment"].iloc[rows], rtol=1e-2, atol=1e-4)
        fuzzy = memberships(codes, method.fitted.centres, 1.5)
        np.testing.assert_allclose(fuzzy, tables["memberships"].iloc[rows], rtol=1e-2, atol=1e-4)
        for found, whole in ((soft, "assignment"), (fuzzy, "memberships")):
            expected = tables[whole].to_numpy().argmax(axis=1)[rows]
            np.testing.assert_array_equal(found.argmax(dim=1), expected)


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch):
    def refused(*args: object, **options: object) -> None:
        raise AssertionError("CUDA was asked for")

    for name in ("_lazy_init", "current_device", "mem_get_info"):
        monkeypatch.setattr(torch.cuda, name, refused)
    done = fitted(typed_counts(20))
    parts = [*done.method.fitted.network.state_dict().values(), done.method.fitted.centres]
    assert {part.device.type for part in parts} == {"cpu"}


@pytest.mark.slow
def test_an_encoder_that_stays_after_the_second_phase():
    """Staying is the limit of small steps: Adam moves no weight by more than rate × updates, and a
    tenth of the rate changes the code by a tenth.
    """
    data = typed_counts(45)
    values = {"batch_size": 20}
    still = fitted(data, **values)
    alone = fitted(data, **values | {"pair_epochs": 0})
    np.testing.assert_array_equal(still.embedding_, alone.embedding_)
    changes = []
    for rate in (1e-6, 1e-7):
        moving = fitted(data, **values, encoder_learning_rate=rate)
        before = still.method.fitted.network.state_dict()
        after = moving.method.fitted.network.state_dict()
        moved = max(float((after[name] - before[name]).abs().max()) for name in before)
        n_updates = SHORT["pair_epochs"] * 3  # batches of 20 of 45 cells
        assert 0 < moved < 1.05 * rate * n_updates + 1e-7  # and the last digit of weights near 1
        changes.append(np.linalg.norm(moving.embedding_ - still.embedding_))
    assert changes[0] < 0.05 * np.linalg.norm(still.embedding_)
    assert changes[1] == pytest.approx(changes[0] / 10, rel=0.5)
    np.testing.assert_allclose(
        still.method.transform(still.prepared_), still.embedding_, rtol=1e-3, atol=1e-4
    )


def test_clusters_without_the_truth():
    params = {"k_from": "leiden"}
    assert ScSMD(ScSMD.Params(**params)).needs() == frozenset()
    assert ScSMD(ScSMD.Params(n_clusters=4)).needs() == frozenset()
    assert ScSMD(ScSMD.Params()).needs() == {"n_clusters"}
    assert fitted(typed_counts(40), None, **params).fit_.notes["clusters"].endswith("leiden")
    method = ScSMD(ScSMD.Params.build(SHORT | {"n_clusters": 4}, owner="scsmd"))
    four = Estimator(method).fit(typed_counts(40))
    assert four.fit_.notes["clusters"] == "4, as asked"


@pytest.mark.parametrize(("cls", "scale"), [(ScSMD, 1), (DeepScena, 300)])
@pytest.mark.slow
def test_the_types_are_found(cls: type, scale: int):
    """Of molecules, and of reads, which are as many times more."""
    from sklearn.metrics import adjusted_rand_score

    data = typed_counts(90)
    data.X = data.X * scale
    done = fitted(data, cls=cls, batch_size=16, pretrain_epochs=8, max_epochs=3, pair_epochs=6)
    for labels in done.own_labels_.values():
        assert adjusted_rand_score(data.obs["cell_type"], labels) > 0.9


@pytest.mark.slow
def test_imputed_counts_follow_the_depth_and_the_types():
    data = typed_counts(60)
    done = fitted(data, batch_size=16, pretrain_epochs=16)
    imputed = done.method.impute(done.prepared_)
    assert imputed.shape == (60, 60)
    assert imputed.min() > 0
    high = np.equal.outer(np.arange(60) % 3, np.arange(60) % 3)
    assert imputed[high].mean() > 2 * imputed[~high].mean()
    deeper = done.prepared_.copy()
    deeper.layers["counts"] = deeper.layers["counts"] * 2
    np.testing.assert_allclose(done.method.impute(deeper), 2 * imputed, rtol=1e-4)
    plain = fitted(data, count_weight=0.0)
    assert plain.method.impute(plain.prepared_).shape == (60, 60)


def test_other_features_are_refused():
    done = fitted(typed_counts(30))
    with pytest.raises(DataError) as error:
        done.method.transform(done.prepared_[:, ::-1].copy())
    assert error.value.code == "other_features"


def test_deepscena_is_scsmd_without_attention():
    data = typed_counts(30)
    one = fitted(data, cls=DeepScena)
    other = fitted(data, attention="none")
    np.testing.assert_array_equal(one.embedding_, other.embedding_)
    assert one.fit_.n_parameters < fitted(data).fit_.n_parameters


def test_faithful_is_what_was_published():
    params = ScSMD.Params.build(presets=("faithful",), owner="scsmd")
    assert (params.update, params.count_target) == ("sequential", "rounded_lognorm")
    assert (params.tolerance, params.max_gradient, params.frozen_norms) == (0, 0, False)
    assert not params.center
    assert params.encoder_learning_rate == 1e-6
    assert (params.pretrain_epochs, params.max_epochs, params.pair_epochs) == (20, 20, 20)
    assert (params.n_top_genes, params.n_latent, params.batch_size) == (784, 10, 100)


@pytest.mark.parametrize(("preset", "epochs"), [("", [0, 2, 4]), ("faithful", [1, 3])])
def test_centres_move_in_these_epochs(
    preset: str, epochs: list[int], monkeypatch: pytest.MonkeyPatch
):
    """Counted from 0; the published program asks for epoch modulo 2 equal to 1."""
    finished: list[float] = []
    moved: list[int] = []
    original = phases.fuzzy_centres

    def counted(*args: object) -> torch.Tensor:
        moved.append(len(finished))
        return original(*args)

    class Counted(phases.Churn):
        def end_epoch(self) -> float:
            finished.append(super().end_epoch())
            return finished[-1]

    monkeypatch.setattr(phases, "fuzzy_centres", counted)
    monkeypatch.setattr(phases, "Churn", Counted)
    params = SHORT | {"max_epochs": 5, "pair_epochs": 0, "tolerance": 0.0}
    built = ScSMD.Params.build(params, presets=(preset,) if preset else (), owner="scsmd")
    Estimator(ScSMD(built)).fit(typed_counts(40), n_clusters=3)
    assert moved == epochs


def test_read_counts_are_rounded_and_chosen_by_their_variance():
    """As ``-r`` of the published program; the table shows what the network sees."""
    data = typed_counts(60)
    data.X = (data.X * 200).tocsr()
    short = {"pretrain_epochs": 1, "max_epochs": 1, "pair_epochs": 1, "n_top_genes": 20}
    done = fitted(data, read_counts=True, keep_genes=True, **short)
    table = done.fit_.tables["genes"]
    assert table.shape == (60, 20)
    assert list(table.index) == list(data.obs_names)
    assert list(table.columns) == list(done.prepared_.var_names)
    np.testing.assert_array_equal(table, np.rint(done.prepared_.X.toarray()))
    assert not np.array_equal(table, done.prepared_.X.toarray())
    by_counts = prepare_data(data, Recipe(n_top_features=20, flavor="seurat_v3"))
    assert set(table.columns) == set(by_counts.var_names)
    again = done.method.transform(done.prepared_)
    np.testing.assert_allclose(again, done.embedding_, rtol=1e-3, atol=1e-4)
    plain = fitted(data, keep_genes=True, **short)
    np.testing.assert_array_equal(plain.fit_.tables["genes"], plain.prepared_.X.toarray())


def test_genes_of_three_cells_stay():
    rng = np.random.default_rng(0)
    values = rng.poisson(3.0, (40, 30)).astype(np.float32)
    values[:, :3] = 0
    values[:2, 1] = values[:3, 2] = 1
    for presets in ((), ("faithful",)):
        params = ScSMD.Params.build(SHORT, presets=presets, owner="scsmd")
        prepared = Estimator(ScSMD(params)).fit(AnnData(values), n_clusters=2).prepared_
        assert set(prepared.var_names) == {str(gene) for gene in range(2, 30)}


def test_the_name_of_the_published_files_can_be_chosen():
    done = fitted(typed_counts(30), output_name="pbmc.v2")
    files = done.method.export("file", done.fit_, done.prepared_.obs_names)
    assert set(files) == {"pbmc.v2_uspace.csv", "pbmc.v2_clusters.csv"}
    for bad in ("../x", "a/b", ".hidden"):
        with pytest.raises(UsageError) as error:
            ScSMD.Params.build({"output_name": bad}, owner="scsmd")
        assert error.value.code == "invalid_value"
