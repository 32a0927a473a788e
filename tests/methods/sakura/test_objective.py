"""How guides weigh beside the reconstruction, and how a code forgets a confounder."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

from bench.methods.sakura.guidance import Guidance, Phenotype, Signature
from bench.methods.sakura.model import SakuraModel
from bench.methods.sakura.model_settings import SakuraSettings, TrainingTask
from bench.methods.sakura.objective import Batch, SakuraObjective, Term

SETTINGS = SakuraSettings(
    n_top_features=None,
    n_latent=4,
    hidden=8,
    center=True,
    relative_weights=True,
    max_epochs=0,
    validation=0.0,
)


@pytest.fixture
def cells() -> AnnData:
    """80 cells × 20 genes; the first half has the genes 0 to 4 raised."""
    rng = np.random.default_rng(0)
    rate = np.full((80, 20), 1.0)
    rate[:40, :5] = 5.0
    adata = AnnData(sp.csr_matrix(np.log1p(rng.poisson(rate)).astype(np.float32)))
    adata.var_names = [f"g{i}" for i in range(20)]
    return adata


def terms(
    cells: AnnData, guidance: Guidance, **phenotypes: np.ndarray
) -> tuple[SakuraModel, dict[str, Term]]:
    """Return an untrained model and the terms of its guides on all cells."""
    model = SakuraModel(SETTINGS, guidance).fit(cells, phenotypes=phenotypes)
    held = {name: torch.tensor(values) for name, values in phenotypes.items()}
    batch = Batch(torch.tensor(cells.X.toarray()), torch.ones(80), held)
    objective = SakuraObjective(model.network, {"batch": torch.ones(2)})
    names = tuple(guide.name for guide in guidance.guides)
    found = objective.terms(batch, TrainingTask("x", guides=names), {})
    return model, {term.name: term for term in found}


def test_a_weight_of_one_is_that_of_the_first_component(cells: AnnData):
    model, found = terms(cells, Guidance((Signature("a", ("g0",), terms={"mse": 2.0}),)))
    values = cells.X.toarray().astype(np.float64)
    singular = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)
    expected = singular[0] ** 2 / 79 / 20
    assert model.network.unit == pytest.approx(expected, rel=1e-3)
    assert found["mse"].weight == pytest.approx(2 * expected, rel=1e-3)


def test_a_score_is_the_mean_of_targets_with_unit_variance(cells: AnnData):
    genes = ("g0", "g1", "g7")
    model, found = terms(cells, Guidance((Signature("a", genes, terms={"score": 1.0}),)))
    values = cells.X.toarray()[:, [0, 1, 7]]
    score = ((values - values.mean(axis=0)) / values.std(axis=0, ddof=1)).mean(axis=1)
    predicted = model.predict_signature(cells, "a")
    predicted = ((predicted - values.mean(axis=0)) / values.std(axis=0, ddof=1)).mean(axis=1)
    error = np.mean((score - predicted) ** 2) / score.var(ddof=1)
    assert float(found["score"].value.detach()) == pytest.approx(error, rel=1e-3)


def test_a_confused_head_learns_and_only_the_code_is_drawn(cells: AnnData):
    batch = np.arange(80) % 2
    one = Phenotype("batch", "categorical", adversarial=3.0)
    model, found = terms(cells, Guidance((), (one,)), batch=batch)
    head = model.network.reader("batch").network[0].weight
    code = model.network.compressors[0][0].weight
    assert found["confusion"].weight == pytest.approx(3 * model.network.unit)
    assert head.requires_grad
    found["confusion"].value.backward()
    assert head.grad is None
    assert code.grad is not None
    assert code.grad.abs().sum() > 0
    code.grad = None
    found["nll"].value.backward()
    assert code.grad is None
    assert head.grad is not None
    assert head.grad.abs().sum() > 0


def test_a_head_that_knows_nothing_draws_the_code_nowhere(cells: AnnData):
    batch = np.arange(80) % 2
    one = Phenotype("batch", "categorical", adversarial=1.0)
    guidance = Guidance((), (one,))
    model, found = terms(cells, guidance, batch=batch)
    assert float(found["confusion"].value.detach()) > 0
    with torch.no_grad():
        for parameter in model.network.reader("batch").parameters():
            parameter.zero_()
    held = Batch(torch.tensor(cells.X.toarray()), torch.ones(80), {"batch": torch.tensor(batch)})
    objective = SakuraObjective(model.network, {"batch": torch.ones(2)})
    found = {t.name: t for t in objective.terms(held, TrainingTask("x", guides=("batch",)), {})}
    assert float(found["confusion"].value.detach()) == pytest.approx(0.0, abs=1e-6)
