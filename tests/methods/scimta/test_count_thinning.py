"""The label-free objective: held-out counts and the same clusters again."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from _method_data import typed_counts
from anndata import AnnData

from bench.apply.estimator import Estimator
from bench.errors import DataError, UsageError
from bench.methods.scimta.count_thinning import held_out_loss, thin_counts
from bench.plan.search_space import make_space
from bench.prepare.in_memory import describe_counts, prepare_counts
from bench.registry import methods
from bench.tuning.objective import check_objectives, parse_objectives

NAMES = ["scmgca", "sctag", "scimta"]
JOINT_FIRST = [
    "scimta",
    *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n != "scimta"),
]
"""The other two, which share most code with it, take part in `make test-all`."""
SHORT = {"pretrain_epochs": 40, "max_epochs": 10, "n_clusters": 3}


def prepared(name: str = "scmgca") -> AnnData:
    cls, data = methods().get(name), typed_counts(90)
    info = describe_counts(data.X, name="x", modality="rna", has_batch=False)
    return prepare_counts(data, cls(cls.Params(held_out=0.2)).recipe(info))


def test_counts_are_held_out_and_values_made_anew():
    data = prepared()
    thinned, held_out = thin_counts(data, 0.2, 0, owner="scmgca")
    whole, rest = data.layers["counts"], thinned.layers["counts"]
    assert (whole != rest + held_out).nnz == 0
    assert held_out.sum() / whole.sum() == pytest.approx(0.2, abs=0.01)
    assert rest.min() >= 0
    # Where nothing was taken from an entry its value grows by 1 / 0.8 before the logarithm.
    entry = np.argwhere((whole.toarray() == rest.toarray()) & (whole.toarray() > 0))[0]
    before, after = (np.expm1(one.X[*entry]) for one in (data, thinned))
    assert after / before == pytest.approx(1 / 0.8, rel=1e-4)
    assert (thin_counts(data, 0.2, 1, owner="scmgca")[1] != held_out).nnz > 0
    data.layers["counts"] = data.layers["counts"] * 0.5
    with pytest.raises(DataError) as error:
        thin_counts(data, 0.2, 0, owner="scmgca")
    assert error.value.code == "not_counts"


def test_held_out_loss_by_hand():
    expected = np.array([[1.0, 3.0], [2.0, 2.0]])
    held_out = sp.csr_matrix(np.array([[0, 2.0], [1.0, 0]]))
    assert held_out_loss(expected, held_out) == pytest.approx(
        -(2 * np.log(0.75) + np.log(0.5)) / 3
    )


@pytest.mark.parametrize("name", JOINT_FIRST)
def test_loss_and_stability_of_a_fit(name: str):
    cls = methods().get(name)
    params = cls.Params.build(SHORT | {"held_out": 0.2}, owner=name)
    done = Estimator(cls(params)).fit(typed_counts(90))
    (loss,), (stability,) = done.curves_["held_out_loss"], done.curves_["stability"]
    # Better than the mean proportions of all cells, no better than the truth.
    data, held_out = thin_counts(prepared(name), 0.2, 0, owner=name)
    rest = data.layers["counts"]
    kinds = np.arange(90)[:, None] % 3 == np.arange(60)[None, :] % 3
    truth = held_out_loss(np.where(kinds, 6.0, 0.5), held_out)
    constant = held_out_loss(np.tile(np.asarray(rest.sum(axis=0)), (90, 1)), held_out)
    assert truth < loss < constant - 0.2
    assert stability == pytest.approx(1.0)
    assert done.fit_.notes["held out"].startswith("0.2 of the counts;")
    assert len(done.curves_["pretrain_loss"]) == SHORT["pretrain_epochs"]


def check(objective: str, name: str = "scimta", **given) -> None:
    cls = methods().get(name)
    params = cls.Params.build(given, owner=name)
    space = make_space(name, cls.Params, params.resolved(), fixed=frozenset(given),
                       modality="rna")  # fmt: skip
    info = describe_counts(typed_counts(90).X, name="x", modality="rna", has_batch=False)
    check_objectives(parse_objectives(objective, "unsupervised"), cls(params), space, info)


def test_what_a_search_refuses():
    with pytest.raises(UsageError, match="holds no counts out with held_out=0"):
        check("thinned", n_top_genes=1000)
    with pytest.raises(UsageError, match=r"n_top_genes changes what the loss measures"):
        check("loss", held_out=0.2)
    check("thinned", held_out=0.2, n_top_genes=1000)
    with pytest.raises(UsageError, match="vae does not compare fits of several seeds"):
        check("stability", name="vae")
